// Verdicts: seven separate answers, each with the first receipt that spoils it.

export const QUESTIONS = ["integrity", "signer", "authority", "completeness", "time", "witnesses", "redaction"];

/** The first thing wrong: `index` counts the pack's receipts from 0, `seq` is its ledger place. */
export const fault = (code, detail, index = null, seq = null) => ({ code, detail, index, seq });

/** What a verifier found. `valid` only when every asked-for verdict passes. */
export class Report {
  constructor(pinned) {
    this.pinned = pinned;
    this.receipts = 0;
    this.selected = 0;
    this.verdicts = Object.fromEntries(
      QUESTIONS.map((question) => [question, { status: "pass", fault: null, facts: {} }]),
    );
  }

  /** Record a fault, if there is one, unless an earlier receipt already spoiled the verdict. */
  fail(question, found) {
    if (!found) return;
    const verdict = this.verdicts[question];
    verdict.status = "fail";
    if (verdict.fault === null || isBefore(found, verdict.fault)) verdict.fault = found;
  }

  /** Show a count beside a verdict; nothing when it is zero. */
  count(question, fact, number) {
    if (number) this.verdicts[question].facts[fact] = number;
  }

  get valid() {
    const good = new Set(["pass", "not_asked"]);
    return this.receipts > 0 && QUESTIONS.every((question) => good.has(this.verdicts[question].status));
  }

  /** The same shape as `dragons verify -o json`. */
  toJSON() {
    const verdicts = QUESTIONS.map((question) => [question, verdictJson(this.verdicts[question])]);
    return {
      valid: this.valid,
      pinned_root: this.pinned,
      tenant_id: this.tenantId,
      pack_id: this.packId,
      selection: this.selection,
      receipts: this.receipts,
      selected: this.selected,
      tree_size: this.treeSize,
      root: this.root,
      exported_at: this.exportedAt,
      verdicts: Object.fromEntries(verdicts),
    };
  }
}

function verdictJson({ status, fault: found, facts }) {
  const value = { status };
  if (Object.keys(facts).length) value.facts = facts;
  if (found) {
    value.first_offending = { index: found.index, seq: found.seq };
    value.code = found.code;
    value.detail = found.detail;
  }
  return value;
}

// Of several faults at one receipt the code that sorts first is kept, as in dragons.audit.verdicts.
function isBefore(one, other) {
  const [a, b] = [one, other].map(({ index, code, detail }) => [index ?? Infinity, code, detail]);
  const at = a.findIndex((value, place) => value !== b[place]);
  return at >= 0 && a[at] < b[at];
}
