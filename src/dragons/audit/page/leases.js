// Leases: what was issued, renewed and given back, and the rules that a lease must fit.

import { beyond } from "./bytes.js";
import { parseTime } from "./documents.js";
import { loadKey } from "./keys.js";

export const REASON = FORMATS.reasons;
const isSame = (one, other) => one.every((value, at) => value === other[at]);

/** A field's value as something that `===` compares: bytes and lists of digests by what is in them. */
export const plain = (value) => (value instanceof Uint8Array || Array.isArray(value) ? value.join() : value);

// What a renewal may not change.
const FIXED = [
  "instance_id", "instance_key", "dock_id", "dock_hash", "agent", "version", "manifest_hash", "dispatch_id",
  "epoch", "depth", "authorized_by", "parent_lease_id", "parent_hash", "delegation_hash",
]; // prettier-ignore

/** The field that a renewal changed and may not, undefined when there is none. */
export const changedByRenewal = (before, after) =>
  FIXED.find((field) => plain(before[field]) !== plain(after[field]));

export const versionName = (agent, version) => `${agent}@v${version}`;

/** A lease with its renewals: valid in [notBefore, expiresAt) but for its gaps, until `releasedAt`. */
export class HeldLease {
  releasedAt = "";
  renewals = 0;
  gaps = [];

  /** A lease at its issue; `above` is the path of its parent, if it has one. */
  static async from(body, digest, above) {
    const lease = new HeldLease();
    const name = versionName(body.agent, body.version);
    const key = await loadKey(body.instance_key);
    const own = [
      `operator:${body.authorized_by}`,
      `dock:${body.dock_id}`,
      `agent:${body.agent}`,
      `version:${name}`,
      `instance:${body.instance_id}`,
      `lease:${body.lease_id}`,
    ];
    const path = [...new Set([...own, ...above])];
    return Object.assign(lease, {
      body, digest, name, key, path, keyId: key.keyId("instance"), scope: new Set(body.scope),
      notBefore: body.not_before, expiresAt: body.expires_at,
    }); // prettier-ignore
  }

  /** Take in the newest statement of the same lease. */
  renew(body, digest) {
    // Not its `not_before`, which is dated back: until it was issued, the lease had ended.
    if (body.issued_at > this.expiresAt) this.gaps.push([this.expiresAt, body.issued_at]);
    Object.assign(this, { body, digest, expiresAt: body.expires_at, scope: new Set(body.scope) });
    this.renewals += 1;
  }
}

/** The first way in which `lease` exceeds `dock`, as `code: detail`; null when it fits. */
export function refuseOutsideDock(lease, dock, dockHash) {
  const cited = [lease.tenant_id, lease.dock_id, lease.dock_hash];
  if (!isSame(cited, [dock.tenant_id, dock.dock_id, dockHash])) {
    return `${REASON.DOCK_MISSING}: ${lease.dock_id} is not the cited dock`;
  }
  if (lease.agent !== dock.agent || lease.authorized_by !== dock.operator) {
    return `${REASON.DOCK_MISSING}: ${dock.dock_id} docks ${dock.agent}, not ${lease.agent}`;
  }
  for (const field of ["scope", "delegate_scope"]) {
    const extra = beyond(lease[field], dock[field]);
    if (extra.length) return `${REASON.CAPABILITY_NOT_DOCKED}: ${extra.join(", ")}`;
  }
  const [issued, expires] = [parseTime(lease.issued_at), parseTime(lease.expires_at)];
  if (expires <= issued || expires - issued > dock.ttl_seconds_max * 1000) {
    return `${REASON.TTL_EXCEEDED}: the dock allows ${dock.ttl_seconds_max} s`;
  }
  if (parseTime(lease.not_before) < issued - FORMATS.limits.backdate_ms) {
    return `${REASON.TTL_EXCEEDED}: not_before is backdated too far`;
  }
  if (dock.not_after !== undefined && expires > parseTime(dock.not_after)) {
    return `${REASON.DOCK_EXPIRED}: the dock ends at ${dock.not_after}`;
  }
  return null;
}

/** The first way in which a delegated lease exceeds its parent, as `code: detail`; null when it fits. */
export function refuseOutsideParent(child, parent, parentHash) {
  if (child.parent_lease_id !== parent.lease_id || child.parent_hash !== parentHash) {
    return `${REASON.LEASE_MISSING}: the cited parent lease is another one`;
  }
  if (child.tenant_id !== parent.tenant_id) {
    return `${REASON.TENANT_MISMATCH}: the parent lease belongs to another tenant`;
  }
  if (child.depth !== parent.depth + 1 || child.depth > FORMATS.limits.depth_max) {
    return `${REASON.DELEGATION_TOO_DEEP}: depth ${child.depth} under ${parent.depth}`;
  }
  const wider = beyond(child.scope, parent.scope, parent.delegate_scope);
  if (wider.length) return `${REASON.SCOPE_EXCEEDED}: ${wider.join(", ")}`;
  const delegable = beyond(child.delegate_scope, parent.delegate_scope);
  if (delegable.length) return `${REASON.SCOPE_EXCEEDED}: ${delegable.join(", ")}`;
  if (parseTime(child.expires_at) > parseTime(parent.expires_at)) {
    return `${REASON.TTL_EXCEEDED}: the parent ends at ${parent.expires_at}`;
  }
  if (parseTime(child.not_before) < parseTime(parent.not_before)) {
    return `${REASON.TTL_EXCEEDED}: the parent begins at ${parent.not_before}`;
  }
  return null;
}
