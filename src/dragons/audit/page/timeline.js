// The list of receipts: only the rows in view are in the document, so that thousands cost nothing.

import { el } from "./dom.js";
import { FILTERS, clockText, plural, subtitleOf, titleOf } from "./words.js";

const ROW_PX = 60;
const AROUND = 6;

export class Timeline {
  #rows = [];
  #selected = null;
  #breaks = new Map();
  #drawn = "";
  #frame = 0;

  /** `choose(index)` hears which receipt the reader wants to see. */
  constructor(list, choose) {
    this.list = list;
    this.choose = choose;
    this.sheet = el("div", { class: "sheet", role: "presentation" });
    list.replaceChildren(this.sheet);
    list.addEventListener("scroll", () => this.#later(), { passive: true });
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("click", (event) => {
      const index = event.target.closest("[data-index]")?.dataset.index;
      if (index !== undefined) choose(Number(index));
    });
    new ResizeObserver(() => this.#later()).observe(list);
  }

  /** Show these rows of `story` under a filter; `breaks` are the questions that fail at an index. */
  show(story, filterName, breaks) {
    const { stages } = FILTERS.find(({ name }) => name === filterName);
    this.story = story;
    this.#breaks = breaks;
    const wanted = (row) => row.stage === "broken" || breaks.has(row.index) || stages.includes(row.stage);
    this.#rows = stages === null ? story.rows : story.rows.filter((row) => row.index !== null && wanted(row));
    this.sheet.style.height = `${this.#rows.length * ROW_PX}px`;
    this.#drawn = "";
    this.#draw();
    return this.#rows.filter(({ index }) => index !== null).length;
  }

  has(index) {
    return this.#place(index) >= 0;
  }

  /** Mark the receipt and bring it into view. */
  select(index) {
    this.#selected = index;
    const place = this.#place(index);
    if (place < 0) return;
    const top = place * ROW_PX;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop || top + ROW_PX > scrollTop + clientHeight) {
      this.list.scrollTop = Math.max(0, top - clientHeight / 3);
    }
    this.#drawn = "";
    this.#draw();
  }

  #place(index) {
    // Indices rise along the rows; gaps have none and stand between.
    let [low, high] = [0, this.#rows.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      let probe = middle;
      while (probe < high && this.#rows[probe].index === null) probe += 1;
      const found = this.#rows[probe].index;
      if (found === index) return probe;
      if (found === null || found > index) high = middle - 1;
      else low = probe + 1;
    }
    return -1;
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW_PX) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const step = steps[event.key];
    const last = this.#rows.length - 1;
    let place = Math.max(0, Math.min(last, this.#place(this.#selected) + step));
    while (this.#rows[place]?.index === null && place > 0 && place < last) place += Math.sign(step);
    const index = this.#rows[place]?.index;
    if (index !== null && index !== undefined) this.choose(index);
  }

  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const { scrollTop, clientHeight } = this.list;
    const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - AROUND);
    const last = Math.min(this.#rows.length, Math.ceil((scrollTop + clientHeight) / ROW_PX) + AROUND);
    const drawn = `${first}-${last}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.sheet.replaceChildren(...this.#rows.slice(first, last).map((row, at) => this.#row(row, first + at)));
    const here = this.sheet.querySelector("[aria-selected=true]");
    if (here) this.list.setAttribute("aria-activedescendant", here.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  #row(row, place) {
    const element = row.index === null ? gapRow(row) : this.#receiptRow(row, place);
    element.style.transform = `translateY(${place * ROW_PX}px)`;
    return element;
  }

  #receiptRow(row, place) {
    const view = this.story.view(row.index);
    const broken = this.#breaks.get(row.index);
    const outcome = view.header?.outcome;
    const properties = {
      class: `row ${row.stage}${row.selected ? "" : " context"}${row.inSession ? " in-session" : ""}`,
      role: "option",
      id: `row-${row.index}`,
      "aria-selected": String(row.index === this.#selected),
      "aria-posinset": place + 1,
      "aria-setsize": this.#rows.length,
      data: { index: row.index },
    };
    return el("div", properties,
      el("span", { class: "dot" }),
      el("span", { class: "number" }, String(row.index)),
      el("span", { class: "what" }, el("span", { class: "title" }, titleOf(view)), el("span", { class: "subtitle" }, subtitleOf(view))),
      el("span", { class: "when" },
        chipOf(broken, row.stage === "denied" ? undefined : outcome),
        el("time", {}, view.header ? clockText(view.header.issued_at) : "")),
    ); // prettier-ignore
  }
}

function chipOf(broken, outcome) {
  if (broken) return el("span", { class: "chip bad", title: broken.join(", ") }, `✕ ${broken.length === 1 ? broken[0] : `${broken.length} questions`}`);
  return outcome ? el("span", { class: `chip ${outcome}` }, outcome) : null;
}

function gapRow({ gap }) {
  return el("div", { class: "row gap", role: "option", "aria-disabled": true },
    el("span", { class: "dot" }), el("span", { class: "number" }, "⋯"),
    el("span", { class: "what" }, el("span", { class: "subtitle" }, `${plural(gap, "receipt")} outside of this pack, present as hashes`)),
  ); // prettier-ignore
}
