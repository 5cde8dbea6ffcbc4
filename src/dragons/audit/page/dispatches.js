// Dispatches as the ledger tells them: what operators ordered, each start of it, and its end.
// Every answer is null, or `code: detail`.

import { REASON } from "./leases.js";

/** Every ordered dispatch so far, by its id; `epoch` is that of its newest start. */
export class Dispatches {
  known = new Map();

  /** `newest` is the newest epoch that was leased under its id, 0 for none. */
  admitDispatch({ dispatch_id: id, agent }, newest) {
    if (this.known.has(id) || newest) return `dispatch_exists: ${id} had begun before`;
    this.known.set(id, { agent, epoch: 0, ended: false });
    return null;
  }

  admitEnd(body) {
    const wrong = this.#refuse(body);
    if (wrong === null) this.known.get(body.dispatch_id).ended = true;
    return wrong;
  }

  /** Why the next instance may not be ordered. */
  refuseStart(body, newest) {
    const late = body.epoch <= newest ? `${REASON.EPOCH_STALE}: epoch ${newest} was dispatched before` : null;
    return this.#refuse(body) ?? late;
  }

  /** The next instance is ordered; an open start before it counts no more. */
  start({ dispatch_id: id, epoch }) {
    this.known.get(id).epoch = epoch;
  }

  /** Why this first lease is not the one that a start of its dispatch asked for. */
  refuseLaunch(body) {
    if (!this.known.has(body.dispatch_id)) return null;
    const wrong = this.#refuse(body);
    if (wrong !== null || this.known.get(body.dispatch_id).epoch === body.epoch) return wrong;
    return `${REASON.DISPATCH_NOT_ORDERED}: no start is ordered for epoch ${body.epoch}`;
  }

  #refuse({ dispatch_id: id, agent }) {
    const ordered = this.known.get(id);
    if (!ordered) return `${REASON.DISPATCH_NOT_ORDERED}: ${id}`;
    if (ordered.agent !== agent) return `${REASON.DISPATCH_NOT_ORDERED}: ${id} is of ${ordered.agent}, not ${agent}`;
    return ordered.ended ? `${REASON.DISPATCH_ENDED}: ${id}` : null;
  }
}
