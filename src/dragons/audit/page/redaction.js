// Payloads against their commitments: opened, withheld or erased. They come in their receipts' order.

import { concat, utf8 } from "./bytes.js";
import { readDocument } from "./documents.js";
import { sha256Hex } from "./keys.js";
import { refusal } from "./pack.js";
import { fault } from "./verdicts.js";

const DOMAIN = utf8(FORMATS.limits.payload_domain);

/** SHA-256(domain ‖ salt ‖ canonical body), 64 hex digits. */
export const payloadHash = (payload) => sha256Hex(concat(DOMAIN, payload.salt, payload.body));

/** Takes payloads as their receipts come by; `expected` is false for a redacted pack. */
export class PayloadCheck {
  #source;
  #expected;
  #at = -1;
  #next = null;
  #broken = null;
  #withheld = new Map();
  opened = 0;
  withheld = 0;
  erased = 0;
  /** Which line of payloads.jsonl a receipt's payload is, by the receipt's index. */
  lineOf = new Map();

  constructor(source, expected) {
    this.#source = source;
    this.#expected = expected;
    this.#advance();
  }

  /** The next selected receipt that commits to a payload. */
  async follow(header, index) {
    const found = this.#next;
    if (found === null || found.payload_hash !== header.payload_hash) {
      this.withheld += 1;
      if (this.#expected) this.#withheld.set(header.receipt_id, [index, header.seq]);
      return null;
    }
    this.lineOf.set(index, this.#at);
    this.#advance();
    this.opened += 1;
    const opens = found.salt.length === FORMATS.limits.salt_bytes && (await payloadHash(found)) === found.payload_hash;
    return opens
      ? null
      : fault("payload_altered", "the payload does not open its payload_hash", index, header.seq);
  }

  /** Payloads of these receipts were destroyed, on the record. */
  erase(body) {
    for (const receiptId of body.receipts) {
      if (!this.#withheld.delete(receiptId)) continue;
      this.erased += 1;
      this.withheld -= 1;
    }
  }

  /** What is wrong when all receipts have come by. */
  end() {
    const found = this.#broken === null ? [] : [this.#broken];
    if (this.#next !== null) {
      found.push(fault("payload_unclaimed", "a payload is not of the receipt whose turn it is"));
    }
    const [first] = [...this.#withheld.values()].sort((one, other) => one[0] - other[0]);
    if (first) found.push(fault("payload_withheld", "its payload is not in the pack", ...first));
    return found;
  }

  #advance() {
    const { lines, error } = this.#source;
    this.#next = null;
    this.#at += 1;
    try {
      if (this.#at < lines.length) this.#next = readDocument("Payload", lines[this.#at]);
      else if (this.#at === lines.length && error) throw error;
    } catch (problem) {
      this.#broken = fault("payload_malformed", refusal(problem).code);
    }
  }
}
