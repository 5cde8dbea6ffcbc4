// Judging what an instance signed against its mandate: did the work have authority when it began?
// Every answer is null, or `code: detail`.

import { beyond } from "./bytes.js";
import { REASON } from "./leases.js";

/** Why this work had no authority when it began, null when it had. */
export function judgeClaim(mandate, lease, header, claim) {
  const wrong = mandate.mismatch(header, lease, claim.instance_id, claim.epoch) ?? judgeLate(mandate, lease, header);
  if (wrong) return wrong;
  const decided = settle(mandate, claim);
  if (claim.outcome === "denied") return null;
  if (claim.outcome === "abandoned") return "outcome_invalid: only the control plane abandons";
  return (
    judgeStart(mandate, lease, claim) ??
    judgeAction(mandate, lease, claim, decided) ??
    judgeStep(mandate, header, claim)
  );
}

/** Why this session had no authority to begin. It counts when the control plane recorded it. */
export function judgeSession(mandate, lease, header, body) {
  const wrong = mandate.mismatch(header, lease, body.instance_id, body.epoch);
  if (wrong) return wrong;
  const over = mandate.over(lease, header);
  if (over) return `${over}: the session was opened under ${body.lease_id}`;
  const extra = beyond(body.scope, lease.scope, lease.body.delegate_scope);
  return extra.length ? `${REASON.SCOPE_EXCEEDED}: ${extra.join(", ")}` : null;
}

/** Why this end of a session does not count. It may come late. */
export function judgeClosing(mandate, lease, header, body) {
  const wrong = mandate.mismatch(header, lease, body.instance_id, lease.body.epoch);
  if (wrong) return wrong;
  if (body.outcome !== "completed" && body.outcome !== "failed") {
    return "outcome_invalid: a session closes as completed or failed";
  }
  return judgeLate(mandate, lease, header);
}

function judgeStart(mandate, lease, claim) {
  const started = claim.started_at;
  if (started < lease.notBefore) return `${REASON.LEASE_NOT_YET_VALID}: it began at ${started}`;
  if (started >= lease.expiresAt) return `${REASON.LEASE_EXPIRED}: it began at ${started}`;
  const gap = lease.gaps.find(([end, renewed]) => end <= started && started < renewed);
  if (gap) return `${REASON.LEASE_EXPIRED}: it began at ${started}, before the renewal at ${gap[1]}`;
  if (lease.releasedAt && started >= lease.releasedAt) return `${REASON.LEASE_RELEASED}: it began at ${started}`;
  for (const one of lease.path) {
    const at = mandate.revoked.get(one);
    if (at !== undefined && started >= at) return `revoked: ${one} at ${at}`;
  }
  const { epoch, since } = mandate.epochs.get(lease.body.dispatch_id);
  if (epoch !== lease.body.epoch && started >= since) {
    return `${REASON.EPOCH_STALE}: epoch ${epoch} was dispatched at ${since}`;
  }
  const halted = mandate.organisms.halted.get(claim.instance_id);
  return halted && started >= halted.at ? `${halted.reason}: since ${halted.at}` : null;
}

function judgeAction(mandate, lease, claim, decided) {
  const { action } = claim;
  if (!lease.scope.has(action)) return `${REASON.CAPABILITY_NOT_LEASED}: ${action}`;
  const known = mandate.catalogue.get(action);
  if (!known) return `${REASON.CAPABILITY_UNKNOWN}: ${action}`;
  if (known.risk === "high" && !decided) {
    return `${REASON.ONLINE_CHECK_REQUIRED}: no decision of the control plane for ${action}`;
  }
  return null;
}

/** A step happens once: nobody completes it again, but to correct what was said of it. */
function judgeStep(mandate, header, claim) {
  if (claim.step_key === undefined || claim.outcome !== "completed") return null;
  const earlier = mandate.steps.get(claim.step_key);
  if (earlier !== undefined && claim.corrects !== earlier) {
    return `${REASON.STEP_COMPLETED}: the step was completed by ${earlier}`;
  }
  mandate.steps.set(claim.step_key, header.receipt_id);
  return null;
}

function judgeLate(mandate, lease, header) {
  const over = mandate.over(lease, header);
  if (over && header.late !== true) return `late_unmarked: ${over} when the receipt was issued`;
  if (!over && header.late === true) {
    return "late_unfounded: the lease was valid when the receipt was issued";
  }
  return null;
}

/** True when the control plane authorized exactly this action; a decision counts once. */
function settle(mandate, claim) {
  const decision = mandate.decisions.get(claim.decision_id);
  if (!decision || ["action", "instance_id", "session_id"].some((field) => decision[field] !== claim[field])) {
    return false;
  }
  return mandate.decisions.delete(claim.decision_id);
}
