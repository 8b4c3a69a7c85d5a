// One subscriber: why it is or is not online, what happened, and the two changes: extend, revoke.

import { get, post } from "./api.js";
import { byId, el, follow, mark, say, setTime } from "./dom.js";
import { now } from "./clock.js";
import { countdown, relative, timeOfDay, utcAndHere } from "./words.js";

const UNITS = { minutes: 60, hours: 3600, days: 86_400 };
const RELOAD_MS = 400;

/** @type {any} what /explain answered of the subscriber that is shown */
let explained = null;
let shown = 0;
let timer = 0;
/** Whether a change is under way: a second one must not be made by mistake. */
let isChanging = false;
/** Told after a change: it may be made elsewhere, too. */
let changed = () => {};

/** @param {() => void} onChange called after a change that was made here */
export function start(onChange) {
  changed = onChange;
  byId("subscriber").addEventListener("close", () => {
    shown = 0;
    clearTimeout(timer);
  });
  const form = byId("extend");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    extend();
  });
  form.addEventListener("input", preview);
  form.addEventListener("change", preview);
  byId("revoke").addEventListener("click", confirmRevoke);
  byId("confirm-yes").addEventListener("click", revoke);
}

/** Opens the dialog of one subscriber. */
export function open(id, username) {
  shown = id;
  explained = null;
  const dialog = byId("subscriber");
  say(byId("subscriber-name"), username);
  for (const part of ["subscriber-about", "subscriber-left"]) say(byId(part), "");
  byId("subscriber-state").hidden = true;
  byId("subscriber-body").hidden = true;
  tell("problem", "");
  tell("note", "");
  tell("stale", "");
  byId("subscriber-loading").hidden = false;
  byId("extend").reset();
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  load();
}

/** Something happened to a subscriber: if it is the one that is shown, it is explained anew. */
export function happened({ subscriber, kind }) {
  if (subscriber === shown || kind.startsWith("router_") || kind.startsWith("brake_")) reload();
}

/** Explains anew whoever is shown. */
export function reload() {
  if (shown === 0) return;
  clearTimeout(timer);
  timer = setTimeout(load, RELOAD_MS);
}

async function load() {
  const id = shown;
  try {
    const found = await get(`/subscribers/${id}/explain`);
    if (id !== shown) return;
    explained = found;
    draw();
    tell("stale", "");
  } catch (error) {
    if (id === shown) tell("stale", `Cannot be explained${explained ? " anew" : ""}: ${error.message}`);
  }
  byId("subscriber-loading").hidden = true;
}

function draw() {
  const { subscriber, summary, events } = explained;
  const about = [subscriber.tenant_name, subscriber.router && `only on ${subscriber.router.name}`, ...subscriber.devices];
  say(byId("subscriber-name"), subscriber.username);
  say(byId("subscriber-about"), about.filter(Boolean).join(" · "));
  byId("subscriber-body").hidden = false;
  const lines = summary.map((text, at) => ({ text, at }));
  follow(byId("subscriber-why"), lines, ({ at }) => at, () => el("p"), (row, { text }) => say(row, text));
  const latest = [...events].reverse();
  follow(byId("subscriber-events"), latest, (event) => event.id, eventRow, () => {});
  byId("subscriber-eventless").hidden = latest.length > 0;
  const hasEnd = subscriber.access.kind !== "forever";
  byId("extend").hidden = !hasEnd;
  byId("extend-never").hidden = hasEnd;
  tick();
}

function eventRow(event) {
  const time = el("time", {}, `${event.at.slice(5, 10)} ${timeOfDay(event.at)}`);
  setTime(time, event.at);
  return el("li", {}, time, el("span", {}, event.text));
}

/** Follows the time. */
export function tick() {
  if (shown === 0 || !explained) return;
  const { access } = explained.subscriber;
  const left = access.kind === "until" ? Date.parse(access.at) - now() : 0;
  const isLive = access.kind === "forever" || left > 0;
  const state = byId("subscriber-state");
  state.hidden = false;
  mark(state, "data-state", isLive ? "ok" : null);
  say(state, isLive ? "access" : access.kind === "none" ? "no access" : "ended");
  say(byId("subscriber-left"), words(access, left));
  preview();
}

function words(access, left) {
  if (access.kind === "none") return "Nothing was bought.";
  if (access.kind === "forever") return "No end.";
  const when = utcAndHere(access.at);
  return left > 0 ? `${countdown(left)} left, until ${when}` : `${relative(access.at, now())}, ${when}`;
}

/** How much is to be given, in seconds; 0 if that cannot be read. */
function wanted() {
  const form = byId("extend");
  if (form.elements.span.value !== "other") return Number(form.elements.span.value);
  const amount = Number(form.elements.amount.value);
  return amount > 0 ? Math.round(amount * UNITS[form.elements.unit.value]) : 0;
}

function preview() {
  const form = byId("extend");
  byId("extend-other").hidden = form.elements.span.value !== "other";
  const seconds = wanted();
  byId("extend-do").disabled = isChanging || seconds === 0;
  byId("revoke").disabled = isChanging || explained?.subscriber.state !== "live";
  if (!explained || seconds === 0) return say(byId("extend-preview"), "");
  const { access } = explained.subscriber;
  const end = access.kind === "until" ? Math.max(Date.parse(access.at), now()) : now();
  const date = new Date(end + seconds * 1000);
  say(byId("extend-preview"), Number.isNaN(date.getTime()) ? "" : `Access then ends at ${utcAndHere(date)}.`);
}

async function extend() {
  const { id, username } = explained.subscriber;
  const seconds = wanted();
  await change(username, "extended", async () => {
    const { access } = await post(`/subscribers/${id}/extend`, { seconds });
    return `${username} now has access until ${utcAndHere(access.at)}.`;
  });
}

function confirmRevoke() {
  say(byId("confirm-name"), explained.subscriber.username);
  byId("confirm").showModal();
}

async function revoke() {
  const { id, username } = explained.subscriber;
  byId("confirm").close();
  await change(username, "revoked", async () => {
    await post(`/subscribers/${id}/revoke`);
    return `The access of ${username} was revoked.`;
  });
}

/** Makes a change once, and says what came of it where it was asked for. */
async function change(username, done, make) {
  if (isChanging) return;
  isChanging = true;
  const id = shown;
  tell("problem", "");
  tell("note", "");
  // To where it will be told: the button in use is about to be disabled.
  byId("subscriber-told").focus();
  preview();
  try {
    const told = await make();
    if (id === shown) tell("note", told);
    changed();
  } catch (error) {
    const unknown = `It is not known whether ${username} was ${done}: look before you try again`;
    const told = error.isLost ? `${unknown} (${error.message}).` : `Not ${done}: ${error.message}`;
    if (id === shown) tell("problem", told);
  }
  byId("subscriber").scrollTop = 0;
  // Until it is known what came of it, nobody can tell what a second change would do.
  if (shown !== 0) await load();
  isChanging = false;
  preview();
}

function tell(name, text) {
  const line = byId(`subscriber-${name}`);
  say(line, text);
  line.hidden = text === "";
}
