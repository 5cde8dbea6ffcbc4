// Dispatches as the ledger tells them: what operators ordered, each start of it, and its end.
// Every answer is null, or `code: detail`.

import { REASON } from "./leases.js";

/** Every ordered dispatch so far, by its id; `epoch`, `fencedBy` and `notBefore` are those of its newest start. */
export class Dispatches {
  known = new Map();

  /** `newest` is the newest epoch that was leased under its id, 0 for none. */
  admitDispatch({ dispatch_id: id, agent }, newest) {
    if (this.known.has(id) || newest) return `dispatch_exists: ${id} had begun before`;
    this.known.set(id, { agent, epoch: 0, fencedBy: "", notBefore: "", ended: false });
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
  start({ dispatch_id: id, epoch, fenced_by: fencedBy, not_before: notBefore }) {
    Object.assign(this.known.get(id), { epoch, fencedBy, notBefore });
  }

  /** Why this first lease, recorded `at`, is not the one that a start of its dispatch asked for. */
  refuseLaunch(body, at) {
    if (!this.known.has(body.dispatch_id)) return null;
    const wrong = this.#refuse(body);
    if (wrong !== null) return wrong;
    const { epoch, notBefore } = this.known.get(body.dispatch_id);
    if (epoch !== body.epoch) return `${REASON.DISPATCH_NOT_ORDERED}: no start is ordered for epoch ${body.epoch}`;
    return at < notBefore ? `${REASON.DISPATCH_NOT_ORDERED}: the start is ordered for ${notBefore}` : null;
  }

  #refuse({ dispatch_id: id, agent }) {
    const ordered = this.known.get(id);
    if (!ordered) return `${REASON.DISPATCH_NOT_ORDERED}: ${id}`;
    if (ordered.agent !== agent) return `${REASON.DISPATCH_NOT_ORDERED}: ${id} is of ${ordered.agent}, not ${agent}`;
    return ordered.ended ? `${REASON.DISPATCH_ENDED}: ${id}` : null;
  }
}
