// Whether a lease fits what it was issued under: dock, manifest, parent, dispatch and the instance before.
// Every answer is null, or `code: detail`; nothing here changes the mandate.

import { beyond } from "./bytes.js";
import { parseTime } from "./documents.js";
import { REASON, changedByRenewal, plain, refuseOutsideDock, refuseOutsideParent } from "./leases.js";

/** Why `lease`, recorded `at`, has no authority; `known` is what it renews, undefined when it is the first. */
export function refuseLease(mandate, lease, known, at) {
  const { body } = lease;
  const wrong = refuseIssue(mandate, body, lease, at);
  return wrong ?? (known ? refuseRenewal(mandate, known, body) : refuseLaunch(mandate, body, lease, at));
}

function refuseIssue(mandate, body, lease, at) {
  const dock = mandate.docks.get(body.dock_id);
  if (!dock) return `${REASON.DOCK_MISSING}: ${body.dock_id}`;
  const outside = refuseOutsideDock(body, dock.body, dock.digest);
  if (outside) return outside;
  if (Math.abs(parseTime(at) - parseTime(body.issued_at)) > FORMATS.limits.issue_skew_ms_max) {
    return `${REASON.LEASE_NOT_YET_VALID}: dated ${body.issued_at}, recorded ${at}`;
  }
  if (!mandate.isRecorded(body)) return `${REASON.MANIFEST_UNRECORDED}: ${body.manifest_hash}`;
  const declared = mandate.manifests.get(body.manifest_hash).manifest.capabilities;
  const extra = beyond([...body.scope, ...body.delegate_scope], declared);
  if (extra.length) return `${REASON.CAPABILITY_NOT_DECLARED}: ${extra.join(", ")}`;
  const ended = lease.path.find((one) => mandate.revoked.has(one));
  if (ended) return `revoked: ${ended}`;
  if (body.parent_lease_id !== undefined) return refuseDelegated(mandate, body);
  return body.depth === 0 ? null : `${REASON.LEASE_MISSING}: it has a depth but no parent`;
}

function refuseDelegated(mandate, body) {
  const parent = mandate.leases.get(body.parent_lease_id);
  if (!parent) return `${REASON.LEASE_MISSING}: the parent ${body.parent_lease_id} is unknown`;
  // A renewal goes on citing the parent statement that the lease was issued under.
  const outside = refuseOutsideParent(body, parent.body, body.serial === 0 ? parent.digest : body.parent_hash);
  if (outside) return outside;
  if (body.issued_at >= parent.expiresAt || (parent.releasedAt && body.serial === 0)) {
    return `${REASON.LEASE_EXPIRED}: the parent had ended`;
  }
  const wish = mandate.delegations.get(body.delegation_hash);
  const sameNames = ["parent_lease_id", "agent", "instance_id"].every((field) => wish?.[field] === body[field]);
  if (!wish || !sameNames || plain(wish.instance_key) !== plain(body.instance_key)) {
    return `${REASON.LEASE_MISSING}: no delegation by the parent's holder names this instance`;
  }
  const extra = beyond([...body.scope, ...body.delegate_scope], wish.scope);
  if (extra.length) return `${REASON.SCOPE_EXCEEDED}: wider than the delegation: ${extra.join(", ")}`;
  if (body.expires_at > wish.not_after) return `${REASON.TTL_EXCEEDED}: the delegation ends at ${wish.not_after}`;
  return null;
}

function refuseLaunch(mandate, body, lease, at) {
  if (mandate.active.get(body.agent) !== body.version) {
    return `${REASON.VERSION_INACTIVE}: ${lease.name} was not the active version`;
  }
  if (body.epoch <= mandate.epoch(body)) return `${REASON.EPOCH_STALE}: epoch ${body.epoch} was dispatched before`;
  const wrong = mandate.dispatches.refuseLaunch(body, at) ?? mandate.organisms.refuseLaunch(body);
  return wrong ?? refuseUnfenced(mandate, body, at);
}

/** A start says why the instance before can't act any more; that it died is the control plane's word. */
function refuseUnfenced(mandate, { dispatch_id: id }, at) {
  const before = mandate.organisms.newest.get(id);
  const ordered = mandate.dispatches.known.get(id);
  if (before === undefined || !ordered || ordered.fencedBy === "death") return null;
  let ended = 0;
  if (ordered.fencedBy === "expiry") {
    ended = parseTime(mandate.leases.get(mandate.organisms.known.get(before).leaseId).expiresAt);
  } else if (ordered.fencedBy === "staleness") {
    ended = parseTime(mandate.organisms.halted.get(before).at) + FORMATS.limits.stale_after_ms;
  } else return `holder_unfenced: nothing says why ${before} can't act`;
  return ended <= parseTime(at) ? null : `holder_unfenced: ${before} may act for a while yet`;
}

// It may come after the lease's end: how long after is the control plane's to decide.
function refuseRenewal(mandate, known, body) {
  const before = known.body;
  const changed = changedByRenewal(before, body);
  if (changed) return `${REASON.LEASE_MISSING}: a renewal changed ${changed}`;
  if (body.serial !== before.serial + 1) {
    return `${REASON.LEASE_MISSING}: renewal ${body.serial} follows renewal ${before.serial}`;
  }
  if (known.releasedAt) return `${REASON.LEASE_RELEASED}: a renewal of a lease that was given back`;
  const halted = mandate.organisms.halted.get(body.instance_id);
  if (halted) return `${halted.reason}: a renewal for an instance that is halted since ${halted.at}`;
  const extra = [...beyond(body.scope, known.scope), ...beyond(body.delegate_scope, before.delegate_scope)];
  if (!extra.length) return mandate.dispatches.refuseBeyond(body);
  return `${REASON.SCOPE_EXCEEDED}: a renewal may not widen: ${[...new Set(extra)].sort().join(", ")}`;
}
