// Flip a byte: change one bit of a receipt in this page's memory, to see where it shows.

import { base64, textOf, utf8 } from "./bytes.js";
import { code, el } from "./dom.js";

const BYTES_SHOWN = 2_000;
const WHERE = { header: "the header", statement: "the statement", payload: "the payload" };

/** The parts of a receipt that can be changed, as `[name, bytes]`. */
export function partsOf(view) {
  const parts = [];
  if (view.record) parts.push(["header", view.record.header.payload], ["statement", view.record.statement.payload]);
  if (view.payloadBytes) parts.push(["payload", view.payloadBytes]);
  return parts;
}

/** Flip the lowest bit of one byte of `part`. Returns how to say it and how to undo it. */
export function flipByte(pack, run, view, part, place) {
  const before = partsOf(view).find(([name]) => name === part)[1];
  const bytes = before.slice();
  bytes[place] ^= 1;
  const inPayload = part === "payload";
  const lines = inPayload ? pack.payloads.lines : pack.receipts.lines;
  const number = inPayload ? run.payloads.lineOf.get(view.index) : view.number;
  const original = lines[number];
  const value = JSON.parse(textOf(original));
  if (inPayload) value.body = base64(bytes);
  else value.record[part].payload = base64(bytes);
  lines[number] = utf8(JSON.stringify(value));
  return {
    index: view.index,
    text: `byte ${place} of ${WHERE[part]} of receipt ${view.index}: ${byteText(before[place])} became ${byteText(bytes[place])}`,
    undo: () => { lines[number] = original; },
  }; // prettier-ignore
}

const byteText = (byte) => {
  const digits = `0x${byte.toString(16).padStart(2, "0")}`;
  return byte > 0x20 && byte < 0x7f ? `“${String.fromCharCode(byte)}” (${digits})` : digits;
};

/** A board of bytes to choose from; `choose(part, place)` hears which. */
export function flipBoard(view, choose) {
  const parts = partsOf(view);
  const board = el("div", { class: "bytes", role: "group", "aria-label": "Bytes" });
  const place = el("input", { id: "flip-place", type: "number", min: 0, value: 0 });
  const select = el("select", { id: "flip-part" }, parts.map(([name]) => el("option", { value: name }, WHERE[name])));
  const note = el("p", { class: "hint" });
  const draw = () => {
    const [, bytes] = parts[select.selectedIndex];
    place.max = bytes.length - 1;
    const begin = Math.floor(Math.min(Number(place.value) || 0, bytes.length - 1) / BYTES_SHOWN) * BYTES_SHOWN;
    const shown = bytes.subarray(begin, begin + BYTES_SHOWN);
    board.replaceChildren(...Array.from(shown, (byte, offset) => byteCell(byte, begin + offset)));
    const part = bytes.length > BYTES_SHOWN ? ` Bytes ${begin} to ${begin + shown.length - 1} are shown.` : "";
    note.textContent = `${bytes.length} bytes. Click one, or give its number, to flip its lowest bit.${part}`;
  };
  select.addEventListener("change", () => { place.value = 0; draw(); }); // prettier-ignore
  place.addEventListener("change", draw);
  board.addEventListener("click", ({ target }) => {
    if (target.dataset.place) choose(select.value, Number(target.dataset.place));
  });
  const form = el("form", { class: "flip-form", onsubmit: (event) => {
    event.preventDefault();
    const [, bytes] = parts[select.selectedIndex];
    choose(select.value, Math.max(0, Math.min(Number(place.value) || 0, bytes.length - 1)));
  } }, el("label", { for: "flip-part" }, "In"), select, el("label", { for: "flip-place" }, "byte"), place,
    el("button", { class: "button", type: "submit" }, "Flip it")); // prettier-ignore
  draw();
  return el("div", { class: "flip" }, form, note, board);
}

function byteCell(byte, place) {
  const isText = byte > 0x20 && byte < 0x7f;
  return el("span", { data: { place }, class: isText ? null : "dim" }, isText ? String.fromCharCode(byte) : "·");
}

/** The notice that stands on the page while something in it is changed. */
export function editNotice(edit, changes, restore) {
  return [
    el("div", {},
      el("strong", {}, "Changed in this page’s memory only: "), `${edit.text}. The file is untouched.`,
      changes.length ? el("ul", {}, changes.map(changeLine)) : null),
    el("button", { class: "button", type: "button", onclick: restore }, "Restore"),
  ]; // prettier-ignore
}

const changeLine = ({ question, before, after, place, code: why }) =>
  el("li", {}, el("b", {}, question), ` ${before} → ${after}`, place ? `, at ${place}: ` : "", why ? code(why) : "");
