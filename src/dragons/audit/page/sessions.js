// Sessions as the ledger tells them: positions without gaps, their own chain, and who never ended.

import { fault } from "./verdicts.js";

/** Follows every session among the selected receipts. `orphan` is the first cycle that never ended. */
export class Sessions {
  #partial;
  #closed = new Set();
  open = new Map();
  orphan = null;

  /** `partial` selections may begin in the middle of a session: windows do, the others never. */
  constructor(partial) {
    this.#partial = partial;
  }

  /** Take in the next receipt of a session; returns the break in it, if any. */
  follow(header, chainRoot, index) {
    const { session_id: id, session_position: position, seq } = header;
    if (id === undefined) return null;
    if (position === undefined) return fault("session_gap", `${id} without a position`, index, seq);
    const state = this.open.get(id);
    const found = this.#break(header, position, state, index);
    if (state !== undefined) {
      Object.assign(state, { position, chainRoot, index, seq });
    } else if (found?.code !== "session_closed") {
      const leaseId = header.lease_ref ?? "";
      this.open.set(id, { position, chainRoot, leaseId, index, seq, abandoned: false, decisions: new Map() });
    }
    const now = this.open.get(id);
    if (header.kind === "session.closed" && now !== undefined) this.#close(id, now, header);
    return found;
  }

  /** An action was authorized by the control plane and awaits its receipt. */
  decided(id, decisionId, index, seq) {
    this.open.get(id)?.decisions.set(decisionId, [index, seq]);
  }

  /** The receipt of an authorized action arrived. */
  settled(id, decisionId) {
    this.open.get(id)?.decisions.delete(decisionId);
  }

  /** Something in a session never ended: an authorized action, or else the session itself. */
  orphaned(state, id) {
    let [what, index, seq] = ["the session", state.index, state.seq];
    if (state.decisions.size) {
      const [decisionId, place] = state.decisions.entries().next().value;
      what = `the authorized action ${decisionId}`;
      [index, seq] = place;
    }
    if (this.orphan === null || index < (this.orphan.index ?? 0)) {
      this.orphan = fault("orphan", `${what} in ${id} never ended`, index, seq);
    }
  }

  #close(id, state, header) {
    if (state.decisions.size) {
      this.orphaned(state, id);
      state.decisions.clear();
    }
    if (header.outcome === "abandoned") {
      state.abandoned = true;
    } else {
      this.open.delete(id);
      this.#closed.add(id);
    }
  }

  #break(header, position, state, index) {
    const { session_id: id, seq } = header;
    const isLateWork = header.kind === "work" && header.late === true;
    if (this.#closed.has(id) || (state?.abandoned && !isLateWork)) {
      return fault("session_closed", `${id} had ended`, index, seq);
    }
    const opens = header.kind === "session.opened";
    if (opens !== (position === 0) || (state === undefined && position !== 0 && !this.#partial)) {
      return fault("session_start", `position ${position} of ${id}`, index, seq);
    }
    if (state === undefined) return null;
    if (position !== state.position + 1) {
      return fault("session_gap", `position ${position} of ${id} follows ${state.position}`, index, seq);
    }
    if (header.session_parent !== state.chainRoot) {
      return fault("session_chain", "session_parent is not the previous chain_root", index, seq);
    }
    if (header.lease_ref !== state.leaseId) {
      return fault("session_foreign", `${header.lease_ref} is not the session's lease`, index, seq);
    }
    return null;
  }
}
