// Whose access ends next, counting down by the database's clock, until the cut is confirmed.

import { byId, el, follow, mark, say, setTime } from "./dom.js";
import { now } from "./clock.js";
import { current } from "./overview.js";
import { count, countdown, span } from "./words.js";
import { open } from "./subscriber.js";

/** As many as are asked for. */
export const ASKED = 60;
const SHOWN = 10;
/** The bar is full this long before the end. */
const BAR_MS = 30 * 60_000;
const SOON_MS = 60_000;
/** How long somebody whose access ended stays, so that the cut can be seen. */
const LINGER_MS = 6000;
const NOT_KNOWN = "due, not known";

/**
 * @typedef {object} Deadline
 * @property {number} subscriber
 * @property {string} username
 * @property {string|null} tenant
 * @property {string} ends_at
 */

/**
 * By subscriber. `isOver`: the service names them no more, so that the cut is made or listed as owed.
 *
 * @type {Map<number, Deadline & {isOver: boolean, cuts: number, lag: number, router: string}>}
 */
let ahead = new Map();
let isLong = false;
let hasMore = false;
/** Whether the last answer was one. */
let isKnown = false;

export function start() {
  byId("upcoming-more").addEventListener("click", () => {
    isLong = !isLong;
    tick();
  });
}

/** @param {{items: Deadline[]}} found what /upcoming answered */
export function show({ items }) {
  const at = now();
  const next = new Map(items.map((item) => [item.subscriber, { ...item, isOver: false, cuts: 0, lag: 0, router: "" }]));
  for (const [id, item] of ahead) {
    // Who is not named any more has paid or was revoked, unless the end was reached.
    const isDue = Date.parse(item.ends_at) <= at || item.cuts > 0;
    if (!next.has(id) && isDue) next.set(id, { ...item, isOver: true });
  }
  ahead = next;
  hasMore = items.length === ASKED;
  isKnown = true;
  byId("upcoming").setAttribute("aria-busy", "false");
  tick();
}

/** The deadlines could not be had. */
export function fail() {
  isKnown = false;
  tick();
}

/** Notes that somebody's cut was confirmed on one router. */
export function confirmed({ kind, subscriber, due_at, lag_ms, router_name }) {
  const item = ahead.get(subscriber);
  if (!item || kind !== "cut_confirmed" || Date.parse(item.ends_at) !== Date.parse(due_at)) return;
  item.cuts += 1;
  item.router = router_name ?? "a router";
  item.lag = Math.max(item.lag, lag_ms ?? 0);
  tick();
}

/** Counts down. */
export function tick() {
  const at = now();
  for (const [id, item] of ahead) {
    if ((item.isOver || item.cuts > 0) && at - Date.parse(item.ends_at) >= LINGER_MS) ahead.delete(id);
  }
  const items = [...ahead.values()].sort((a, b) => Date.parse(a.ends_at) - Date.parse(b.ends_at));
  const shown = items.slice(0, isLong ? items.length : SHOWN);
  follow(byId("upcoming"), shown, (item) => item.subscriber, row, (node, item) => fill(node, item, at));
  byId("upcoming-none").hidden = items.length > 0 || !isKnown || !current();
  byId("upcoming-first").hidden = !(isLong && hasMore);
  const more = byId("upcoming-more");
  more.hidden = items.length <= SHOWN;
  say(more, isLong ? "Show fewer" : `Show ${items.length - shown.length}${hasMore ? "+" : ""} more`);
}

function row(item) {
  return el(
    "li",
    { class: "deadline" },
    el("button", { class: "name", type: "button", onclick: () => open(item.subscriber, item.username) }),
    el("span", { class: "tenant" }),
    el("time", { class: "countdown" }),
    el("span", { class: "left", "aria-hidden": "true" }, el("span")),
  );
}

function fill(node, item, at) {
  const [name, tenant, time, bar] = node.children;
  const left = Date.parse(item.ends_at) - at;
  const waiting = left <= 0 && item.cuts === 0 ? due() : "";
  const state = item.cuts > 0 ? "off" : waiting === NOT_KNOWN ? "unknown" : waiting ? "due" : left < SOON_MS ? "soon" : "ahead";
  mark(node, "data-state", state);
  say(name, item.username);
  say(tenant, item.tenant ?? "");
  setTime(time, item.ends_at);
  say(time, state === "off" ? off(item) : waiting || countdown(left));
  bar.firstChild.style.width = `${Math.max(0, Math.min(1, left / BAR_MS)) * 100}%`;
}

/** What happens to who is due, as far as that is known. */
function due() {
  const overview = current();
  if (!overview || !isKnown) return NOT_KNOWN;
  if (!overview.watchers.some((watcher) => watcher.alive && watcher.kind === "watcher")) return "waiting: no watcher";
  return overview.brakes.length > 0 ? "waiting: brake" : "cutting…";
}

function off({ cuts, lag, router }) {
  // Another router may still let the subscriber through: the one that agreed is named.
  return `off on ${cuts === 1 ? router : count(cuts, "router")} after ${span(lag)}`;
}
