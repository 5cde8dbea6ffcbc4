// What the pack tells, receipt by receipt: rows for the list, and one receipt read for showing.
// Says nothing about whether any of it is true: that is verify.js.

import { bodyOf } from "./envelope.js";
import { readDocument } from "./documents.js";
import { jsonOf, parseLine, refusal } from "./pack.js";
import { stageOf } from "./words.js";

const VIEWS_KEPT = 400;

/** Rows in ledger order. A gap is a row without an index. */
export class Story {
  rows = [];
  byIndex = [];
  goals = new Map();
  run = null;
  #views = new Map();

  constructor(pack) {
    this.pack = pack;
  }

  /** Take in what the verifier has just read. */
  note({ number, index, line }) {
    if (index === null) {
      const receipts = line.gap.reduce((sum, node) => sum + 2 ** node.level, 0);
      this.rows.push({ number, index, gap: receipts });
      return;
    }
    const header = line.parsed ?? null;
    const kind = header?.kind ?? "";
    const row = { number, index, seq: header?.seq ?? null, kind, stage: header ? stageOf(kind) : "broken" };
    row.selected = line.selected === true;
    row.inSession = header?.session_id !== undefined;
    if (kind === "session.opened") this.goals.set(header.session_id, index);
    this.rows.push(row);
    this.byIndex[index] = row;
  }

  /** One receipt, read again from its bytes. Parts that can't be read are null. */
  view(index) {
    const known = this.#views.get(index);
    if (known) return known;
    const { number, selected } = this.byIndex[index];
    const view = { index, number, selected, record: null, header: null, body: null, payload: null, payloadBytes: null };
    try {
      view.record = parseLine(this.pack.receipts.lines[number]).record;
      view.header = bodyOf(view.record.header, "receipt", "Header");
      const kind = FORMATS.statements.find(
        (one) => one.kind === view.header.kind && one.type === view.record.statement.payloadType,
      );
      if (kind) view.body = readDocument(kind.document, view.record.statement.payload);
    } catch (error) {
      refusal(error);
    }
    this.#addPayload(view);
    this.#views.set(index, view);
    if (this.#views.size > VIEWS_KEPT) this.#views.delete(this.#views.keys().next().value);
    return view;
  }

  #addPayload(view) {
    const line = this.run?.payloads.lineOf.get(view.index);
    if (line === undefined) return;
    view.payloadBytes = readDocument("Payload", this.pack.payloads.lines[line]).body;
    view.payload = jsonOf(view.payloadBytes);
  }

  /** The receipt after (or before) this one when it is its neighbour in the ledger. */
  neighbour(index, step) {
    const row = this.byIndex[index + step];
    const here = this.byIndex[index];
    return row && row.seq !== null && row.seq === here.seq + step ? row.index : null;
  }

  /** The goal that a receipt's session was opened with, as its payload tells it. */
  goalOf(header) {
    const index = this.goals.get(header?.session_id);
    if (index === undefined) return null;
    const goal = this.view(index).payload?.goal;
    return { index, text: typeof goal === "string" ? goal : null };
  }

  /** Indices of the receipts that name each evidence digest. */
  evidence() {
    const found = new Map();
    for (const { index, kind } of this.byIndex) {
      if (kind !== "work" && kind !== "session.closed") continue;
      for (const digest of this.view(index).header?.evidence ?? []) {
        found.set(digest, [...(found.get(digest) ?? []), index]);
      }
    }
    return found;
  }
}
