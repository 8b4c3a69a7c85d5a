// What happens, as it happens.

import { get } from "./api.js";
import { byId, el, follow, mark, say, soon } from "./dom.js";
import { bothClocks, count, timeOfDay } from "./words.js";
import { open } from "./subscriber.js";

const KEPT = 200;
const LOADED = 60;

/** What is shown: by the choice, which kinds of events. */
const SUBJECTS = {
  all: () => true,
  cuts: ({ kind }) => /^(cut|came|cannot|holds|restore)_/.test(kind),
  access: ({ kind }) => /^(subscriber|access|end|device)_|^bound$/.test(kind),
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
  for (const event of items) events.set(event.id, event);
  draw();
}

/** @param {any} event one that just happened */
export function add(event) {
  if (events.has(event.id)) return;
  events.set(event.id, event);
  if (isHeld) held += 1;
  drawSoon();
}

const drawSoon = soon(draw);

function draw() {
  const latest = [...events.values()].sort(latestFirst).slice(0, KEPT);
  events = new Map(latest.map((event) => [event.id, event]));
  const hold = byId("feed-hold");
  mark(hold, "aria-pressed", String(isHeld));
  say(hold, isHeld ? (held > 0 ? `Go on (${count(held, "event")})` : "Go on") : "Pause");
  if (isHeld) return;
  const shown = latest.filter(SUBJECTS[byId("feed-subject").value]);
  follow(byId("feed"), shown, (event) => event.id, row, () => {});
  byId("feed-none").hidden = shown.length > 0;
}

/** An id has two numbers, which may be longer than a JavaScript number can be. */
function latestFirst(a, b) {
  const [[a1, a2], [b1, b2]] = [a, b].map((event) => event.id.split("-").map(BigInt));
  return a1 === b1 ? (a2 < b2 ? 1 : -1) : a1 < b1 ? 1 : -1;
}

function row(event) {
  const colour = COLOURS.find(([kinds]) => kinds.test(event.kind))?.[1] ?? null;
  const { subscriber, username, at } = event;
  const who =
    username && subscriber !== null
      ? el("button", { class: "name", type: "button", onclick: () => open(subscriber, username) }, username)
      : null;
  return el(
    "li",
    {},
    el("time", { datetime: at, title: bothClocks(at) }, timeOfDay(at)),
    el("span", { class: "lamp", "data-state": colour }),
    el("p", {}, who, who && " ", event.text),
  );
}
