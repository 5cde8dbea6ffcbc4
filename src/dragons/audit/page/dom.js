// Making elements. Text goes in as text: nothing here, or in what uses it, ever parses markup.

export const at = (id) => document.getElementById(id);

/** An element; of `properties`, `on…` are listeners, `data` a dataset, the rest attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

/** What is to be shown of nested lists; null, undefined and "" stand for nothing. */
const flat = (children) =>
  children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== "")
    .map((child) => (typeof child === "string" ? visible(child) : child));

// What an agent wrote may turn text around or hide it: such characters are shown as what they are.
const UNSEEN = /[\p{Cf}\p{Co}\p{Cs}\u2028\u2029]|(?!\n)\p{Cc}/gu;

/** `text` with characters that have no look of their own spelled out, as `\u202e`. */
export const visible = (text) =>
  text.replace(UNSEEN, (one) => Array.from({ length: one.length }, (_, at) => `\\u${one.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""));

export function show(element, ...children) {
  element.replaceChildren(...flat(children));
}

/** A sentence with its `names` as code. */
export const prose = (text) => text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));

const PATHS = {
  pass: "M5 12.5l4.5 4.5L19 7.5",
  fail: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  not_checked: "M12 6.5v7M12 17.2v.3",
  not_asked: "M7 12h10",
  busy: "M12 4a8 8 0 1 1-8 8",
};

/** A small sign for a status, drawn with the text's colour. */
export function sign(status) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `sign ${status}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[status]);
  svg.append(path);
  return svg;
}

/** A list of facts; entries without a value are left out. */
export function factList(entries, properties = { class: "facts" }) {
  const rows = entries
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", properties, rows);
}

export const code = (text, properties = {}) => el("code", properties, String(text));
