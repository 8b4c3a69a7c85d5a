// Times and lengths of time in words. Times are UTC, as everywhere in the product.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (number) => String(number).padStart(2, "0");

/** How long something took: its largest unit, and the next smaller one where that matters. */
export function span(ms) {
  if (ms < SECOND) return `${Math.floor(ms)} ms`;
  if (ms < 10 * SECOND) return `${trimmed(ms / SECOND)} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < 10 * MINUTE) return both(ms, MINUTE, "min", SECOND, "s");
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return both(ms, HOUR, "h", MINUTE, "min");
  return both(ms, DAY, "d", HOUR, "h");
}

function trimmed(number) {
  return (Math.floor(number * 10) / 10).toFixed(1).replace(/\.0$/, "");
}

function both(ms, large, largeUnit, small, smallUnit) {
  const rest = Math.floor((ms % large) / small);
  const most = `${Math.floor(ms / large)} ${largeUnit}`;
  return rest === 0 ? most : `${most} ${rest} ${smallUnit}`;
}

/** What is left until a deadline, to the second. It shows zero only when nothing is left. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / SECOND));
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24];
  const [minutes, rest] = [Math.floor(seconds / 60) % 60, seconds % 60];
  if (days > 0) return `${days} d ${two(hours)} h`;
  if (hours > 0) return `${hours}:${two(minutes)}:${two(rest)}`;
  return `${minutes}:${two(rest)}`;
}

/** How long ago a time was, or how far ahead it is. */
export function relative(at, now) {
  const ago = now - Date.parse(at);
  if (Math.abs(ago) < SECOND) return ago >= 0 ? "just now" : "now";
  return ago >= 0 ? `${span(ago)} ago` : `in ${span(-ago)}`;
}

/** A time of day, for what is of today. */
export function timeOfDay(at) {
  return new Date(at).toISOString().slice(11, 19);
}

/** A time of day, after the date if that is not today's. */
export function timeThen(at, now) {
  const [day, today] = [at, now].map((time) => new Date(time).toISOString().slice(0, 10));
  return day === today ? timeOfDay(at) : `${day.slice(5)} ${timeOfDay(at)}`;
}

/** A time with its date. */
export function utc(at) {
  const text = new Date(at).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`;
}

/** A time with its date, and the same by the clock of who reads it: for tool tips. */
export function bothClocks(at) {
  return `${utc(at)}\n${new Date(at).toLocaleString()} here`;
}

/** A time with its date, and the same by the clock of who reads it where that is another one. */
export function utcAndHere(at) {
  const time = new Date(at);
  if (time.getTimezoneOffset() === 0) return utc(at);
  return `${utc(at)} (${time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })} here)`;
}

/** A whole number, in groups of three digits. */
export function number(n) {
  return n.toLocaleString("en-GB").replaceAll(",", "\u202f");
}

/** A number with its noun, which only needs an `s` for more than one. */
export function count(n, noun) {
  return `${number(n)} ${n === 1 ? noun : `${noun}s`}`;
}

/** How far a router's clock is off. */
export function skew(seconds) {
  const size = Math.abs(seconds);
  if (size < 1) return "in step";
  return `${span(size * SECOND)} ${seconds > 0 ? "ahead" : "behind"}`;
}

/** What the service says as a sentence: it begins in lower case. */
export function sentence(text) {
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text.charAt(0).toUpperCase() + text.slice(1) + end;
}
