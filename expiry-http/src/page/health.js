// Health in one glance, with the reasons, and the figures beside it.

import { announce, byId, el, follow, icon, mark, say } from "./dom.js";
import { now } from "./clock.js";
import { current, last } from "./overview.js";
import { inService } from "./routers.js";
import { count, number, relative, sentence } from "./words.js";

const WORDS = {
  healthy: { title: "Healthy", sign: "check" },
  needs_attention: { title: "Needs attention", sign: "alert" },
  critical: { title: "Critical", sign: "stop" },
  unknown: { title: "Unknown", sign: "question" },
};

let trouble = "";
let shown = "";

/** Shows an overview that just came. */
export function show() {
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
  if (!last() && !trouble) return;
  const health = current()?.health ?? "unknown";
  const { title, sign } = WORDS[health] ?? WORDS.unknown;
  mark(document.documentElement, "data-health", health);
  for (const id of ["health-word", "health-chip-word"]) say(byId(id), title);
  const told = current()?.health_reasons ?? [unknown()];
  if (shown !== health) {
    byId("health-sign").replaceChildren(icon(sign));
    document.title = health === "healthy" ? "Expiry" : `${title} – Expiry`;
    if (shown !== "") announce([`Health: ${title}.`, ...told.slice(0, 1).map(sentence)].join(" "));
    shown = health;
  }
  reasons(told);
  if (last()) figures();
}

function reasons(told) {
  say(byId("health-lead"), told.length === 0 ? lead() : "");
  byId("health-lead").hidden = told.length > 0;
  const items = told.map((text, at) => ({ text, at }));
  follow(byId("health-reasons"), items, ({ at }) => at, () => el("li"), (row, { text }) => say(row, sentence(text)));
}

function lead() {
  const { owed_restores: restores } = last().counts;
  const off = "Everybody whose access ended is confirmed off.";
  return restores > 0 ? `${off} ${count(restores, "restore")} still to be confirmed.` : off;
}

function unknown() {
  const age = last() ? `: what is shown is of ${relative(last().now, now())}` : "";
  return `${trouble || "the service does not answer"}${age}`;
}

function figures() {
  const { counts, routers, watchers, version } = last();
  const { all, up } = inService(routers);
  figure("live", number(counts.live_subscribers));
  figure("soon", number(counts.expiring_in_30_min));
  figure("owed", number(counts.owed_subscribers), counts.owed_subscribers > 0 ? "bad" : null);
  owing(counts);
  figure("routers", all > 0 ? `${up}/${all}` : "–", up < all ? "warn" : null);
  const alive = watchers.filter((watcher) => watcher.alive && watcher.kind === "watcher");
  follow(byId("watchers"), alive.length > 0 ? alive : watchers.slice(0, 1), (of) => of.id, watcherRow, watcher);
  byId("no-watcher").hidden = watchers.length > 0;
  say(byId("version"), version);
}

/** Who is late now must not drown in those who had ended before anybody could know. */
function owing({ late_subscribers: late, backlog_subscribers: left, backlog_of: all }) {
  const backlog = left > 0 ? `${number(left)} of ${number(all)}` : "none";
  say(byId("health-owing"), `Not confirmed off: ${number(late)} late now; of the old backlog ${backlog}.`);
  byId("health-owing").hidden = late + left === 0;
}

function figure(name, text, state = null) {
  say(byId(`figure-${name}`), text);
  mark(byId(`figure-${name}`), "data-state", state);
}

function watcherRow() {
  return el("li", {}, el("span", { class: "lamp" }), el("span"));
}

function watcher(row, { machine, alive, braked, heartbeat_at }) {
  const isKnown = current() !== null;
  mark(row, "data-state", !isKnown ? null : !alive ? "bad" : braked ? "warn" : "ok");
  const state = !isKnown ? "not known now" : !alive ? "silent" : braked ? "braked" : "alive";
  say(row.lastChild, `Watcher on ${machine ?? "an unnamed machine"} ${state}, heartbeat ${relative(heartbeat_at, now())}`);
}
