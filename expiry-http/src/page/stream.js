// The events as they happen: Server-Sent Events over `fetch`, since `EventSource` cannot send the
// token. A stream that breaks is taken up where it ended, so that nothing is skipped.

import { ApiError, send } from "./api.js";
import { stopwatch } from "./clock.js";

/** The service says something every 15 s; a stream that is silent for longer is dead. */
const SILENCE_MS = 20_000;
/** How long the stream of a page that nobody looks at stays: a browser has few connections per host. */
const HIDDEN_MS = 60_000;
const LOOK_MS = 1000;
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
    try {
      listener.message(told);
    } catch (error) {
      // A fault of the page, not of the stream.
      reportError(error);
    }
  };
  for (;;) {
    let why = "the stream ended";
    try {
      await readOnce(last, () => listener.state({ live: true }), message);
    } catch (error) {
      if (error instanceof ApiError && error.isUnauthorized) throw error;
      why = error instanceof ApiError ? error.message : "the stream broke";
      wait = Math.max(wait, (error.retryAfter ?? 0) * 1000);
    }
    // Not all pages come back in the same instant.
    const nap = wait * (1 + Math.random() / 2);
    listener.state({ live: false, retryAt: performance.now() + nap, why });
    await napOrSeen(nap);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

async function readOnce(last, isLive, message) {
  const over = new AbortController();
  let silence = stopwatch();
  let unseen = stopwatch();
  const looks = setInterval(() => {
    if (!document.hidden) unseen = stopwatch();
    if (silence() > SILENCE_MS || unseen() > HIDDEN_MS) over.abort();
  }, LOOK_MS);
  try {
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const answer = await send("/events/stream", { headers, signal: over.signal });
    isLive();
    const parse = parser(message);
    const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await text.read();
      if (done) return;
      silence = stopwatch();
      parse(value);
    }
  } finally {
    clearInterval(looks);
    over.abort();
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

/** Waits, or until the network is back or somebody looks at the page again; while nobody does, for that. */
function napOrSeen(ms) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      if (document.hidden) return;
      over.abort();
      clearTimeout(timer);
      resolve(undefined);
    };
    const timer = setTimeout(end, ms);
    window.addEventListener("online", end, { signal: over.signal });
    document.addEventListener("visibilitychange", end, { signal: over.signal });
  });
}
