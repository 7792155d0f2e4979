"use strict";
// Makes nodes and formats texts. Text that a model wrote becomes text nodes and attributes, never
// markup.

const maker = (namespace) => (tag, attributes = {}, ...children) => {
  const node = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
};
const html = maker("http://www.w3.org/1999/xhtml");
const svg = maker("http://www.w3.org/2000/svg");
const byId = (id) => document.getElementById(id);

const count = (n) => n.toLocaleString("en-US");
const fixed = (x, digits = 3) => x.toFixed(digits).replace("-", "\u2212");
const signed = (x, digits = 3) => (x < 0 ? "\u2212" : "+") + Math.abs(x).toFixed(digits);
const probability = (x) => (x >= 0.001 || x === 0 ? x.toFixed(3) : x.toExponential(1));
const interval = (low, high, digits = 3) => `[${fixed(low, digits)}, ${fixed(high, digits)}]`;
const known = (x) => x !== null && x !== undefined;
const side = (change) => (change < 0 ? "falls" : "rises");
const change = (delta, text) => html("span", { class: `change ${side(delta)}` }, text);
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

// Matches control characters, zero-width characters, and characters that change the direction of
// writing.
const kInvisible =
  /[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff]/g;
const kShown = { "\n": "\u21b5", "\r": "\u240d", "\t": "\u21e5", " ": "\u00b7" };

const codePoint = (c) =>
  kShown[c] ?? `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
// Returns the text of a token on its own, with every character made visible.
const visible = (text) =>
  text === "" ? "\u2205" : text.replaceAll(" ", kShown[" "]).replace(kInvisible, codePoint);
// Returns the text of a token within a response: blanks stay blank, and line ends break the line.
const inText = (text) =>
  text === "" ? "\u2205" : text.replace(kInvisible, (c) => codePoint(c) + (c === "\n" ? "\n" : ""));

const headRow = (columns, ...more) =>
  html("thead", {}, html("tr", {}, columns.map((text) => html("th", { scope: "col" }, text)), more));
const rowHead = (...content) => html("th", { scope: "row" }, ...content);
const cell = (...content) => html("td", {}, ...content);
const term = (name, ...value) => [html("dt", {}, name), html("dd", {}, ...value)];
const note = (text) => html("p", { class: "note" }, text);

function table(columns, rows) {
  const body = rows.map(([first, ...rest]) => html("tr", {}, rowHead(first), rest.map((one) => cell(one))));
  return html("table", {}, headRow(columns), html("tbody", {}, body));
}

// Calls draw(width) with the node's width, now and whenever it changes.
const drawings = new WeakMap();
const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) drawings.get(target)(Math.floor(contentRect.width));
});
function onWidth(node, draw) {
  drawings.set(node, draw);
  widths.observe(node);
}

// Focuses items[index] and makes it the only item that the Tab key reaches.
function focusOne(items, index, options) {
  for (const item of items) if (item.tabIndex === 0) item.tabIndex = -1;
  items[index].tabIndex = 0;
  items[index].focus(options);
}
