// The routers: state, version, clock, strays, what is owed there; and the test of one.

import { get, post } from "./api.js";
import { byId, el, follow, mark, onPress, say } from "./dom.js";
import { now } from "./clock.js";
import { current } from "./overview.js";
import { onRouter } from "./lag.js";
import { count, number, relative, skew, span, timeOfDay, utc } from "./words.js";

/** Routers that need somebody come first. */
const NAMES = new Intl.Collator();
const ORDER = ["down", "unwatched", "new", "up", "disabled"];
const STATES = {
  up: { word: "up", state: "ok" },
  down: { word: "down", state: "bad" },
  unwatched: { word: "not watched", state: "warn" },
  new: { word: "not tried yet", state: "info" },
  disabled: { word: "out of service", state: null },
};
const STEPS = {
  name_lookup: "finding its address",
  tcp_connect: "connecting",
  login: "logging in",
  permission: "reading",
  protocol: "talking the RouterOS API",
  wrong_router: "recognising the box",
};
/** A router's clock this far off confuses its logs and its own schedules. */
const SKEW_S = 5;

/** @type {any[]} */
let routers = [];
let asOf = "";
/** The one whose strays are listed. */
let listed = 0;

/** How a router stands: what it last said is old news if nobody serves it. */
function standing({ state, owner }) {
  return owner === null && (state === "up" || state === "new") ? "unwatched" : state;
}

/** Of the routers in service, how many there are, and how many are up and watched. */
export function inService(known) {
  const enabled = known.filter((router) => router.enabled);
  return { all: enabled.length, up: enabled.filter((router) => standing(router) === "up").length };
}

/** @param {{routers: any[]}} overview what /overview answered */
export function show(overview) {
  routers = [...overview.routers].sort(
    (a, b) => ORDER.indexOf(standing(a)) - ORDER.indexOf(standing(b)) || NAMES.compare(a.name, b.name),
  );
  asOf = overview.now;
  tick();
}

/** Follows the time. */
export function tick() {
  if (asOf === "") return;
  const at = now();
  follow(byId("routers-table"), routers, (router) => router.id, group, (node, router) => fill(node, router, at));
  byId("routers-table").hidden = routers.length === 0;
  byId("routers-none").hidden = routers.length > 0 || !current();
  const { all, up } = inService(routers);
  const age = current() ? "" : ` at ${timeOfDay(asOf)} UTC`;
  say(byId("routers-count"), all > 0 ? `${up} of ${all} up${age}` : "");
  mark(byId("routers-count"), "data-state", up < all ? "warn" : "ok");
}

function group(router) {
  const result = el("p", { class: "result", role: "status" });
  const told = el("tr", { role: "row", hidden: true }, el("td", { role: "cell", colspan: 8 }, result));
  const test = el("button", { class: "small", type: "button" }, "Test");
  onPress(test, () => probe(router.id, told, result));
  const strays = el("button", { class: "name", type: "button", onclick: () => listStrays(router) });
  const cell = (name, label, ...children) => el("td", { role: "cell", class: name, "data-label": label }, ...children);
  const row = el(
    "tr",
    { role: "row" },
    el("th", { role: "rowheader", scope: "row" }, el("strong"), el("small")),
    cell("state", null, el("span", { class: "pill" }), el("small")),
    cell("version", "RouterOS", el("span"), el("small")),
    cell("clock", "Clock", el("span")),
    cell("lag", "Lag", el("span")),
    cell("strays", "Strays", strays),
    cell("owed", "Owed", el("span")),
    cell("act", null, test),
  );
  return el("tbody", { role: "rowgroup" }, row, told);
}

function fill(node, router, at) {
  const [who, state, version, clock, lag, strays, owed, act] = node.firstChild.children;
  const [name, place] = who.children;
  say(name, router.name);
  say(place, [router.tenant, router.address, identity(router)].filter(Boolean).join(" · "));
  const stands = standing(router);
  const { word, state: colour } = STATES[stands] ?? STATES.new;
  const [pill, since] = state.children;
  say(pill, word);
  mark(pill, "data-state", colour);
  say(since, router.down_since ? `${span(at - Date.parse(router.down_since))}: ${router.last_error ?? "no answer"}` : "");
  mark(since, "title", router.down_since ? `since ${utc(router.down_since)}` : null);
  say(version.firstChild, router.version ?? "–");
  say(version.lastChild, router.board ?? "");
  // Of a router that does not answer nobody knows how its clock is now.
  const off = stands === "up" ? router.clock_skew_seconds : null;
  say(clock.firstChild, off === null ? "–" : skew(off));
  mark(clock.firstChild, "title", router.seen_at ? `seen ${relative(router.seen_at, at)}` : null);
  mark(clock.firstChild, "data-state", off !== null && Math.abs(off) >= SKEW_S ? "warn" : null);
  say(lag.firstChild, onRouter(router.id) || "–");
  const button = strays.firstChild;
  say(button, router.reconciled_at ? number(router.strays) : "–");
  button.disabled = !router.strays;
  mark(button, "aria-label", `${count(router.strays, "stray")} on ${router.name}`);
  mark(button, "title", router.reconciled_at ? `read whole ${relative(router.reconciled_at, at)}` : "not read whole yet");
  const all = router.owed_cuts + router.owed_restores;
  say(owed.firstChild, all > 0 ? number(all) : "–");
  mark(owed.firstChild, "data-state", all > 0 ? "bad" : null);
  mark(act.firstChild, "aria-label", `Test ${router.name}`);
  // A narrow screen leaves out what says nothing.
  const isEmpty = (cell) => ["–", "0", skew(0)].includes(cell.firstChild.textContent);
  for (const cell of [version, clock, lag, strays, owed]) mark(cell, "data-empty", isEmpty(cell) ? "" : null);
}

/** Its own name for itself, where that is another than ours. */
function identity(router) {
  return router.identity && router.identity !== router.name ? `calls itself ${router.identity}` : null;
}

async function probe(id, told, result) {
  told.hidden = false;
  mark(result, "data-state", null);
  say(result, "Testing…");
  try {
    const found = await post(`/routers/${id}/test`);
    mark(result, "data-state", found.success ? "ok" : "bad");
    say(result, found.success ? answered(found) : failed(found));
  } catch (error) {
    mark(result, "data-state", "bad");
    say(result, `Not tested: ${error.message}`);
  }
}

function answered({ rtt_ms, identity: name, version, board, uptime, clock_skew_seconds }) {
  const told = [
    `Connected, logged in, read: answers in ${span(rtt_ms)}`,
    name && `calls itself ${name}`,
    board,
    version && `RouterOS ${version}`,
    uptime && `up ${uptime}`,
    typeof clock_skew_seconds === "number" && `its clock ${skew(clock_skew_seconds)}`,
  ];
  return told.filter(Boolean).join(", ");
}

function failed({ step, error }) {
  return step ? `Failed at ${STEPS[step] ?? step}: ${error}` : `Failed: ${error}`;
}

async function listStrays(router) {
  listed = router.id;
  const list = byId("strays-list");
  say(byId("strays-title"), `Strays on ${router.name}`);
  say(byId("strays-read"), "Loading…");
  list.replaceChildren();
  byId("strays").showModal();
  try {
    const { items, read_at } = await get(`/routers/${router.id}/strays`);
    if (listed !== router.id) return;
    say(byId("strays-read"), read_at ? `Read ${relative(read_at, now())}.` : "Not read whole yet.");
    list.replaceChildren(...items.map(stray));
  } catch (error) {
    if (listed === router.id) say(byId("strays-read"), `Cannot be listed: ${error.message}`);
  }
}

function stray({ kind, user, mac, address, comment, first_seen }) {
  const who = user ?? mac ?? "unknown";
  const told = [kind, user ? mac : null, address, comment, first_seen && `first seen ${relative(first_seen, now())}`];
  return el("li", {}, el("strong", {}, who), el("small", {}, told.filter(Boolean).join(" · ")));
}
