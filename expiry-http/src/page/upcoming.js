// Whose access ends next, counting down by the database's clock, until the cut is confirmed.

import { byId, el, follow, mark, say } from "./dom.js";
import { now } from "./clock.js";
import { bothClocks, count, countdown, span } from "./words.js";
import { open } from "./subscriber.js";

/** As many as are asked for. */
export const ASKED = 60;
const SHOWN = 10;
/** The bar is full this long before the end. */
const BAR_MS = 30 * 60_000;
const SOON_MS = 60_000;
/** How long somebody whose access ended stays, so that the cut can be seen. */
const LINGER_MS = 6000;

/**
 * @typedef {object} Deadline
 * @property {number} subscriber
 * @property {string} username
 * @property {string|null} tenant
 * @property {string} ends_at
 */

/** @type {Map<number, Deadline & {cuts: number, lag: number, router: string}>} by subscriber */
let ahead = new Map();
let isLong = false;
let hasMore = false;
/** What a cut waits for before anything else, if it does. */
let obstacle = "";

export function start() {
  byId("upcoming-more").addEventListener("click", () => {
    isLong = !isLong;
    tick();
  });
}

/** @param {{items: Deadline[]}} found what /upcoming answered */
export function show({ items }) {
  const at = now();
  const next = new Map(items.map((item) => [item.subscriber, { ...item, cuts: 0, lag: 0, router: "" }]));
  for (const [id, item] of ahead) {
    const end = Date.parse(item.ends_at);
    // Who is not named any more has paid or was revoked, unless the end was reached.
    const isOver = end <= at || item.cuts > 0;
    if (!next.has(id) && isOver && at - end < LINGER_MS) next.set(id, item);
  }
  ahead = next;
  hasMore = items.length === ASKED;
  byId("upcoming").setAttribute("aria-busy", "false");
  tick();
}

/** @param {{brakes: any[], watchers: any[]}} overview what /overview answered */
export function heed({ brakes, watchers }) {
  obstacle = !watchers.some((watcher) => watcher.alive) ? "no watcher" : brakes.length > 0 ? "brake" : "";
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
  for (const [id, item] of ahead) if (at - Date.parse(item.ends_at) >= LINGER_MS) ahead.delete(id);
  const items = [...ahead.values()].sort((a, b) => Date.parse(a.ends_at) - Date.parse(b.ends_at));
  const shown = items.slice(0, isLong ? items.length : SHOWN);
  follow(byId("upcoming"), shown, (item) => item.subscriber, row, (node, item) => fill(node, item, at));
  byId("upcoming-none").hidden = items.length > 0 || byId("upcoming").getAttribute("aria-busy") === "true";
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
  const state = item.cuts > 0 ? "off" : left <= 0 ? "due" : left < SOON_MS ? "soon" : "ahead";
  mark(node, "data-state", state);
  say(name, item.username);
  say(tenant, item.tenant ?? "");
  mark(time, "datetime", item.ends_at);
  mark(time, "title", bothClocks(item.ends_at));
  say(time, state === "off" ? off(item) : state === "due" ? due() : countdown(left));
  bar.firstChild.style.width = `${Math.max(0, Math.min(1, left / BAR_MS)) * 100}%`;
}

function due() {
  return obstacle === "" ? "cutting…" : `waiting: ${obstacle}`;
}

function off({ cuts, lag, router }) {
  // Another router may still let the subscriber through: the one that agreed is named.
  return `off on ${cuts === 1 ? router : count(cuts, "router")} after ${span(lag)}`;
}
