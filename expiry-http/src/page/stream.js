// The events as they happen: Server-Sent Events over `fetch`, since `EventSource` cannot send the
// token. A stream that breaks is taken up where it ended, so that nothing is skipped.

import { ApiError, send } from "./api.js";

/** The service says something every 15 s; a stream that is silent for longer is dead. */
const SILENCE_MS = 40_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/**
 * @typedef {object} Listener
 * @property {(message: {event: string, id: string|null, data: any}) => void} message
 * @property {(state: {live: true} | {live: false, retryAt: number, why: string}) => void} state
 *   `retryAt` is of `performance.now()`
 */

/**
 * Follows the events until the token is refused, and throws that. Never returns otherwise.
 *
 * @param {Listener} listener
 * @returns {Promise<never>}
 */
export async function followEvents(listener) {
  let last = null;
  let wait = FIRST_WAIT_MS;
  const message = (told) => {
    wait = FIRST_WAIT_MS;
    if (told.id) last = told.id;
    listener.message(told);
  };
  for (;;) {
    let why = "the stream ended";
    try {
      await readOnce(last, () => listener.state({ live: true }), message);
    } catch (error) {
      if (error instanceof ApiError && error.isUnauthorized) throw error;
      why = error instanceof ApiError ? error.message : "the stream broke";
      if (error.retryAfter) wait = error.retryAfter * 1000;
    }
    // Not all pages come back in the same instant.
    const nap = wait * (0.75 + Math.random() / 2);
    listener.state({ live: false, retryAt: performance.now() + nap, why });
    await napOrOnline(nap);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

async function readOnce(last, isLive, message) {
  const dead = new AbortController();
  let watchdog = setTimeout(() => dead.abort(), SILENCE_MS);
  try {
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const answer = await send("/events/stream", { headers, signal: dead.signal });
    isLive();
    const parse = parser(message);
    const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await text.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => dead.abort(), SILENCE_MS);
      parse(value);
    }
  } finally {
    clearTimeout(watchdog);
    dead.abort();
  }
}

/** Makes a reader of the text of a stream, which may be split anywhere. */
function parser(message) {
  let rest = "";
  let told = { event: "message", id: null, data: [] };
  const line = (text) => {
    if (text === "") {
      if (told.data.length > 0) message({ ...told, data: JSON.parse(told.data.join("\n")) });
      told = { event: "message", id: null, data: [] };
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "data") told.data.push(value);
    else if (field === "event" || field === "id") told[field] = value;
  };
  return (chunk) => {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? "";
    lines.forEach(line);
  };
}

/** Waits, or until the network is back or somebody looks at the page again. */
function napOrOnline(ms) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      over.abort();
      clearTimeout(timer);
      resolve(undefined);
    };
    const timer = setTimeout(end, ms);
    window.addEventListener("online", end, { signal: over.signal });
    const seen = () => document.visibilityState === "visible" && end();
    document.addEventListener("visibilitychange", seen, { signal: over.signal });
  });
}
