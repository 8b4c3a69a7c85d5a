// What is owed: whose cut or restore is not confirmed, where, since when and why.

import { post } from "./api.js";
import { byId, el, follow, mark, onPress, say, setTime } from "./dom.js";
import { now } from "./clock.js";
import { current } from "./overview.js";
import { count, number, sentence, span } from "./words.js";
import { open } from "./subscriber.js";

/** As many as are asked for: at first, more at a time, and at most. */
const FIRST = 50;
const MORE = 150;
const MOST = 500;

/** Why a cut does not hold, and what to do about it. */
const WAYS_IN = {
  trial: "a trial lets it in again: take trial out of login-by of the server profile",
  radius: "RADIUS lets it in again: reject the account there too",
  "mac-login": "a MAC login lets it in again: remove the MAC from RADIUS, or mac from login-by",
  cookie: "a saved cookie lets it in again: take cookie out of login-by",
  bypass: "a bypass binding lets it in again: something on the router makes it anew",
  "shared-bypass": "a bypass binding that covers others too lets it pass: narrow or disable it",
  account: "its account lets it in again: something else enables it",
  unknown: "it comes back in a way that the rows do not show",
};

/** @type {any[]} */
let items = [];
let total = 0;
let asked = FIRST;
/** The only router to be asked about; empty for all. */
let router = "";
/** Whether the last answer was one. */
let isKnown = false;

export const path = () => `/owed?limit=${asked}${router ? `&router=${router}` : ""}`;

/** @param {() => void} load called when something else is to be shown */
export function start(load) {
  byId("owed-more").addEventListener("click", () => {
    asked = Math.min(asked + MORE, MOST);
    load();
  });
  byId("owed-router").addEventListener("change", (event) => {
    router = event.target.value;
    asked = FIRST;
    load();
  });
  onPress(byId("owed-try"), async () => {
    tried("Trying each of them once…");
    try {
      const { success, message } = await post("/api/admin/expiry-watcher/");
      tried(sentence(message), !success);
    } catch (error) {
      tried(sentence(error.isLost ? `whether they were tried is not known: ${error.message}` : `not tried: ${error.message}`), true);
    }
  });
}

function tried(text, isProblem = false) {
  mark(byId("owed-tried"), "data-state", isProblem ? "bad" : null);
  say(byId("owed-tried"), text);
}

/** Offers the routers where something is owed, and the one that was chosen. @param {any} overview */
export function offer({ routers }) {
  const owing = routers.filter(({ id, owed_cuts, owed_restores }) => owed_cuts + owed_restores > 0 || String(id) === router);
  if (!owing.some(({ id }) => String(id) === router)) router = "";
  const choices = [{ id: "", name: "All routers" }, ...owing];
  const option = ({ id }) => el("option", { value: id });
  follow(byId("owed-router"), choices, ({ id }) => id, option, (node, { name }) => say(node, name));
  byId("owed-router").hidden = owing.length < 2 && router === "";
}

/** @param {{items: any[], total: number}} found what /owed answered */
export function show(found) {
  ({ items, total } = found);
  isKnown = true;
  tick();
}

/** What is owed could not be had. */
export function fail() {
  isKnown = false;
  tick();
}

/** Follows the time. */
export function tick() {
  const at = now();
  follow(byId("owed"), items, keyOf, row, (node, item) => fill(node, item, at));
  byId("owed-table").hidden = items.length === 0;
  byId("owed-none").hidden = items.length > 0 || router !== "" || !isKnown || !current();
  // What takes the focus when its button goes.
  if (items.length === 0 && document.activeElement === byId("owed-try")) byId("owed-title").focus();
  byId("owed-try").hidden = items.length === 0;
  if (items.length === 0) tried("");
  mark(byId("owed-count"), "data-state", total > 0 ? "bad" : null);
  say(byId("owed-count"), total > 0 ? number(total) : "");
  const rest = total - items.length;
  byId("owed-more").hidden = rest <= 0 || asked === MOST;
  say(byId("owed-more"), `Show ${number(Math.min(rest, MORE, MOST - asked))} more`);
  const others = asked === MOST && router === "" ? ": choose a router to see others" : "";
  const cut = rest > 0 ? `The oldest ${number(items.length)} of ${number(total)}${others}.` : "";
  say(byId("owed-rest"), router !== "" && total === 0 ? "Nothing is owed there." : cut);
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
  setTime(time, item.since);
  say(time, span(Math.max(0, at - Date.parse(item.since))));
  say(attempts, item.attempts > 0 ? count(item.attempts, "attempt") : "");
}
