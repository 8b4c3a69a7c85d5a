// The live page: signs in, loads what each part shows, and loads it again when something happens.

import { ApiError, get, token } from "./api.js";
import { everySecond, heard, now } from "./clock.js";
import { byId, closable, mark, say } from "./dom.js";
import * as feed from "./feed.js";
import * as health from "./health.js";
import * as lag from "./lag.js";
import * as overview from "./overview.js";
import * as owed from "./owed.js";
import * as routers from "./routers.js";
import * as search from "./search.js";
import { showApp, signIn, signOut } from "./signin.js";
import { followEvents } from "./stream.js";
import * as subscriber from "./subscriber.js";
import * as upcoming from "./upcoming.js";
import { timeOfDay } from "./words.js";

/**
 * What is loaded: at the start, after something happened (but no more often than `least`), and after
 * `most` without that, in milliseconds. `fail` is told when it could not be.
 */
const PARTS = [
  {
    path: () => "/overview",
    least: 1000,
    most: 5000,
    show(found) {
      overview.keep(found);
      health.show();
      routers.show(found);
      owed.offer(found);
    },
    fail: health.fail,
  },
  { path: () => `/upcoming?limit=${upcoming.ASKED}`, least: 700, most: 10_000, problem: "upcoming", show: upcoming.show, fail: upcoming.fail },
  { path: owed.path, least: 700, most: 10_000, problem: "owed", show: owed.show, fail: owed.fail },
  {
    path: () => "/lag",
    least: 15_000,
    most: 60_000,
    problem: "lag",
    show(found) {
      lag.show(found);
      routers.tick();
    },
  },
];

/** @type {any} the state of the stream of events */
let connection = { live: false, retryAt: 0, why: "" };

async function main() {
  byId("loading").hidden = true;
  byId("sign-out").addEventListener("click", () => signOut());
  const isNew = token.get() === null;
  if (isNew) await signIn();
  showApp();
  // The field that had the focus is gone.
  if (isNew) byId("content").focus({ preventScroll: true });
  for (const dialog of document.querySelectorAll("dialog")) closable(dialog);
  upcoming.start();
  owed.start(() => loadAll());
  feed.start();
  lag.start();
  search.start();
  subscriber.start(() => loadAll());
  const parts = PARTS.map(loader);
  loadAll = () => parts.forEach((part) => part.soon());
  loadAll();
  document.addEventListener("visibilitychange", () => document.hidden || loadAll());
  everySecond(tick);
  try {
    await followEvents({ message, state });
  } catch (error) {
    refused(error);
  }
}

let loadAll = () => {};

function message({ event, data }) {
  if (event === "ready") heard(data.now);
  if (event === "ready" || event === "resync") {
    loadFeed({ anew: event === "resync" });
    subscriber.reload();
  }
  if (event === "audit") happened(data);
  loadAll();
}

function state(told) {
  connection = told;
  showConnection();
  // So that it is known soon what cannot be known any more.
  if (!told.live) loadAll();
}

/** Asks for the token again if it is not accepted any more; else passes the error on. */
function refused(error) {
  if (!(error instanceof ApiError && error.isUnauthorized)) throw error;
  signOut("The token is not accepted any more. Please sign in again.");
}

function happened(event) {
  feed.add(event);
  lag.confirmed(event);
  upcoming.confirmed(event);
  subscriber.happened(event);
}

async function loadFeed(how) {
  try {
    await feed.load(how);
    problem("feed", "");
  } catch (error) {
    problem("feed", `Cannot be loaded: ${error.message}`);
  }
}

/** Loads one part again and again while somebody looks, one request at a time. */
function loader(part) {
  let timer = 0;
  let last = -Infinity;
  let isLoading = false;
  let wanted = 0;
  let age = "";
  const load = async () => {
    if (document.hidden) return;
    isLoading = true;
    wanted -= 1;
    last = performance.now();
    try {
      part.show(await get(part.path()));
      if (part.problem) problem(part.problem, "");
      age = ` What is shown is of ${timeOfDay(now())} UTC.`;
    } catch (error) {
      if (error.isUnauthorized) return refused(error);
      if (part.problem) problem(part.problem, `Cannot be loaded: ${error.message}.${age}`);
      part.fail?.(error);
    }
    isLoading = false;
    plan(wanted > 0 ? part.least : part.most);
  };
  const plan = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(load, Math.max(0, wait - (performance.now() - last)));
  };
  const soon = () => {
    // Answers may be up to a second old, so the first after an event may not know of it yet.
    wanted = 2;
    if (!isLoading) plan(part.least);
  };
  return { soon };
}

function problem(name, text) {
  const line = byId(`${name}-problem`);
  say(line, text);
  line.hidden = text === "";
}

function tick(at) {
  say(byId("clock"), timeOfDay(at));
  health.tick();
  upcoming.tick();
  owed.tick();
  routers.tick();
  feed.tick(at);
  subscriber.tick();
  if (Math.floor(at / 1000) % 5 === 0) lag.tick();
  showConnection();
}

function showConnection() {
  const { live, retryAt, why } = connection;
  const chip = byId("connection");
  mark(chip, "data-state", live ? "ok" : "warn");
  mark(chip, "title", live ? "Events arrive as they happen" : why || null);
  const wait = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
  say(byId("connection-word"), live ? "Live" : wait > 0 ? `Back in ${wait} s` : "Connecting…");
}

main();
