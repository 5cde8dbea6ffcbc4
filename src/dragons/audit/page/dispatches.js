// Dispatches as the ledger tells them: what operators ordered, each start of it, and its end.
// Every answer is null, or `code: detail`.

import { beyond } from "./bytes.js";
import { parseTime } from "./documents.js";
import { REASON } from "./leases.js";

/** Every ordered dispatch so far, by its id; `epoch`, `fencedBy` and `notBefore` are those of its newest start. */
export class Dispatches {
  known = new Map();

  /** `newest` is the newest epoch that was leased under its id, 0 for none. */
  admitDispatch(order, newest) {
    const { dispatch_id: id, agent } = order;
    if (this.known.has(id) || newest) return `dispatch_exists: ${id} had begun before`;
    this.known.set(id, { agent, order, epoch: 0, fencedBy: "", notBefore: "", ended: false, isAnnulled: false });
    return null;
  }

  admitEnd(body) {
    const wrong = this.#refuse(body);
    if (wrong === null) this.known.get(body.dispatch_id).ended = true;
    return wrong;
  }

  /** Nothing of this dispatch begins any more; false when it was not ordered or is over. */
  annul(id) {
    const ordered = this.known.get(id);
    if (!ordered || ordered.ended) return false;
    ordered.isAnnulled = true;
    return true;
  }

  /** Why the next instance may not be ordered. */
  refuseStart(body, newest) {
    const late = body.epoch <= newest ? `${REASON.EPOCH_STALE}: epoch ${newest} was dispatched before` : null;
    return this.#refuseNext(body) ?? late;
  }

  /** The next instance is ordered; an open start before it counts no more. */
  start({ dispatch_id: id, epoch, fenced_by: fencedBy, not_before: notBefore }) {
    Object.assign(this.known.get(id), { epoch, fencedBy, notBefore });
  }

  /** Why this first lease, recorded `at`, is not the one that a start of its dispatch asked for. */
  refuseLaunch(body, at) {
    if (!this.known.has(body.dispatch_id)) return null;
    const wrong = this.#refuseNext(body);
    if (wrong !== null) return wrong;
    const { epoch, notBefore } = this.known.get(body.dispatch_id);
    if (epoch !== body.epoch) return `${REASON.DISPATCH_NOT_ORDERED}: no start is ordered for epoch ${body.epoch}`;
    if (at < notBefore) return `${REASON.DISPATCH_NOT_ORDERED}: the start is ordered for ${notBefore}`;
    return this.refuseBeyond(body);
  }

  /** Why a lease, first or renewed, is more than the operator ordered. */
  refuseBeyond(body) {
    const order = this.known.get(body.dispatch_id)?.order;
    if (!order) return null;
    const extra = beyond([...body.scope, ...body.delegate_scope], order.scope);
    if (order.scope.length && extra.length) return `${REASON.SCOPE_EXCEEDED}: not ordered: ${extra.join(", ")}`;
    if (parseTime(body.expires_at) - parseTime(body.issued_at) <= order.ttl_seconds * 1000) return null;
    return `${REASON.TTL_EXCEEDED}: the dispatch was ordered with ${order.ttl_seconds} s`;
  }

  #refuseNext(body) {
    const wrong = this.#refuse(body);
    if (wrong !== null || !this.known.get(body.dispatch_id).isAnnulled) return wrong;
    return `${REASON.DISPATCH_NOT_ORDERED}: ${body.dispatch_id} rests on a key that was compromised by then`;
  }

  #refuse({ dispatch_id: id, agent }) {
    const ordered = this.known.get(id);
    if (!ordered) return `${REASON.DISPATCH_NOT_ORDERED}: ${id}`;
    if (ordered.agent !== agent) return `${REASON.DISPATCH_NOT_ORDERED}: ${id} is of ${ordered.agent}, not ${agent}`;
    return ordered.ended ? `${REASON.DISPATCH_ENDED}: ${id}` : null;
  }
}
