// DSSE envelopes: what is signed, by whom, and what it says. The received bytes are verified, never
// bytes that were written again.

import { concat, utf8, Refused } from "./bytes.js";
import { readDocument } from "./documents.js";

const mediaType = (kind) => `application/vnd.dragons.${kind}+json`;

/** DSSE pre-authentication encoding: the bytes that every signature is over. */
export function signedBytes(envelope) {
  const type = utf8(envelope.payloadType);
  const head = concat(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${envelope.payload.length} `));
  return concat(head, envelope.payload);
}

/** The parsed payload; Refused when it is not a canonical statement of this kind. */
export function bodyOf(envelope, kind, document) {
  if (envelope.payloadType !== mediaType(kind)) {
    throw new Refused("statement_kind", `Expected a ${kind} statement.`);
  }
  return readDocument(document, envelope.payload);
}

const checked = new WeakMap();

/** Whether a signature of `envelope` holds under `key`; the answer is remembered with the signature. */
export async function holds(envelope, signature, key) {
  const known = checked.get(signature);
  if (known?.key === key) return known.good;
  const good = await key.verify(signature.sig, signedBytes(envelope));
  checked.set(signature, { key, good });
  return good;
}

/** True when the envelope has a valid signature of `key` under `keyId`. */
export async function isSignedBy(envelope, keyId, key) {
  const signature = envelope.signatures.find((one) => one.keyid === keyId);
  return signature !== undefined && holds(envelope, signature, key);
}
