// What is owed: whose cut or restore is not confirmed, where, since when and why.

import { post } from "./api.js";
import { byId, el, follow, mark, say } from "./dom.js";
import { now } from "./clock.js";
import { bothClocks, count, number, sentence, span } from "./words.js";
import { open } from "./subscriber.js";

/** As many as are asked for. */
export const ASKED = 50;

/** Why a cut does not hold, and what to do about it. */
const WAYS_IN = {
  trial: "a trial lets it in again: take trial out of login-by of the server profile",
  radius: "RADIUS lets it in again: reject the account there too",
  "mac-login": "a MAC login lets it in again: remove the MAC from RADIUS, or mac from login-by",
  cookie: "a saved cookie lets it in again: take cookie out of login-by",
  bypass: "a bypass binding lets it in again: something on the router makes it anew",
  account: "its account lets it in again: something else enables it",
  unknown: "it comes back in a way that the rows do not show",
};

/** @type {any[]} */
let items = [];
let total = 0;
let isKnown = false;

export function start() {
  const button = byId("owed-try");
  button.addEventListener("click", async () => {
    button.disabled = true;
    tried("Trying each of them once…");
    try {
      const { success, message } = await post("/api/admin/expiry-watcher/");
      tried(sentence(message), !success);
    } catch (error) {
      tried(sentence(error.isLost ? `whether they were tried is not known: ${error.message}` : `not tried: ${error.message}`), true);
    }
    button.disabled = false;
  });
}

function tried(text, isProblem = false) {
  mark(byId("owed-tried"), "data-state", isProblem ? "bad" : null);
  say(byId("owed-tried"), text);
}

/** @param {{items: any[], total: number}} found what /owed answered */
export function show(found) {
  ({ items, total } = found);
  isKnown = true;
  tick();
}

/** Follows the time. */
export function tick() {
  if (!isKnown) return;
  const at = now();
  follow(byId("owed"), items, keyOf, row, (node, item) => fill(node, item, at));
  byId("owed-table").hidden = items.length === 0;
  byId("owed-none").hidden = items.length > 0;
  byId("owed-try").hidden = items.length === 0;
  if (items.length === 0) tried("");
  mark(byId("owed-count"), "data-state", total > 0 ? "bad" : null);
  say(byId("owed-count"), total > 0 ? total : "");
  say(byId("owed-more"), total > items.length ? `and ${number(total - items.length)} more` : "");
}

/** Not the number of the row: there is none until a watcher has planned the cut. */
function keyOf({ subscriber, device, router, want }) {
  return JSON.stringify([subscriber, device, router, want]);
}

function row(item) {
  const name = el("button", { class: "name", type: "button", onclick: () => open(item.subscriber, item.username) });
  return el(
    "tr",
    { role: "row" },
    el("th", { role: "rowheader", scope: "row" }, name, el("small")),
    el("td", { role: "cell", class: "place" }),
    el("td", { role: "cell", class: "why" }, el("span", { class: "pill" }), el("small")),
    el("td", { role: "cell", class: "since" }, el("time"), el("small")),
  );
}

function fill(node, item, at) {
  const [who, where, why, since] = node.children;
  say(who.firstChild, item.username);
  const device = item.device ? `removed device ${item.device}` : null;
  say(who.lastChild, [item.tenant, device].filter(Boolean).join(", "));
  say(where, item.router);
  const [pill, error] = why.children;
  mark(pill, "data-state", item.want === "restore" ? "info" : item.reason === "online" || item.cannot_hold ? "bad" : "warn");
  say(pill, item.want === "restore" ? "restore owed" : item.cannot_hold ? "cannot hold" : item.reason);
  say(error, (item.cannot_hold && WAYS_IN[item.way_in]) || item.last_error || (item.attempts > 0 ? "" : "not tried yet"));
  const [time, attempts] = since.children;
  mark(time, "datetime", item.since);
  mark(time, "title", bothClocks(item.since));
  say(time, span(Math.max(0, at - Date.parse(item.since))));
  say(attempts, item.attempts > 0 ? count(item.attempts, "attempt") : "");
}
