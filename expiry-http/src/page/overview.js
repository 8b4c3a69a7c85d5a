// The last overview, and whether it still tells of now.

import { stopwatch } from "./clock.js";

/** Answers older than this say nothing of now. */
const STALE_MS = 15_000;

/** @type {any} what /overview answered */
let overview = null;
let age = () => Infinity;

export function keep(found) {
  overview = found;
  age = stopwatch();
}

/** What was known last; null before the first answer. */
export const last = () => overview;

/** What is known now; null if that is nothing. */
export const current = () => (age() > STALE_MS ? null : overview);
