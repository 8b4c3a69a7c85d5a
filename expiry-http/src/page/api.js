// Requests to the service, and the token that they need.

import { heard } from "./clock.js";

const KEY = "expiry.token";
const BASE = "/api/v1";
/** What is loaded again and again must not wait for a request that is lost. */
const PATIENCE_MS = 12_000;
/** A router may take its time until a test of it has failed. */
const LONG_PATIENCE_MS = 60_000;

/** What the service, or the way to it, said instead of an answer. */
export class ApiError extends Error {
  /**
   * @param {string} detail for people
   * @param {{status?: number, code?: string, retryAfter?: number}} [more] `status` is 0 if no answer
   *   came; `retryAfter` is in seconds
   */
  constructor(detail, { status = 0, code = "unreachable", retryAfter = 0 } = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  get isUnauthorized() {
    return this.status === 401;
  }

  /** Whether what was asked for may have been done all the same: only a refusal says that it was not. */
  get isLost() {
    return this.status < 400 || this.status >= 500;
  }
}

/** The token lives as long as the tab: it is in no cookie, no address and no lasting storage. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export const get = (path, options) => ask(path, { ...options, method: "GET" });

/** @param {string} path @param {object} [body] */
export const post = (path, body) => ask(path, { method: "POST", body });

async function ask(path, { method, body, signal, as = token.get() }) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const patience = AbortSignal.timeout(method === "GET" ? PATIENCE_MS : LONG_PATIENCE_MS);
  const answer = await send(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: signal ? AbortSignal.any([signal, patience]) : patience,
    as,
  });
  const found = await answer.json().catch(() => {
    throw new ApiError("the service sent something that is no answer", { status: answer.status });
  });
  if (found.now) heard(found.now);
  return found;
}

/**
 * Sends a request with the token, and returns the answer if it is a good one.
 *
 * @param {string} path below /api/v1, or a whole one that begins with /api/
 * @param {RequestInit & {as?: string|null}} options `as` is the token
 * @returns {Promise<Response>}
 * @throws {ApiError}
 */
export async function send(path, { headers, as = token.get(), ...options }) {
  const request = {
    ...options,
    headers: { ...headers, Authorization: `Bearer ${as ?? ""}` },
    cache: /** @type {const} */ ("no-store"),
  };
  let answer;
  try {
    answer = await fetch(path.startsWith("/api/") ? path : BASE + path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const isLate = error.name === "TimeoutError";
    throw new ApiError(isLate ? "the service did not answer in time" : "the service cannot be reached");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  const detail = problem.detail ?? problem.message ?? `the service answered ${answer.status}`;
  const retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  return new ApiError(detail, { status: answer.status, code: problem.code, retryAfter });
}
