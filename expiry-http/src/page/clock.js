// The database's time. The clock of the browser's machine is never trusted: it may be minutes off.

/** How many of the latest answers count: enough to outlast a cache, few enough to follow a change. */
const SAMPLES = 12;

/** @type {number[]} server time less the browser's steady clock, of the latest answers */
const offsets = [];

/**
 * Learns from a time that just came from the server. It is never ahead of the server's clock, only
 * late: by the way, or because the answer was cached. So the largest offset is the nearest.
 *
 * @param {string} time RFC 3339
 */
export function heard(time) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return;
  offsets.push(at - performance.now());
  if (offsets.length > SAMPLES) offsets.shift();
}

/** The database's time in milliseconds; the browser's until the first answer. */
export function now() {
  return offsets.length > 0 ? Math.max(...offsets) + performance.now() : Date.now();
}

/** Calls `tick` at each full second of the database's clock, and at once. */
export function everySecond(tick) {
  const beat = () => {
    // First of all: a tick that fails must not be the last one.
    setTimeout(beat, 1000 - (now() % 1000));
    tick(now());
  };
  beat();
}

/**
 * Begins to count, and makes what tells the milliseconds since. By two clocks: the steady one may
 * stand still while the machine sleeps, the other may be set back.
 */
export function stopwatch() {
  const [wall, steady] = [Date.now(), performance.now()];
  return () => Math.max(Date.now() - wall, performance.now() - steady);
}
