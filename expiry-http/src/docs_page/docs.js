// Renders /api/v1/openapi.json.

import { byId, el, say } from "./dom.js";

const LIMITS = {
  minimum: "at least",
  maximum: "at most",
  minLength: "length at least",
  maxLength: "length at most",
  minItems: "entries at least",
  maxItems: "entries at most",
  default: "by default",
  example: "such as",
};

/** Puts something between each two of many. */
const joined = (parts, between) => parts.flatMap((part, at) => (at === 0 ? part : [between, ...part]));

/** What a schema is, in words and links to the schemas that it names. */
function kind(schema) {
  if (!schema) return ["anything"];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return [el("a", { href: `#${name}` }, name)];
  }
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  const choices = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choices) return joined(choices.map(kind), " | ");
  const kinds = [schema.type ?? "anything"].flat();
  const words = kinds.map((type) => (type === "array" ? ["[", ...kind(schema.items), "]"] : [type]));
  return [...joined(words, " | "), schema.format ? ` (${schema.format})` : ""];
}

function limits(schema) {
  const told = Object.entries(LIMITS).filter(([name]) => schema?.[name] !== undefined);
  return told.map(([name, words]) => `${words} ${JSON.stringify(schema[name])}`).join(", ");
}

/** The cell of a value: what it is, whether it must be there, and its limits. */
function value(schema, isRequired) {
  const notes = [isRequired ? "" : "may be left out", limits(schema)].filter(Boolean).join("; ");
  return [...kind(schema), notes && el("small", {}, notes)];
}

function table(head, rows) {
  return el(
    "table",
    {},
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map(([name, ...cells]) => el("tr", {}, el("td", {}, el("code", {}, name)), ...cells.map((cell) => el("td", {}, ...[cell].flat()))))),
  );
}

function body(content) {
  const [type, media] = Object.entries(content ?? {})[0] ?? [];
  return type ? [`${type}: `, ...kind(media.schema)] : [];
}

/** A schema's fields, or those of each of its forms, or what else it is. */
function shape(schema) {
  if (schema.oneOf) return schema.oneOf.flatMap((form) => [form.description && el("h3", {}, form.description), ...shape(form)]);
  const required = schema.required ?? [];
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return [el("p", {}, ...value(schema, true))];
  const rows = fields.map(([name, of]) => [name, value(of, required.includes(name)), of.description ?? ""]);
  return [table(["field", "type", "what"], rows)];
}

const title = (method, path) => [el("span", { class: `method ${method}` }, method.toUpperCase()), " ", el("code", { class: "path" }, path)];

function operation(method, path, of) {
  const parameters = (of.parameters ?? []).map(({ name, in: place, schema, required, description }) => [
    name,
    [`${place}: `, ...value(schema, required)],
    description ?? "",
  ]);
  const answers = Object.entries(of.responses).map(([status, { content, description }]) => [status, body(content), description]);
  return el(
    "section",
    { id: of.operationId },
    el("h2", {}, ...title(method, path)),
    el("p", {}, [of.summary, of.description].filter(Boolean).join(" ")),
    ...(parameters.length > 0 ? [el("h3", {}, "Parameters"), table(["name", "type", "what"], parameters)] : []),
    ...(of.requestBody ? [el("h3", {}, "Body"), el("p", {}, ...body(of.requestBody.content))] : []),
    el("h3", {}, "Answers"),
    table(["status", "body", "when"], answers),
  );
}

function show({ info, paths, components }) {
  say(byId("about"), `${info.description ?? ""} Version ${info.version}.`);
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, of]) => of.responses)
      .map(([method, of]) => ({ method, path, of })),
  );
  const links = operations.map(({ method, path, of }) => el("li", {}, el("a", { href: `#${of.operationId}` }, ...title(method, path))));
  byId("contents").append(el("ul", {}, ...links));
  byId("operations").append(
    ...operations.map(({ method, path, of }) => operation(method, path, of)),
    ...Object.entries(components.schemas).map(([name, schema]) =>
      el("section", { id: name }, el("h2", {}, name), el("p", {}, schema.description ?? ""), ...shape(schema)),
    ),
  );
  // What the address names is only there now: this goes to it.
  if (location.hash) location.replace(location.hash);
}

try {
  show(await (await fetch("/api/v1/openapi.json")).json());
} catch (error) {
  say(byId("about"), `Cannot be loaded: ${error.message}`);
}
