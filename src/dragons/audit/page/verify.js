// Verifying an evidence pack, step by step as in dragons.audit.verify: the same verdicts, the same codes.
// The numbers are those of spec/verify.md.

import { bodyOf, holds } from "./envelope.js";
import { Refused, joined } from "./bytes.js";
import { contradiction } from "./copies.js";
import { isA, parseTime, readDocument } from "./documents.js";
import { Governance } from "./governance.js";
import { judgeEnd } from "./closing.js";
import { sha256Hex } from "./keys.js";
import { Range } from "./merkle.js";
import { parseLine, preparing, refusal } from "./pack.js";
import { PayloadCheck } from "./redaction.js";
import { SelectionCheck } from "./selection.js";
import { Sessions } from "./sessions.js";
import { Report, fault } from "./verdicts.js";

const LINES_AHEAD = 128;
const BUSY_MS_MAX = 12;
const LINE_END = Uint8Array.of(0x0a);
const STATEMENTS = new Map(FORMATS.statements.map((one) => [`${one.kind} ${one.type}`, one]));
const HEADER_TYPE = "application/vnd.dragons.receipt+json";
const GENESIS_TYPE = "application/vnd.dragons.tenant+json";

/** Let the page draw and answer. */
const pause = () => new Promise((resume) => { setTimeout(resume); });

// What is asked for beyond the pack itself.
const NOTHING_MORE = { payloads: false, witnesses: [], witnessesRequired: 0 };
const NOBODY = { progress() {}, receipt() {}, signal: undefined };

/** Judge `pack` against the pinned root fingerprint. Returns the finished run; its `report` is the answer.
 *
 * `asked` is what is wanted beyond the pack; of `watch`, `progress(done, of)` hears of every batch of
 * lines, `receipt({number, index, line})` of every line, and `signal` ends it all with an AbortError.
 */
export async function verifyPack(pack, pin, asked = {}, watch = {}) {
  const run = new Verification(pack, pin, { ...NOTHING_MORE, ...asked });
  await run.receipts({ ...NOBODY, ...watch });
  await judgeEnd(run);
  return run;
}

/** Judge `pack` although nobody pinned a root. Never valid: every key is only the pack's own word.
 *
 * What does not depend on trust is still judged, as if the root that the pack names were the right one.
 */
export async function verifyUnpinned(pack, asked, watch) {
  const run = await verifyPack(pack, (await candidateRoot(pack)) ?? "", asked, watch);
  const { signer, authority } = run.report.verdicts;
  const why = fault("no_pinned_root", "you have not pinned a root fingerprint, so no key in this pack counts");
  run.report.pinned = "";
  for (const verdict of [signer, authority]) {
    if (verdict.status === "pass") Object.assign(verdict, { status: "not_checked", fault: why });
  }
  return run;
}

/** The fingerprint of the root key that the pack names, which proves nothing; null when there is none. */
export async function candidateRoot(pack) {
  try {
    const { statement } = parseLine(pack.receipts.lines[0] ?? new Uint8Array()).record ?? {};
    return statement ? await sha256Hex(bodyOf(statement, "tenant", "Tenant").root_key) : null;
  } catch (error) {
    refusal(error);
    return null;
  }
}

/** One verification: the state that the pass carries from line to line. */
class Verification {
  #context = [];
  #signatures = [];
  #lastRoot = "0".repeat(64);
  lastSeq = -1;
  lastIssuedAt = "";
  revocations = 0;
  tree = new Range();

  constructor(pack, pin, asked) {
    const statement = pack.statement;
    Object.assign(this, { pack, statement, asked, governance: new Governance(pin, statement.selection.kind === "ledger") });
    this.sessions = new Sessions(statement.selection.kind === "window");
    this.selection = new SelectionCheck(statement);
    this.payloads = new PayloadCheck(pack.payloads, asked.payloads || !pack.head.redacted);
    this.report = Object.assign(new Report(pin), {
      tenantId: statement.tenant_id,
      packId: statement.pack_id,
      selection: statement.selection,
      treeSize: statement.tree_size,
      root: statement.root,
      exportedAt: statement.exported_at,
    });
  }

  /** Judge every line, then wait for the signatures. */
  async receipts({ progress, receipt, signal }) {
    const { lines, error } = this.pack.receipts;
    const prepare = preparing(lines);
    let rested = performance.now();
    for (let from = 0; from < lines.length; from += LINES_AHEAD) {
      const batch = lines.slice(from, from + LINES_AHEAD);
      const prepared = await Promise.all(batch.map((line) => prepare(line)));
      for (let at = 0; at < batch.length; at += 1) {
        const index = await this.#line(batch[at], prepared[at]);
        receipt({ number: from + at, index, line: prepared[at] });
        if (performance.now() - rested > BUSY_MS_MAX) {
          await pause();
          signal?.throwIfAborted();
          rested = performance.now();
        }
      }
      await this.#settleSignatures();
      progress(from + batch.length, lines.length);
    }
    if (error) this.#fail("integrity", fault("damaged", error.code, this.report.receipts));
  }

  /** SHA-256 over the lines that are not selected receipts. */
  contextDigest() {
    return sha256Hex(joined(this.#context));
  }

  #fail(question, found) {
    this.report.fail(question, found);
  }

  // --- step 2 ------------------------------------------------------------------------------------

  /** Returns the index of the receipt, null for a gap. */
  async #line(bytes, line) {
    const index = this.report.receipts;
    try {
      if (line.refused) throw line.refused;
      if (!line.selected) this.#context.push(bytes, LINE_END);
      if (line.gap) {
        await this.#gap(line.gap, index);
        return null;
      }
      await this.#receipt(line, index);
    } catch (error) {
      this.#fail("integrity", fault("malformed", refusal(error).code, index));
    }
    this.report.receipts = index + 1;
    return index;
  }

  async #gap(nodes, index) {
    for (const node of nodes) {
      try {
        await this.tree.appendNode(node.level, node.index, node.hash);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#fail("integrity", fault("gap_misplaced", error.message, index));
      }
    }
  }

  async #receipt(line, index) {
    const { header: envelope, statement, selected } = line;
    if (envelope.payloadType !== HEADER_TYPE) {
      throw new Refused("statement_kind", "The header is not of the receipt kind.");
    }
    const header = (line.parsed ??= readDocument("Header", envelope.payload));
    const { seq } = header;
    const previous = this.lastSeq;
    await this.#chain(header, line, index);
    await this.#headerSignature(envelope, statement, header, index);
    if (header.revocation_seq !== undefined) {
      if (header.revocation_seq !== this.revocations) {
        this.#fail("completeness", fault("revocation_withheld", `revocation ${this.revocations} is missing`, index, seq));
      }
      this.revocations = header.revocation_seq + 1;
    }
    this.#fail("completeness", this.selection.follow(header, index, previous, selected));
    if (selected) {
      this.#fail("completeness", this.sessions.follow(header, line.chainRoot, index));
      if (header.payload_hash !== undefined) this.#fail("redaction", await this.payloads.follow(header, index));
    }
    const body = await this.#statement(line, header, index);
    if (body !== null) this.#followBody(header, body, index);
  }

  async #chain(header, line, index) {
    const { seq } = header;
    const { end } = this.tree;
    if (header.tenant_id !== this.statement.tenant_id) {
      this.#fail("integrity", fault("tenant_mismatch", header.tenant_id, index, seq));
    } else if (seq !== end) {
      this.#fail("integrity", fault("seq_broken", `receipt ${seq} stands where ${end} belongs`, index, seq));
    } else if (seq === this.lastSeq + 1 && header.parent_root !== this.#lastRoot) {
      const detail = "parent_root is not the previous receipt's chain_root";
      this.#fail("integrity", fault("chain_broken", detail, index, seq));
    }
    if (seq === end) await this.tree.append(line.leafDigest);
    if (header.statement_hash !== line.statementHash) {
      this.#fail("integrity", fault("statement_altered", "statement_hash is not the statement's", index, seq));
    }
    if (header.issued_at < this.lastIssuedAt) {
      this.#fail("time", fault("time_reversed", `issued before receipt ${this.lastSeq}`, index, seq));
    }
    this.lastSeq = seq;
    this.lastIssuedAt = header.issued_at;
    this.#lastRoot = line.chainRoot;
  }

  // --- steps 3 to 5 ------------------------------------------------------------------------------

  async #headerSignature(envelope, statement, header, index) {
    const { trust } = this.governance;
    // The genesis brings the first ledger key along, so it is admitted before its own header.
    if (header.kind === "tenant.created" && statement.payloadType === GENESIS_TYPE) {
      const wrong = header.seq ? "it is not the first receipt" : await trust.admitTenant(statement);
      if (wrong !== null) this.#fail("signer", fault("root_untrusted", wrong, index, header.seq));
    }
    const entry = trust.signer(envelope, "ledger", header.issued_at);
    if (typeof entry === "string") {
      this.#fail("signer", fault("ledger_key_untrusted", entry, index, header.seq));
      return;
    }
    this.#check(envelope, entry.key, "the ledger's signature", index, header.seq);
  }

  async #statement(line, header, index) {
    const envelope = line.statement;
    const kind = STATEMENTS.get(`${header.kind} ${envelope.payloadType}`);
    if (!kind) {
      const detail = `${header.kind} carries ${[...envelope.payloadType].slice(0, 80).join("")}`;
      this.#fail("integrity", fault("statement_kind", detail, index, header.seq));
      return null;
    }
    const body = (line.body ??= readDocument(kind.document, envelope.payload));
    if (body.tenant_id !== this.statement.tenant_id) {
      this.#fail("integrity", fault("tenant_mismatch", "in the statement", index, header.seq));
      return null;
    }
    const field = contradiction(header, body);
    if (field) this.#fail("integrity", fault("header_contradicts", field, index, header.seq));
    let wrong = null;
    if (kind.signer === "instance") wrong = await this.#byInstance(envelope, header, body, index);
    else if (header.kind !== "tenant.created") {
      wrong = await this.governance.admit(envelope, header, body, kind.signer);
    }
    if (wrong !== null) {
      const [question, code, detail] = wrong;
      this.#fail(question, fault(code, detail, index, header.seq));
    }
    return body;
  }

  async #byInstance(envelope, header, body, index) {
    const leaseId = isA(body, "Delegation") ? body.parent_lease_id : body.lease_id;
    const lease = this.governance.mandate.leases.get(leaseId);
    if (!lease) return ["authority", "lease_missing", leaseId];
    const { signatures } = envelope;
    if (signatures.length !== 1 || signatures[0].keyid !== lease.keyId) {
      return ["signer", "statement_signer", `it is not signed by ${lease.keyId} alone`];
    }
    this.#check(envelope, lease.key, "the instance's signature", index, header.seq);
    return this.governance.judge(lease, header, body, envelope);
  }

  #check(envelope, key, what, index, seq) {
    this.#signatures.push({ good: holds(envelope, envelope.signatures[0], key), what, index, seq });
  }

  async #settleSignatures() {
    for (const { good, what, index, seq } of this.#signatures) {
      if (await good) continue;
      this.#fail("signer", fault("signature_invalid", `${what} does not hold`, index, seq));
    }
    this.#signatures = [];
  }

  // --- what the body adds ------------------------------------------------------------------------

  #followBody(header, body, index) {
    if (isA(body, "Claim")) this.#times(header, body, index);
    if (isA(body, "Claim", "Abandonment") && body.decision_id !== undefined) {
      this.sessions.settled(body.session_id, body.decision_id);
    }
    if (isA(body, "Decision")) this.sessions.decided(body.session_id, body.decision_id, index, header.seq);
    if (isA(body, "Erasure")) this.payloads.erase(body);
  }

  #times(header, body, index) {
    if (body.started_at > body.ended_at) {
      this.#fail("time", fault("time_reversed", "ended before it began", index, header.seq));
    } else if (
      body.ended_at > header.issued_at &&
      parseTime(body.ended_at) - parseTime(header.issued_at) > FORMATS.limits.skew_ms_max
    ) {
      this.#fail("time", fault("time_future", "ended after its receipt was issued", index, header.seq));
    }
  }
}
