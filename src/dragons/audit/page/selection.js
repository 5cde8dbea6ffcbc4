// Whether the selection is whole: every position there, none foreign, both ends where they must be.

import { fault } from "./verdicts.js";

const NEEDS = { ledger: [], session: ["session_id"], agent: ["agent"], window: ["since", "until"] };
const NEVER = "~";
const NOT_COUNTED = "it belongs to the selection but is not counted in it";

/** The agent's name in `reconciler@v7`. */
export const agentOf = (name) => name.split("@", 1)[0];

function selects(selection, header) {
  if (selection.kind === "session") return header.session_id === selection.session_id;
  if (selection.kind === "agent") return header.agent !== undefined && agentOf(header.agent) === selection.agent;
  if (selection.kind === "window") {
    // Without its bounds, which is a fault of its own, a window is open at its end and has no beginning.
    return (selection.since ?? NEVER) <= header.issued_at && header.issued_at < (selection.until ?? NEVER);
  }
  return true;
}

function positionOf(selection, header) {
  if (selection.kind === "session") return header.session_position;
  return selection.kind === "agent" ? header.agent_seq : header.seq;
}

/** Follows the receipts of one pack against what its signed statement says was selected. */
export class SelectionCheck {
  constructor(pack) {
    this.pack = pack;
    this.selection = pack.selection;
    this.all = pack.selection.kind === "ledger";
    this.window = pack.selection.kind === "window";
    this.next = this.window ? pack.first_position : 0;
    this.lastSeq = -1;
    this.selected = 0;
  }

  malformed() {
    const { kind, ...rest } = this.selection;
    const given = Object.keys(rest).filter((field) => rest[field] !== undefined);
    const wrongFields = given.sort().join() !== NEEDS[kind].join();
    if (wrongFields || (this.window && !(rest.since < rest.until))) {
      return fault("selection_malformed", "selection_malformed");
    }
    return null;
  }

  /** The next receipt; `previous` is the seq of the pack's receipt before it. */
  follow(header, index, previous, selected) {
    const { seq } = header;
    const outside = this.all ? null : this.#foreign(header, index, previous, selected);
    if (outside) return outside;
    if (!selected) return this.all ? fault("receipt_missing", NOT_COUNTED, index, seq) : null;
    const position = positionOf(this.selection, header);
    const first = this.selected === 0;
    const expected = this.next;
    this.selected += 1;
    this.next = (position ?? expected) + 1;
    this.lastSeq = seq;
    if (position !== expected) {
      return fault("receipt_missing", `position ${expected} of the selection is missing`, index, seq);
    }
    if (first && this.window && seq !== previous + 1) {
      return fault("window_edge", `receipt ${seq - 1}, before the window, is not shown`, index, seq);
    }
    return null;
  }

  #foreign(header, index, previous, selected) {
    const { seq } = header;
    // The receipt after a window's last shows that the window was not cut short.
    const isEdge = this.window && !selected && this.lastSeq >= 0 && previous === this.lastSeq;
    if (isEdge && seq !== previous + 1) {
      return fault("window_edge", `receipt ${previous + 1}, after the window, is not shown`, index, seq);
    }
    if (selected === selects(this.selection, header)) return null;
    return selected
      ? fault("receipt_foreign", "it does not belong to the selection", index, seq)
      : fault("receipt_missing", NOT_COUNTED, index, seq);
  }

  /** What is missing when the lines have ended; `lastSeq` is that of the last receipt. */
  end(index, lastSeq) {
    const reached = this.next - 1;
    const whole = this.all ? this.pack.tree_size : this.pack.selected;
    const counted = this.selected === this.pack.selected && this.pack.selected === whole;
    if (!counted || reached !== this.pack.last_position) {
      const detail = `${this.selected} of ${whole} receipts, up to position ${reached} of ${this.pack.last_position}`;
      return fault("selection_truncated", detail, index);
    }
    if (this.window && lastSeq === this.lastSeq && lastSeq !== this.pack.tree_size - 1) {
      return fault("window_edge", `receipt ${lastSeq + 1}, after the window, is not shown`, index);
    }
    return null;
  }
}
