// Two plots of lags, drawn as SVG in real pixels, so that text keeps its size on every screen.

import { el, svg } from "./dom.js";
import { number, span, timeThen, utc } from "./words.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Lines across: lags differ by more than five powers of ten, and are compared by their power. */
const LEVELS = [1, 10, 100, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 10 * HOUR, 4 * DAY];
/** How much time a plot shows, and in how many parts: the least into which everything fits. */
const WINDOWS = [
  [5 * MINUTE, 5],
  [15 * MINUTE, 3],
  [HOUR, 4],
  [6 * HOUR, 6],
  [DAY, 4],
  [7 * DAY, 7],
  [30 * DAY, 3],
  [360 * DAY, 4],
];
/** Below this width, in pixels, not every time has room for its name, but both ends have. */
const NARROW = 460;

/**
 * @typedef {object} Lag
 * @property {string} at
 * @property {number} lag_ms
 * @property {boolean} outage whether it waited for a router that was down
 * @property {string} router
 */

/**
 * Draws lags over time.
 *
 * @param {Lag[]} lags oldest first
 * @param {{width: number, height: number, now: number, p99: number|null}} frame
 */
export function overTime(lags, { width, height, now, p99 }) {
  const edge = { left: 52, right: 12, top: 12, bottom: 26 };
  const oldest = lags.length > 0 ? now - Date.parse(lags[0].at) : 0;
  const [window, parts] = WINDOWS.find(([size]) => size >= oldest) ?? [oldest, 2];
  const [low, high] = levelsAround(lags.map((lag) => lag.lag_ms));
  const x = (at) => edge.left + (width - edge.left - edge.right) * (1 - (now - at) / window);
  const y = (ms) => {
    const share = Math.log(Math.max(ms, low) / low) / Math.log(high / low);
    return height - edge.bottom - share * (height - edge.top - edge.bottom);
  };
  const plot = frameOf(width, height);
  for (const level of LEVELS.filter((level) => level >= low && level <= high)) {
    plot.append(
      svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(level), y2: y(level) }),
      svg("text", { class: "tick", x: edge.left - 8, y: y(level) + 4, "text-anchor": "end" }, span(level)),
    );
  }
  const every = width >= NARROW ? 1 : parts % 2 === 0 ? 2 : parts;
  for (let part = parts; part >= 0; part -= every) {
    const ago = Math.round(window * (1 - part / parts));
    const anchor = part === 0 ? "start" : part === parts ? "end" : "middle";
    const words = part === parts ? "now" : `${span(ago)} ago`;
    const place = { x: x(now - ago), y: height - 6, "text-anchor": anchor };
    plot.append(svg("text", { class: "tick", ...place }, words));
  }
  if (p99 !== null && p99 >= low && p99 <= high) {
    const ends = { x1: edge.left, x2: width - edge.right, y1: y(p99), y2: y(p99) };
    const place = { x: width - edge.right, y: y(p99) - 5, "text-anchor": "end" };
    plot.append(
      svg("line", { class: "level", ...ends }),
      svg("text", { class: "level-name", ...place }, `99 % within ${span(p99)}`),
    );
  }
  for (const lag of lags) {
    const at = Date.parse(lag.at);
    if (now - at > window) continue;
    plot.append(dot(lag, x(Math.min(at, now)), y(lag.lag_ms)));
  }
  return plot;
}

function dot(lag, x, y) {
  const words = `${span(lag.lag_ms)} on ${lag.router}, ${utc(lag.at)}`;
  const told = svg("title", {}, lag.outage ? `${words}, the router having been down` : words);
  if (!lag.outage) return svg("circle", { class: "dot", cx: x, cy: y, r: 3.5 }, told);
  const corners = [[0, -5], [5, 0], [0, 5], [-5, 0]];
  const points = corners.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" ");
  return svg("polygon", { class: "dot outage", points }, told);
}

/** The lines that enclose all values, at least two powers of ten. */
function levelsAround(values) {
  const least = Math.min(...values, 20);
  const most = Math.max(...values, 500);
  const low = LEVELS.findLast((level) => level <= least) ?? LEVELS[0];
  const high = LEVELS.find((level) => level >= most) ?? most;
  return [low, high];
}

/**
 * Draws how many lags fell into each bucket: upwards those with the router up, downwards, on a scale
 * of their own, those that waited for a router.
 *
 * @param {{le_ms: number|null, count: number}[]} cuts
 * @param {{le_ms: number|null, count: number}[]} outage the same buckets
 * @param {{width: number, height: number}} frame
 */
export function histogram(cuts, outage, { width, height }) {
  const used = cuts.map((bucket, at) => bucket.count + outage[at].count > 0);
  const first = Math.max(0, Math.min(used.indexOf(true), 2) - 1);
  const last = Math.min(cuts.length - 1, Math.max(used.lastIndexOf(true) + 1, 7));
  const places = last - first + 1;
  const side = 8;
  const step = (width - 2 * side) / places;
  // Names that are too long for one line take turns on two.
  const lines = step < 46 ? 2 : 1;
  const names = 8 + 13 * lines;
  const edge = { left: side, right: side, top: 20, bottom: names + 3 };
  const hasOutage = outage.some((bucket) => bucket.count > 0);
  const room = height - edge.top - edge.bottom;
  const axis = hasOutage ? edge.top + room * 0.62 : height - edge.bottom;
  const plot = frameOf(width, height);
  plot.append(svg("line", { class: "axis", x1: edge.left, x2: width - edge.right, y1: axis, y2: axis }));
  const bars = (buckets, style, length, top) => {
    const most = Math.max(...buckets.map((bucket) => bucket.count), 1);
    buckets.slice(first, last + 1).forEach((bucket, at) => {
      if (bucket.count === 0) return;
      const size = Math.max(2, (length * bucket.count) / most);
      const x = edge.left + at * step + step * 0.14;
      const shape = { x, y: top ? axis - size : axis + names, width: step * 0.72, height: size, rx: 3 };
      const told = svg("title", {}, `${bound(buckets, first + at)}: ${number(bucket.count)}`);
      const name = { x: x + step * 0.36, y: top ? axis - size - 5 : axis + names + 12 + size, "text-anchor": "middle" };
      plot.append(
        svg("rect", { class: `bar ${style}`, ...shape }, told),
        svg("text", { class: "tick", ...name }, compact(bucket.count)),
      );
    });
  };
  bars(cuts, "", axis - edge.top, true);
  if (hasOutage) bars(outage, "outage", height - axis - names - 20, false);
  for (let at = first; at <= last; at += 1) {
    const words = cuts[at].le_ms === null ? "more" : span(cuts[at].le_ms);
    const place = { x: edge.left + (at - first + 0.5) * step, y: axis + 15 + 13 * ((at - first) % lines), "text-anchor": "middle" };
    plot.append(svg("text", { class: "tick", ...place }, words));
  }
  return plot;
}

function compact(n) {
  if (n < 10_000) return number(n);
  return n < 1_000_000 ? `${Math.floor(n / 1000)}k` : `${Math.floor(n / 1_000_000)}M`;
}

/** What is in a bucket, in words. */
export function bound(buckets, at) {
  const above = at > 0 ? buckets[at - 1].le_ms : null;
  const { le_ms: most } = buckets[at];
  if (most === null) return `more than ${span(above)}`;
  return above === null ? `up to ${span(most)}` : `${span(above)} to ${span(most)}`;
}

/** A table that says what a plot shows. */
export function table(caption, head, rows) {
  const cells = (row) => row.map((cell, at) => (at === 0 ? el("th", { scope: "row" }, cell) : el("td", {}, cell)));
  return el(
    "table",
    { class: "figures" },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row)))),
  );
}

/** The time at which something was confirmed, and what it was, for a table. */
export function rowOf(lag, now) {
  return [timeThen(lag.at, now), lag.router, span(lag.lag_ms), lag.outage ? "waited for the router" : ""];
}

function frameOf(width, height) {
  // Said by the words beside it, and by the table below it.
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", class: "plot" });
}
