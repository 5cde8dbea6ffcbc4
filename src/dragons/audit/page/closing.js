// The end of a verification: what can only be judged when every receipt has been seen.

import { fromHex, hex } from "./bytes.js";
import { bodyOf, isSignedBy } from "./envelope.js";
import { parseTime } from "./documents.js";
import { canVerify, roleOf } from "./keys.js";
import { isConsistent } from "./merkle.js";
import { countWitnesses, verifyCheckpoint } from "./note.js";
import { parseLine, refusal } from "./pack.js";
import { isBy } from "./trust.js";
import { fault } from "./verdicts.js";

export async function judgeEnd(run) {
  const { report } = run;
  if (report.receipts === 0) report.fail("integrity", fault("pack_empty", "there is no receipt in the pack"));
  if (run.governance.trust.root === null) {
    report.fail("signer", fault("root_untrusted", "no genesis by the pinned root key"));
  }
  await judgeStatement(run);
  judgeSelection(run);
  await judgeTree(run);
  await judgeBeginning(run);
  judgeCompromised(run);
  judgeOpen(run);
  judgePayloads(run);
  await judgeHeartbeats(run);
  await judgeWitnesses(run);
  if (!canVerify()) notChecked(report);
}

async function judgeStatement(run) {
  const { report, statement } = run;
  const envelope = run.pack.head.statement;
  const entry = run.governance.trust.signer(envelope, "ledger", statement.exported_at);
  if (typeof entry === "string") {
    report.fail("signer", fault("pack_untrusted", `the pack statement: ${entry}`));
  } else if (!(await isBy(envelope, entry))) {
    report.fail("signer", fault("pack_untrusted", "the pack statement's signature does not hold"));
  }
  if ((await run.contextDigest()) !== statement.context_sha256) {
    report.fail("integrity", fault("context_altered", "context or gaps are not those of the pack statement"));
  }
  if (statement.exported_at < run.lastIssuedAt) {
    report.fail("time", fault("time_reversed", "the pack is older than its last receipt"));
  }
}

function judgeSelection(run) {
  const { report, statement, selection } = run;
  report.selected = selection.selected;
  report.fail("completeness", selection.malformed());
  report.fail("completeness", selection.end(report.receipts, run.lastSeq));
  if (run.revocations !== statement.revocations) {
    const detail = `${run.revocations} of ${statement.revocations} revocations are shown`;
    report.fail("completeness", fault("revocation_withheld", detail, report.receipts));
  }
}

async function checkpoint(run, note, time, which) {
  const keys = run.governance.trust.ledgerKeys(time);
  try {
    const found = await verifyCheckpoint(note, run.statement.tenant_id, keys);
    if (found !== null) return found;
  } catch (error) {
    const detail = `the ${which} checkpoint: ${refusal(error).code}`;
    run.report.fail("signer", fault("checkpoint_malformed", detail));
    return null;
  }
  run.report.fail("signer", fault("checkpoint_untrusted", `no ledger key signed the ${which} checkpoint`));
  return null;
}

async function judgeTree(run) {
  const { report, statement, tree } = run;
  if (tree.end !== statement.tree_size) {
    const detail = `the log ends at ${tree.end} of ${statement.tree_size}`;
    report.fail("integrity", fault("log_truncated", detail, report.receipts));
  } else if (hex(await tree.root()) !== statement.root) {
    report.fail("integrity", fault("root_mismatch", "the Merkle root is not the pack statement's"));
  }
  const end = await checkpoint(run, run.pack.head.end, statement.exported_at, "end");
  if (end !== null && (end.size !== BigInt(statement.tree_size) || hex(end.root) !== statement.root)) {
    report.fail("integrity", fault("checkpoint_contradicts", "it is not the pack statement's tree"));
  }
}

async function judgeBeginning(run) {
  const { start, consistency } = run.pack.head;
  if (start === undefined) {
    if (consistency.length) {
      run.report.fail("integrity", fault("inconsistent", "a consistency proof without a start checkpoint"));
    }
    return;
  }
  // Its key may have been replaced since; what it says is proven by the consistency with the end.
  const found = await checkpoint(run, start, "", "start");
  if (found === null) return;
  const root = fromHex(run.statement.root) ?? new Uint8Array();
  if (!(await isConsistent(found.size, BigInt(run.statement.tree_size), found.root, root, consistency))) {
    run.report.fail("integrity", fault("inconsistent", "the start checkpoint is no prefix of the log"));
  }
}

/** Find the first receipt signed by a key after it was compromised, which became known later. */
function judgeCompromised(run) {
  const suspects = run.governance.trust.usedAfterCompromise();
  if (!suspects.size) return;
  let index = -1;
  for (const bytes of run.pack.receipts.lines) {
    let record, header;
    try {
      ({ record } = parseLine(bytes));
    } catch (problem) {
      refusal(problem);
      index += 1;
      continue;
    }
    if (record === undefined) continue;
    index += 1;
    try {
      header = bodyOf(record.header, "receipt", "Header");
    } catch (problem) {
      refusal(problem);
      continue;
    }
    for (const keyId of signersInTheirRole(record, header)) {
      if (!(header.issued_at >= suspects.get(keyId))) continue;
      const detail = `${keyId} is not trusted since ${suspects.get(keyId)}`;
      run.report.fail("signer", fault("key_compromised", detail, index, header.seq));
      return;
    }
  }
}

/** Whose signatures count in a receipt: not that of an old key under its rotation. */
function signersInTheirRole({ header: envelope, statement }, { kind }) {
  const demanded = FORMATS.statements.find((one) => one.kind === kind && one.type === statement.payloadType);
  const byRole = ({ signatures }, role) =>
    signatures.length === 1 && roleOf(signatures[0].keyid) === role ? [signatures[0].keyid] : [];
  return [...byRole(envelope, "ledger"), ...byRole(statement, demanded?.signer)];
}

function judgeOpen(run) {
  const { report, sessions, statement } = run;
  const exported = parseTime(statement.exported_at);
  let live = 0;
  for (const [id, state] of sessions.open) {
    if (state.abandoned) continue;
    const lease = run.governance.mandate.leases.get(state.leaseId);
    const until = lease ? openUntil(run.governance.mandate, lease) : 0;
    if (exported < until || statement.selection.kind === "window") live += 1;
    else sessions.orphaned(state, id);
  }
  // With a receipt missing, nobody can say that a cycle never ended.
  if (report.verdicts.completeness.status === "pass") report.fail("completeness", sessions.orphan);
  report.count("completeness", "open_sessions", live);
}

/** Until when a session under `lease` may be open: an expired lease may be renewed yet. */
function openUntil(mandate, lease) {
  const halted = mandate.organisms.halted.get(lease.body.instance_id);
  const over = [lease.releasedAt, halted?.at].filter(Boolean).sort();
  if (over.length) return parseTime(over[0]) + FORMATS.limits.abandon_within_ms;
  return parseTime(lease.expiresAt) + FORMATS.limits.lapsed_within_ms;
}

function judgePayloads(run) {
  const { report, payloads } = run;
  for (const found of payloads.end()) report.fail("redaction", found);
  report.count("redaction", "opened", payloads.opened);
  report.count("redaction", "withheld", payloads.withheld);
  report.count("redaction", "erased", payloads.erased);
}

async function judgeHeartbeats(run) {
  let digests;
  try {
    digests = run.pack.heartbeats();
  } catch (error) {
    run.report.fail("signer", fault("heartbeat_untrusted", refusal(error).code));
    return;
  }
  for (const digest of digests) {
    if (await isGenuine(run, digest)) continue;
    run.report.fail("signer", fault("heartbeat_untrusted", `the last heartbeat of ${digest.instance_id}`));
  }
}

async function isGenuine(run, digest) {
  let body;
  try {
    body = bodyOf(digest.last, "heartbeat", "Heartbeat");
  } catch (error) {
    refusal(error);
    return false;
  }
  const lease = run.governance.mandate.leases.get(body.lease_id);
  return (
    lease !== undefined &&
    body.tenant_id === run.statement.tenant_id &&
    body.instance_id === digest.instance_id &&
    lease.body.instance_id === digest.instance_id &&
    digest.last.signatures.length === 1 &&
    isSignedBy(digest.last, lease.keyId, lease.key)
  );
}

async function judgeWitnesses(run) {
  const { witnesses, witnessesRequired } = run.asked;
  const verdict = run.report.verdicts.witnesses;
  if (!witnesses.length && !witnessesRequired) {
    verdict.status = "not_asked";
    return;
  }
  const required = Math.max(1, witnessesRequired);
  let counted = 0;
  try {
    counted = await countWitnesses(run.pack.head.end, witnesses);
  } catch (error) {
    refusal(error);
  }
  verdict.facts.cosigned = counted;
  if (counted < required) {
    run.report.fail("witnesses", fault("witnesses_missing", `${counted} of ${required} trusted witnesses cosigned`));
  }
}

/** Without Ed25519 nothing can be said about who signed, nor about what follows from signatures. */
function notChecked(report) {
  for (const question of ["signer", "authority", "witnesses"]) {
    const verdict = report.verdicts[question];
    if (verdict.status === "pass") {
      verdict.status = "not_checked";
      verdict.fault = fault("ed25519_unavailable", "this browser can't check Ed25519 signatures");
    }
  }
}
