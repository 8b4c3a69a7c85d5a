'use strict';

// Renders /api/v1/openapi.json. Text only ever becomes text: nothing is parsed as markup.

const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

const nameOf = (schema) => schema.$ref ? schema.$ref.split('/').pop() : null;

const typeOf = (schema) => {
  if (!schema) return 'anything';
  const name = nameOf(schema);
  if (name) return name;
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const parts = schema.oneOf || schema.anyOf || schema.allOf;
  if (parts) return parts.map(typeOf).join(' | ');
  const types = [].concat(schema.type || 'anything');
  return types.map((type) => type === 'array' ? `[${typeOf(schema.items)}]` : type).join(' | ')
    + (schema.format ? ` (${schema.format})` : '');
};

const table = (head, rows) => {
  const element = make('table');
  const first = make('tr');
  for (const text of head) first.append(make('th', text, { scope: 'col' }));
  element.append(first);
  for (const row of rows) {
    const line = make('tr');
    row.forEach((text, index) => line.append(make('td')));
    row.forEach((text, index) => line.children[index].append(
      index === 0 ? make('code', text) : document.createTextNode(text || '')));
    element.append(line);
  }
  return element;
};

const fields = (schema) => Object.entries(schema.properties || {}).map(([name, of]) => [
  name,
  typeOf(of) + ((schema.required || []).includes(name) ? '' : ', may be left out'),
  of.description,
]);

const bodyOf = (content) => {
  const [kind, media] = Object.entries(content || {})[0] || [];
  return kind ? `${kind}: ${typeOf(media.schema)}` : '';
};

const operation = (method, path, of) => {
  const section = make('section', null, { id: of.operationId });
  const title = make('h2');
  title.append(make('span', method.toUpperCase(), { class: method }), ' ',
    make('code', path, { class: 'path' }));
  section.append(title, make('p', [of.summary, of.description].filter(Boolean).join(' ')));
  const parameters = (of.parameters || []).map((one) => [
    one.name, `${one.in}: ${typeOf(one.schema)}${one.required ? '' : ', may be left out'}`, one.description,
  ]);
  if (parameters.length) section.append(make('h3', 'Parameters'), table(['name', 'type', 'what'], parameters));
  if (of.requestBody) section.append(make('h3', 'Body'), make('p', bodyOf(of.requestBody.content)));
  const answers = Object.entries(of.responses).map(([code, one]) => [code, bodyOf(one.content), one.description]);
  section.append(make('h3', 'Answers'), table(['status', 'body', 'when'], answers));
  return section;
};

const show = (api) => {
  document.getElementById('about').textContent = `${api.info.description || ''} Version ${api.info.version}.`;
  const list = make('ul');
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, of] of Object.entries(methods)) {
      if (!of.responses) continue;
      const item = make('li');
      const link = make('a', null, { href: `#${of.operationId}` });
      link.append(make('span', method.toUpperCase(), { class: method }), ' ', make('code', path, { class: 'path' }));
      item.append(link);
      list.append(item);
      document.getElementById('operations').append(operation(method, path, of));
    }
  }
  document.getElementById('contents').append(list);
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const section = make('section', null, { id: name });
    section.append(make('h2', name), make('p', schema.description || ''));
    const rows = fields(schema);
    section.append(rows.length ? table(['field', 'type', 'what'], rows) : make('p', typeOf(schema)));
    document.getElementById('operations').append(section);
  }
};

fetch('api/v1/openapi.json')
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => { document.getElementById('about').textContent = `Cannot be loaded: ${error.message}`; });
