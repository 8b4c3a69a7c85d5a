// Finding a subscriber by a part of the name, or by a MAC.

import { get } from "./api.js";
import { byId, el, follow, say } from "./dom.js";
import { now } from "./clock.js";
import { count, relative } from "./words.js";
import { open } from "./subscriber.js";

const DELAY_MS = 180;
const FOUND = 8;

let asked = new AbortController();
let timer = 0;

export function start() {
  const field = byId("search-field");
  const box = byId("search-box");
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, DELAY_MS);
  });
  box.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    ask().then(() => byId("search-list").querySelector("button")?.focus());
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      setOpen(false);
      field.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (byId("search-list").childElementCount > 0) setOpen(true);
      step(event.key === "ArrowDown" ? 1 : -1);
    }
  });
  box.addEventListener("focusout", (event) => {
    if (!box.contains(event.relatedTarget)) setOpen(false);
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = /** @type {Element} */ (event.target).closest("input, select, textarea, dialog");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping || byId("app").hidden) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
}

/** Moves among the field and the found, which are buttons below it. */
function step(by) {
  const stops = [byId("search-field"), ...byId("search-list").querySelectorAll("button")];
  const at = stops.indexOf(document.activeElement) + by;
  stops[Math.max(0, Math.min(stops.length - 1, at))].focus();
}

async function ask() {
  asked.abort();
  asked = new AbortController();
  const query = byId("search-field").value.trim();
  if (query === "") {
    show([]);
    setOpen(false);
    return;
  }
  const { signal } = asked;
  try {
    const found = await get(`/subscribers?limit=${FOUND}&q=${encodeURIComponent(query)}`, { signal });
    // Shown before it speaks: what is said in a hidden place is not heard.
    setOpen(true);
    show(found.items);
    const all = found.next === null ? count(found.items.length, "subscriber") : `The first ${FOUND}; type more to find others`;
    say(byId("search-words"), found.items.length === 0 ? `Nobody is found by “${query}”.` : all);
  } catch (error) {
    if (error.name === "AbortError") return;
    setOpen(true);
    show([]);
    say(byId("search-words"), `Cannot search: ${error.message}`);
  }
}

/** Who is found again keeps its row, and the focus with it, when a later answer comes. */
function show(items) {
  follow(byId("search-list"), items, (item) => JSON.stringify(item), row, () => {});
}

function setOpen(isOpen) {
  byId("search-found").hidden = !isOpen;
}

function row(subscriber) {
  const pick = () => {
    // Where the focus goes back to from the dialog.
    byId("search-field").focus();
    setOpen(false);
    open(subscriber.id, subscriber.username);
  };
  const { access, state, tenant_name: tenant, router } = subscriber;
  const place = [tenant, router && `only on ${router.name}`].filter(Boolean).join(" · ");
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", onclick: pick },
      el("span", { class: "lamp", "data-state": state === "live" ? "ok" : null }),
      el("span", { class: "found-name" }, subscriber.username, place && el("small", {}, place)),
      el("span", { class: "found-access" }, words(access, state)),
    ),
  );
}

function words(access, state) {
  if (access.kind === "forever") return "no end";
  if (access.kind === "none") return "no access";
  return `${state === "ended" ? "ended" : "ends"} ${relative(access.at, now())}`;
}
