// Flip a byte: change one bit of a pack in this page's memory, to see where it shows. The file stays as it is.

import { base64, textOf, utf8 } from "./bytes.js";
import { code, el } from "./dom.js";
import { readDocument } from "./documents.js";

const BYTES_SHOWN = 2_000;

/** What can be changed of a receipt: its parts as they are hashed or signed, then its line, byte for byte. */
export function partsOf(view, pack, run) {
  const { record, number } = view;
  const parts = [];
  const add = (name, text, bytes, place) => bytes && parts.push({ name, text, bytes, index: view.index, ...place });
  if (record) {
    for (const which of ["header", "statement"]) {
      add(which, `the ${which}`, record[which].payload, { file: "receipts", number, path: ["record", which, "payload"] });
    }
    for (const which of ["header", "statement"]) {
      const path = ["record", which, "signatures", 0, "sig"];
      add(`${which}-signature`, `the ${which}’s signature`, record[which].signatures[0]?.sig, { file: "receipts", number, path });
    }
  }
  const line = run.payloads.lineOf.get(view.index);
  if (line !== undefined) {
    const payload = readDocument("Payload", pack.payloads.lines[line]);
    add("payload", "the payload", payload.body, { file: "payloads", number: line, path: ["body"] });
    add("salt", "the payload’s salt", payload.salt, { file: "payloads", number: line, path: ["salt"] });
  }
  add("line", "the whole line", pack.receipts.lines[number], { file: "receipts", number, path: null });
  return parts;
}

/** The changes that the reader made, newest last. */
export class Edits {
  #made = [];
  /** The verdicts before the first change. */
  before = null;

  get number() {
    return this.#made.length;
  }

  /** Flip the lowest bit of one byte of `part`. */
  flip(pack, part, place, verdicts) {
    this.before ??= verdicts;
    const { lines } = pack[part.file];
    const original = lines[part.number];
    const bytes = part.bytes.slice();
    bytes[place] ^= 1;
    lines[part.number] = part.path ? withBytes(original, part.path, bytes) : bytes;
    const text = `byte ${place} of ${part.text} of receipt ${part.index}: ${byteText(part.bytes[place])} became ${byteText(bytes[place])}`;
    this.#made.push({ name: part.name, index: part.index, place, text, undo: () => { lines[part.number] = original; } }); // prettier-ignore
  }

  undo() {
    this.#made.pop()?.undo();
    if (!this.#made.length) this.before = null;
  }

  undoAll() {
    while (this.#made.length) this.undo();
  }

  /** The newest change of a receipt, undefined when there is none. */
  newest(index) {
    return this.#made.findLast((edit) => edit.index === index);
  }

  /** True when this byte is not as it came. */
  isFlipped(part, place) {
    const same = this.#made.filter((edit) => edit.index === part.index && edit.name === part.name && edit.place === place);
    return same.length % 2 === 1;
  }

  get text() {
    return this.#made.map(({ text }) => text).join("; ");
  }
}

function withBytes(line, path, bytes) {
  const value = JSON.parse(textOf(line));
  const holder = path.slice(0, -1).reduce((inner, name) => inner[name], value);
  holder[path.at(-1)] = base64(bytes);
  return utf8(JSON.stringify(value));
}

const isText = (byte) => byte > 0x20 && byte < 0x7f;

const byteText = (byte) => {
  const digits = `0x${byte.toString(16).padStart(2, "0")}`;
  return isText(byte) ? `“${String.fromCharCode(byte)}” (${digits})` : digits;
};

/** A board of bytes to choose from; `choose(part, place)` hears which. */
export function flipBoard(parts, edits, choose) {
  const newest = edits.newest(parts[0].index);
  const board = el("div", { class: "bytes", role: "group", "aria-label": "Bytes" });
  const place = el("input", { id: "flip-place", type: "number", min: 0, value: newest?.place ?? 0 });
  const select = el("select", { id: "flip-part" }, parts.map(({ name, text }) =>
    el("option", { value: name, selected: name === newest?.name }, text))); // prettier-ignore
  const note = el("p", { class: "hint" });
  const chosen = () => {
    const part = parts[select.selectedIndex];
    return [part, Math.max(0, Math.min(Math.trunc(Number(place.value)) || 0, part.bytes.length - 1))];
  };
  const draw = () => {
    const [part, at] = chosen();
    place.max = part.bytes.length - 1;
    const begin = Math.floor(at / BYTES_SHOWN) * BYTES_SHOWN;
    const shown = part.bytes.subarray(begin, begin + BYTES_SHOWN);
    board.replaceChildren(...Array.from(shown, (byte, offset) => byteCell(byte, begin + offset, edits.isFlipped(part, begin + offset))));
    const some = part.bytes.length > BYTES_SHOWN ? ` Bytes ${begin} to ${begin + shown.length - 1} are shown.` : "";
    note.textContent = `${part.bytes.length} bytes. Click one, or give its number, to flip its lowest bit.${some}`;
  };
  select.addEventListener("change", () => { place.value = 0; draw(); }); // prettier-ignore
  place.addEventListener("change", draw);
  board.addEventListener("click", ({ target }) => {
    if (target.dataset.place) choose(chosen()[0], Number(target.dataset.place));
  });
  const submit = (event) => {
    event.preventDefault();
    choose(...chosen());
  };
  const form = el("form", { class: "flip-form", onsubmit: submit },
    el("label", { for: "flip-part" }, "In"), select, el("label", { for: "flip-place" }, "byte"), place,
    el("button", { id: "flip-it", class: "button", type: "submit" }, "Flip it")); // prettier-ignore
  draw();
  requestAnimationFrame(() => {
    const flipped = board.querySelector(".flipped");
    if (flipped) board.scrollTop = flipped.offsetTop - board.offsetTop - board.clientHeight / 3;
  });
  return el("div", { class: "flip" }, form, note, board);
}

function byteCell(byte, place, flipped) {
  const looks = [isText(byte) ? "" : "dim", flipped ? "flipped" : ""].filter(Boolean).join(" ");
  return el("span", { data: { place }, class: looks || null }, isText(byte) ? String.fromCharCode(byte) : "·");
}

/** The notice that stands on the page while something in it is changed. */
export function editNotice(edits, changes, { undo, undoAll }) {
  const button = (text, onclick) => el("button", { class: "button", type: "button", onclick }, text);
  const list = changes.length ? el("ul", {}, changes.map(changeLine)) : el("p", {}, "No verdict changed.");
  return [
    el("div", {}, el("strong", {}, "Changed in this page’s memory only: "), `${edits.text}. The file is untouched.`, list),
    el("div", { class: "undo" }, button("Undo", undo), edits.number > 1 ? button("Undo all", undoAll) : null),
  ]; // prettier-ignore
}

const changeLine = ({ question, before, after, place, code: why }) =>
  el("li", {}, el("b", {}, question), ` ${before} → ${after}`, place ? `, at ${place}: ` : "", why ? code(why) : "");
