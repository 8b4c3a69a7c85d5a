// Health in one glance, with the reasons, and the figures beside it.

import { announce, byId, el, follow, icon, mark, say } from "./dom.js";
import { now } from "./clock.js";
import { inService } from "./routers.js";
import { count, number, relative, sentence } from "./words.js";

/** Answers older than this say nothing of now. */
const STALE_MS = 15_000;

const WORDS = {
  healthy: { title: "Healthy", sign: "check" },
  needs_attention: { title: "Needs attention", sign: "alert" },
  critical: { title: "Critical", sign: "stop" },
  unknown: { title: "Unknown", sign: "question" },
};

/** @type {any} the last overview */
let overview = null;
let heardAt = -Infinity;
let trouble = "";
let shown = "";

/** @param {any} found what /overview answered */
export function show(found) {
  overview = found;
  heardAt = performance.now();
  trouble = "";
  tick();
}

/** The overview could not be had: what was known is soon no longer true. */
export function fail(error) {
  trouble = error.message;
  tick();
}

/** Follows the time: heartbeats age, and so does what is known. */
export function tick() {
  const isStale = performance.now() - heardAt > STALE_MS;
  if (!overview && !trouble) return;
  const health = overview && !isStale ? overview.health : "unknown";
  const { title, sign } = WORDS[health] ?? WORDS.unknown;
  mark(document.documentElement, "data-health", health);
  for (const id of ["health-word", "health-chip-word"]) say(byId(id), title);
  if (shown !== health) {
    byId("health-sign").replaceChildren(icon(sign));
    document.title = health === "healthy" ? "Expiry" : `${title} – Expiry`;
    if (shown !== "") announce(`Health: ${title}`);
    shown = health;
  }
  reasons(health);
  if (overview) figures();
}

function reasons(health) {
  const told = health === "unknown" ? unknown() : overview.health_reasons;
  say(byId("health-lead"), told.length === 0 ? lead() : "");
  byId("health-lead").hidden = told.length > 0;
  const items = told.map((text, at) => ({ text, at }));
  follow(byId("health-reasons"), items, ({ at }) => at, () => el("li"), (row, { text }) => say(row, sentence(text)));
}

function lead() {
  const { owed_restores: restores } = overview.counts;
  const off = "Everybody whose access ended is confirmed off.";
  return restores > 0 ? `${off} ${count(restores, "restore")} still to be confirmed.` : off;
}

function unknown() {
  const last = overview ? `: what is shown is of ${relative(overview.now, now())}` : "";
  return [`${trouble || "the service does not answer"}${last}`];
}

function figures() {
  const { counts, routers, watchers, version } = overview;
  const { all, up } = inService(routers);
  figure("live", number(counts.live_subscribers));
  figure("soon", number(counts.expiring_in_30_min));
  figure("owed", number(counts.owed_subscribers), counts.owed_subscribers > 0 ? "bad" : null);
  figure("routers", all > 0 ? `${up}/${all}` : "–", up < all ? "warn" : null);
  const alive = watchers.filter((watcher) => watcher.alive);
  follow(byId("watchers"), alive.length > 0 ? alive : watchers.slice(0, 1), (of) => of.id, watcherRow, watcher);
  byId("no-watcher").hidden = watchers.length > 0;
  say(byId("version"), version);
}

function figure(name, text, state = null) {
  say(byId(`figure-${name}`), text);
  mark(byId(`figure-${name}`), "data-state", state);
}

function watcherRow() {
  return el("li", {}, el("span", { class: "lamp" }), el("span"));
}

function watcher(row, { machine, alive, braked, heartbeat_at }) {
  mark(row, "data-state", !alive ? "bad" : braked ? "warn" : "ok");
  const state = !alive ? "silent" : braked ? "braked" : "alive";
  say(row.lastChild, `Watcher on ${machine ?? "an unnamed machine"} ${state}, heartbeat ${relative(heartbeat_at, now())}`);
}
