// Authority as the ledger tells it: docks, leases and revocations in order, and who may claim what.
// Every answer is null, or `code: detail`.

import { beyond } from "./bytes.js";
import { Dispatches } from "./dispatches.js";
import { refuseLease } from "./fitting.js";
import { sha256Hex } from "./keys.js";
import { HeldLease, REASON } from "./leases.js";
import { Organisms, endedState } from "./organisms.js";

/** What is authorized at this point of the ledger; `whole` when the pack shows all of it. */
export class Mandate {
  docks = new Map();
  leases = new Map();
  delegations = new Map();
  revoked = new Map();
  manifests = new Map();
  active = new Map();
  catalogue = new Map();
  epochs = new Map();
  decisions = new Map();
  policies = new Map();
  steps = new Map();
  organisms = new Organisms();
  dispatches = new Dispatches();

  constructor(whole) {
    this.whole = whole;
  }

  // --- governance ------------------------------------------------------------------------------

  admitCatalogue(body) {
    this.catalogue = body.capabilities;
    return null;
  }

  /** The manifest's hash is over its canonical JSON, which stands as it is inside of the statement's. */
  async admitRegistration(body, envelope) {
    if ((await manifestHash(envelope)) !== body.manifest_hash) {
      return `${REASON.MANIFEST_MISMATCH}: the manifest_hash is not the hash of the manifest`;
    }
    const known = this.manifests.get(body.manifest_hash);
    if (known) return `${REASON.MANIFEST_MISMATCH}: the manifest is version ${known.version} already`;
    this.manifests.set(body.manifest_hash, body);
    return null;
  }

  admitActivation(body) {
    if (!this.isRecorded(body)) return `${REASON.MANIFEST_UNRECORDED}: ${body.manifest_hash}`;
    this.active.set(body.agent, body.version);
    return null;
  }

  async admitDock(body, envelope) {
    if (envelope.signatures[0].keyid !== body.operator) {
      return `${REASON.DOCK_MISSING}: the dock names another operator than the one who signed it`;
    }
    if (this.docks.has(body.dock_id)) return `${REASON.DOCK_MISSING}: a second dock ${body.dock_id}`;
    this.docks.set(body.dock_id, { body, digest: await sha256Hex(envelope.payload) });
    return null;
  }

  /** `entry` is `dock:dck_…`; whatever has it on its path ends at `at`. */
  revoke(entry, at) {
    if (!this.revoked.has(entry)) this.revoked.set(entry, at);
    return null;
  }

  /** The issuer takes a lease back. A selection shows every revocation, but not every lease. */
  admitWithdrawal(body, at) {
    const lease = this.leases.get(body.lease_id);
    if (!lease && this.whole) return `${REASON.LEASE_MISSING}: ${body.lease_id}`;
    if (lease && lease.body.instance_id !== body.instance_id) {
      return `${REASON.INSTANCE_MISMATCH}: the withdrawal names another instance`;
    }
    return this.revoke(`lease:${body.lease_id}`, at);
  }

  admitPolicy(body) {
    const known = this.policies.get(body.agent) ?? 0;
    if (body.version !== known + 1) {
      return `policy_version_conflict: version ${body.version} of ${body.agent} follows ${known}`;
    }
    if (contradictsItself(body)) return "policy_invalid: it contradicts itself";
    this.policies.set(body.agent, body.version);
    return null;
  }

  admitDispatch(body) {
    return this.dispatches.admitDispatch(body, this.epoch(body));
  }

  /** The next instance is ordered: only when no older one of the dispatch may act any more. */
  admitRedispatch(body) {
    const wrong = this.dispatches.refuseStart(body, this.epoch(body)) ?? this.organisms.refuseSuccessor(body.dispatch_id);
    if (wrong === null) this.dispatches.start(body);
    return wrong;
  }

  /** Nothing of a dispatch has authority from `at` on, as what it rests on doesn't count any more. */
  annulDispatch(id, at) {
    if (!this.dispatches.annul(id)) return;
    for (const [leaseId, { body }] of this.leases) if (body.dispatch_id === id) this.revoke(`lease:${leaseId}`, at);
  }

  /** A parent's signed wish; that the parent signed it has been checked. */
  async admitDelegation(body, envelope, header) {
    const parent = this.leases.get(body.parent_lease_id);
    if (body.parent_instance_id !== parent.body.instance_id) {
      return `${REASON.INSTANCE_MISMATCH}: the delegation names another parent instance`;
    }
    const over = this.over(parent, header);
    if (over) return `${over}: ${body.parent_lease_id}`;
    const extra = beyond(body.scope, parent.scope, parent.body.delegate_scope);
    if (extra.length) return `${REASON.SCOPE_EXCEEDED}: ${extra.join(", ")}`;
    const fixed = body.scope.find((name) => !this.catalogue.get(name)?.delegable);
    if (fixed !== undefined) return `${REASON.CAPABILITY_NOT_DELEGABLE}: ${fixed}`;
    if (body.not_after > parent.expiresAt) {
      return `${REASON.TTL_EXCEEDED}: the parent ends at ${parent.expiresAt}`;
    }
    this.delegations.set(await sha256Hex(envelope.payload), body);
    return null;
  }

  /** Take in a lease or a renewal. */
  async admitLease(body, envelope, at) {
    const known = this.leases.get(body.lease_id);
    if (!known && body.serial !== 0) {
      return `${REASON.LEASE_MISSING}: ${body.lease_id} is renewed but was never issued`;
    }
    const above = this.leases.get(body.parent_lease_id)?.path ?? [];
    const lease = await HeldLease.from(body, await sha256Hex(envelope.payload), above);
    const wrong = refuseLease(this, lease, known, at);
    if (wrong) return wrong;
    if (known) {
      known.renew(body, lease.digest);
      return null;
    }
    this.epochs.set(body.dispatch_id, { epoch: body.epoch, since: at });
    this.leases.set(body.lease_id, lease);
    this.organisms.launched(body);
    return null;
  }

  /** The control plane's own check of one action. */
  admitDecision(body, header) {
    const lease = this.leases.get(body.lease_id);
    if (!lease) return `${REASON.LEASE_MISSING}: ${body.lease_id}`;
    const wrong = this.mismatch(header, lease, body.instance_id, body.epoch);
    if (wrong) return wrong;
    const over = this.over(lease, header);
    if (over) return `${over}: an action was authorized under ${body.lease_id}`;
    if (!lease.scope.has(body.action)) return `${REASON.CAPABILITY_NOT_LEASED}: ${body.action}`;
    this.decisions.set(body.decision_id, body);
    return null;
  }

  // --- what work asks --------------------------------------------------------------------------

  /** Why the lease had ended when this receipt was issued, null while it had not. */
  over(lease, header) {
    if (header.issued_at >= lease.expiresAt) return REASON.LEASE_EXPIRED;
    if (lease.releasedAt) return REASON.LEASE_RELEASED;
    if (lease.path.some((one) => this.revoked.has(one))) return REASON.REVOKED_LEASE;
    if (this.epochs.get(lease.body.dispatch_id).epoch !== lease.body.epoch) return REASON.EPOCH_STALE;
    if (header.instance_id !== lease.body.instance_id) return null;
    return endedState(header.organism_state) ?? this.organisms.halted.get(header.instance_id)?.reason ?? null;
  }

  /** How header, statement and lease contradict each other about who this is. */
  mismatch(header, lease, instanceId, epoch) {
    const { body } = lease;
    const oneInstance = header.instance_id === instanceId && instanceId === body.instance_id;
    if (!oneInstance || header.lease_ref !== body.lease_id) {
      return `${REASON.INSTANCE_MISMATCH}: header, statement and lease name different instances`;
    }
    if (header.agent !== lease.name) {
      return `${REASON.INSTANCE_MISMATCH}: the header names ${header.agent}, the lease ${lease.name}`;
    }
    if (header.manifest_hash !== body.manifest_hash) {
      return `${REASON.MANIFEST_MISMATCH}: ${header.manifest_hash}`;
    }
    if (epoch !== header.epoch || header.epoch !== body.epoch) {
      return `${REASON.EPOCH_STALE}: epoch ${epoch} under a lease of epoch ${body.epoch}`;
    }
    return null;
  }

  isRecorded({ manifest_hash: hash, agent, version }) {
    const found = this.manifests.get(hash);
    return found !== undefined && found.manifest.agent === agent && found.version === version;
  }

  /** The newest epoch of a dispatch that was leased, 0 for none. */
  epoch({ dispatch_id: id }) {
    return this.epochs.get(id)?.epoch ?? 0;
  }
}

function contradictsItself(policy) {
  const { progress_sources: sources } = policy;
  return (
    policy.autoheal_after_seconds <= policy.degrade_after_seconds ||
    policy.backoff_longest_seconds < policy.backoff_first_seconds ||
    (policy.progress_required && sources.length === 0) ||
    sources.includes("claim")
  );
}

async function manifestHash(envelope) {
  const { manifest } = JSON.parse(new TextDecoder().decode(envelope.payload));
  return sha256Hex(new TextEncoder().encode(JSON.stringify(manifest)));
}
