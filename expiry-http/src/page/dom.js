// Making and updating elements. Whatever is shown becomes a text node: nothing here, or anywhere on
// the page, parses markup, so nothing typed by a subscriber or sent by a router can be any.

import { bothClocks } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} id @returns {any} the element of index.html with that id */
export const byId = (id) => document.getElementById(id);

/**
 * Makes an HTML element. Attributes that begin with `on` are listeners; `null`, `undefined` and
 * `false` leave an attribute or a child out.
 *
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an SVG element, as `el` makes an HTML one. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** An icon of those that index.html defines; said to nobody, since words always stand beside it. */
export function icon(name) {
  const use = svg("use", { href: `#icon-${name}` });
  return svg("svg", { class: "icon", "aria-hidden": "true" }, use);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets a text, and touches nothing if it stands there already. */
export function say(node, text) {
  const words = String(text);
  if (node.textContent !== words) node.textContent = words;
}

/** Sets an attribute, or removes it for `null`, and touches nothing if it is so already. */
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Sets when something was, for a machine and for who points at it; the words are the caller's. */
export function setTime(node, at) {
  if (node.dateTime === at) return;
  node.dateTime = at;
  node.title = bothClocks(at);
}

/** @type {WeakMap<Element, Map<string, any>>} */
const rowsOf = new WeakMap();

/**
 * Makes the children of `parent` follow `items`. A row stays the same element for as long as its key
 * is among them, so that focus, selection and a screen reader's place survive.
 *
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string|number} keyOf unique among the items
 * @param {(item: T) => any} make a row, not filled in yet
 * @param {(row: any, item: T) => void} update fills a row in, new or old
 */
export function follow(parent, items, keyOf, make, update) {
  const before = rowsOf.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = String(keyOf(item));
    const row = before.get(key) ?? make(item);
    update(row, item);
    after.set(key, row);
  }
  for (const [key, row] of before) if (!after.has(key)) row.remove();
  // What else is in there, such as the head of a table, stands before all rows.
  const rows = new Set(after.values());
  let place = [...parent.children].find((child) => rows.has(child)) ?? null;
  for (const row of after.values()) {
    if (row === place) place = place.nextElementSibling;
    else parent.insertBefore(row, place);
  }
  rowsOf.set(parent, after);
}

/** Says something once to a screen reader, and to nobody else. */
export function announce(text) {
  say(byId("announcements"), text);
}

/** A dialog closes by its buttons, by Escape (the browser does that), and by a click that began beside it. */
export function closable(dialog) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  let isBeside = false;
  dialog.addEventListener("pointerdown", ({ target, clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    isBeside = target === dialog && (x < left || x > right || y < top || y > bottom);
  });
  dialog.addEventListener("click", ({ target }) => isBeside && target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    // The row that it was opened from may be gone.
    if (document.activeElement === document.body) byId("content").focus();
  });
}

/** Lets a button do one thing at a time. It is not disabled meanwhile: that would take the focus from it. */
export function onPress(button, work) {
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    await work();
    button.ariaDisabled = null;
  });
}

/** Makes of a drawing one that is done once soon, however often it is asked for until then. */
export function soon(draw, ms) {
  let timer = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      draw();
    }, ms);
  };
}
