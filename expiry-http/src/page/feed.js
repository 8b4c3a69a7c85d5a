// What happens, as it happens.

import { get } from "./api.js";
import { byId, el, follow, mark, say, setTime, soon } from "./dom.js";
import { now } from "./clock.js";
import { count, timeThen } from "./words.js";
import { open } from "./subscriber.js";

const KEPT = 200;
const LOADED = 60;
const DRAWN_MS = 50;
const DAY_MS = 86_400_000;

/** What is shown: by the choice, which kinds of events. */
const SUBJECTS = {
  all: () => true,
  cuts: ({ kind }) => /^(cut|came|cannot|holds|restore)_|^intended$/.test(kind),
  access: ({ kind }) => /^(subscriber|access|end|device|tenant)_|^bound$/.test(kind),
  routers: ({ kind }) => /^(router|strays|brake)_/.test(kind),
};
const COLOURS = [
  [/^(cut_confirmed|router_up|holds_again|brake_(ended|released))$/, "ok"],
  [/^(router_down|brake_set|cannot_hold)$/, "bad"],
  [/^(came_back|restore_undone|strays_found|access_ended)$/, "warn"],
  [/^(restore_confirmed|access_changed|subscriber_added)$/, "info"],
];

/** @type {Map<string, any>} by id */
let events = new Map();
/** What came while the list was held. */
let held = 0;
let isHeld = false;
/** The day by which times have a date or not. */
let today = 0;

export function start() {
  byId("feed-subject").addEventListener("change", draw);
  byId("feed-hold").addEventListener("click", () => {
    isHeld = !isHeld;
    held = 0;
    draw();
  });
}

/**
 * Loads the latest events: at the start, and when some were skipped.
 *
 * @param {{anew?: boolean}} [how] `anew`: what was shown before is of another log, or has a gap
 */
export async function load({ anew = false } = {}) {
  const before = anew ? [...events.keys()] : [];
  const { items } = await get(`/events?last=${LOADED}`);
  // What came meanwhile stays.
  for (const id of before) events.delete(id);
  for (const event of items) put(event);
  draw();
}

/** @param {any} event one that just happened */
export function add(event) {
  if (events.has(event.id)) return;
  put(event);
  if (isHeld) held += 1;
  drawSoon();
}

/** An id has two numbers, which may be longer than a JavaScript number can be. */
function put(event) {
  const order = event.id.split("-").map((number) => number.padStart(20, "0")).join();
  events.set(event.id, { ...event, order });
}

const drawSoon = soon(draw, DRAWN_MS);

/** Follows the date. */
export function tick(at) {
  if (Math.floor(at / DAY_MS) !== today) draw();
}

function draw() {
  const at = now();
  today = Math.floor(at / DAY_MS);
  const latest = [...events.values()].sort((a, b) => (a.order < b.order ? 1 : -1)).slice(0, KEPT);
  events = new Map(latest.map((event) => [event.id, event]));
  const hold = byId("feed-hold");
  mark(hold, "aria-pressed", String(isHeld));
  say(hold, isHeld ? (held > 0 ? `Go on (${count(held, "event")})` : "Go on") : "Pause");
  if (isHeld) return;
  const shown = latest.filter(SUBJECTS[byId("feed-subject").value]);
  follow(byId("feed"), shown, (event) => event.id, row, (node, event) => say(node.firstChild, timeThen(event.at, at)));
  byId("feed-none").hidden = shown.length > 0;
}

function row(event) {
  const colour = COLOURS.find(([kinds]) => kinds.test(event.kind))?.[1] ?? null;
  const { subscriber, username } = event;
  const time = el("time");
  setTime(time, event.at);
  const who =
    username && subscriber !== null
      ? el("button", { class: "name", type: "button", onclick: () => open(subscriber, username) }, username)
      : null;
  return el(
    "li",
    {},
    time,
    el("span", { class: "lamp", "data-state": colour }),
    el("p", {}, who, who && " ", event.text),
  );
}
