// How fast cuts are: over time, as a histogram, and as tables of the same.

import { byId, say, soon } from "./dom.js";
import { now } from "./clock.js";
import { bound, histogram, overTime, rowOf, table } from "./plots.js";
import { count, number, span } from "./words.js";

/** As many as the service tells. */
const KEPT = 500;
/** As many as a table can show to a reader. */
const TABLED = 20;
const DRAWN_MS = 500;

/** @type {any} the last report */
let report = null;
/** @type {Map<number, any>} of the last report, the lags of cuts by router */
let byRouter = new Map();

export function start() {
  new ResizeObserver(tick).observe(byId("lag-over-time"));
  new ResizeObserver(drawHistogram).observe(byId("lag-histogram"));
}

/** @param {any} found what /lag answered */
export function show(found) {
  report = { ...found, recent: found.recent.filter((lag) => lag.want === "cut") };
  byRouter = new Map(found.routers.map(({ id, cuts }) => [id, cuts]));
  tick();
  drawHistogram();
  words();
}

/** Draws a cut that was just confirmed; what is counted since the start follows with the next report. */
export function confirmed(event) {
  if (!report || event.kind !== "cut_confirmed" || event.lag_ms === null) return;
  const { at, lag_ms, outage, router_name: router } = event;
  if (report.recent.some((lag) => lag.at === at && lag.lag_ms === lag_ms && lag.router === router)) return;
  report.recent = [...report.recent, { at, lag_ms, outage, router, want: "cut" }].slice(-KEPT);
  drawSoon();
}

const drawSoon = soon(tick, DRAWN_MS);

/** Follows the time. */
export function tick() {
  if (!report) return;
  const p99 = mostWithin(report.recent);
  say(byId("figure-lag"), p99 === null ? "–" : span(p99));
  place("lag-over-time", (frame) => overTime(report.recent, { ...frame, now: now(), p99 }));
}

function drawHistogram() {
  if (!report) return;
  const { cuts, outage_cuts: outage } = report.all;
  place("lag-histogram", (frame) => histogram(cuts.buckets, outage.buckets, frame));
}

/** Within how long 99 % of these were cut whose router was up; null without any. */
function mostWithin(lags) {
  const up = lags.filter((lag) => !lag.outage).map((lag) => lag.lag_ms).sort((a, b) => a - b);
  return up.length > 0 ? up[Math.ceil(up.length * 0.99) - 1] : null;
}

function place(id, plot) {
  const box = byId(id);
  const { clientWidth: width, clientHeight: height } = box;
  if (width > 0 && height > 0) box.replaceChildren(plot({ width, height }));
}

function words() {
  const { cuts, outage_cuts: outage, known_late_cuts: late } = report.all;
  say(byId("health-known"), `Ended before they were known, cut after that, no lag: ${figures(late)}.`);
  byId("health-known").hidden = late.count === 0;
  say(byId("lag-words"), cuts.count + outage.count === 0 ? "No cut was confirmed yet." : "");
  byId("lag-legend-outage").hidden = outage.count === 0;
  say(byId("lag-cuts"), figures(cuts));
  say(byId("lag-outage"), figures(outage));
  byId("lag-tables").replaceChildren(
    table(
      "How many cuts took how long",
      ["From the end of access to the confirmed cut", "Router up", "Waited for a router"],
      cuts.buckets
        .map((bucket, at) => [bound(cuts.buckets, at), bucket.count, outage.buckets[at].count])
        .filter(([, up, waited]) => up + waited > 0)
        .map(([name, ...counts]) => [name, ...counts.map(number)]),
    ),
    table(
      "By router",
      ["Router", "Cuts", "p50", "p99", "Longest"],
      report.routers.map(({ router, cuts: of }) => [
        router ?? "removed routers",
        number(of.count),
        of.count > 0 ? `≤ ${span(of.p50_ms)}` : "none yet",
        of.count > 0 ? `≤ ${span(of.p99_ms)}` : "",
        of.count > 0 ? span(of.max_ms) : "",
      ]),
    ),
    table(
      `The latest ${TABLED} cuts`,
      ["Confirmed (UTC)", "Router", "Lag", ""],
      report.recent.slice(-TABLED).reverse().map((lag) => rowOf(lag, now())),
    ),
  );
}

function figures(of) {
  if (of.count === 0) return "none yet";
  return `${count(of.count, "cut")} since the start: half within ${span(of.p50_ms)}, 99 % within ${span(of.p99_ms)}, longest ${span(of.max_ms)}`;
}

/** The lag of most cuts of one router, in few words; empty without any. */
export function onRouter(id) {
  const cuts = byRouter.get(id);
  return cuts && cuts.count > 0 ? `≤ ${span(cuts.p99_ms)}` : "";
}
