// Checkpoints as signed notes (C2SP signed-note, tlog-checkpoint).

import { Refused, concat, fromBase64, hex, sameBytes, utf8 } from "./bytes.js";
import { loadKey, sha256 } from "./keys.js";

const NOTE_BYTES_MAX = 64 * 1024;
const LINES_MAX = 64;
const ED25519 = 0x01;
const COSIGNATURE_V1 = 0x04;
const TIME_BYTES = 8;
const SIGNATURE_BYTES = 64;
const ID_BYTES = 4;
const ROOT_BYTES = 32;
const SIZE = /^(0|[1-9][0-9]{0,15})$/;

/** The checkpoint in `note` when it is this tenant's and one of `keys` signed it, else null. */
export async function verifyCheckpoint(note, tenantId, keys) {
  const parsed = parseNote(note);
  const origin = `dragons/${tenantId}`;
  if (parsed.origin !== origin) return null;
  for (const key of keys) {
    const expected = await keyHash(origin, key, ED25519);
    for (const line of parsed.signatures) {
      if (line.name !== origin || !sameBytes(line.keyHash, expected)) continue;
      if (await key.verify(line.signature, parsed.text)) return { size: parsed.size, root: parsed.root };
    }
  }
  return null;
}

/** How many distinct trusted witness keys cosigned the note (C2SP tlog-cosignature). */
export async function countWitnesses(note, witnesses) {
  const parsed = parseNote(note);
  const counted = new Set();
  for (const { name, key } of witnesses) {
    const expected = await keyHash(name, key, COSIGNATURE_V1);
    for (const line of parsed.signatures) {
      if (line.name !== name || !sameBytes(line.keyHash, expected)) continue;
      if (line.signature.length !== TIME_BYTES + SIGNATURE_BYTES) continue;
      const time = BigInt(`0x${hex(line.signature.subarray(0, TIME_BYTES))}`);
      const message = concat(utf8(`cosignature/v1\ntime ${time}\n`), parsed.text);
      if (await key.verify(line.signature.subarray(TIME_BYTES), message)) counted.add(key.fingerprint);
    }
  }
  return counted.size;
}

/** A witness from its verifier key `name+hash+base64`; Refused otherwise. */
export async function parseWitness(text) {
  const [name, digits, ...rest] = text.split("+");
  const raw = fromBase64(rest.join("+"));
  if (!name || raw?.length !== 33 || raw[0] !== COSIGNATURE_V1) {
    throw notCheckpoint("the witness key is not of the form name+hash+key with type 0x04");
  }
  const key = await loadKey(raw.subarray(1));
  if (hex(await keyHash(name, key, COSIGNATURE_V1)) !== digits) {
    throw notCheckpoint("the witness key's hash does not match its name and key");
  }
  return { name, key };
}

/** The note's parts; Refused when it is no checkpoint. Checks no signature. `size` is a BigInt. */
export function parseNote(note) {
  if (utf8(note).length > NOTE_BYTES_MAX) throw notCheckpoint("it is too large");
  const at = note.lastIndexOf("\n\n");
  const lines = note.slice(at + 2).split("\n");
  if (at < 0 || lines.pop() !== "" || lines.length < 1 || lines.length > LINES_MAX) {
    throw notCheckpoint("it has no signature block");
  }
  const signatures = lines.map(parseSignature);
  const body = note.slice(0, at).split("\n");
  if (body.length !== 3) throw notCheckpoint("its body is not three lines");
  const [origin, size, encoded] = body;
  if (!SIZE.test(size)) throw notCheckpoint("its size is not a decimal number");
  const root = fromBase64(encoded);
  if (root?.length !== ROOT_BYTES) throw notCheckpoint("its root is not base64 of 32 bytes");
  return { text: utf8(`${note.slice(0, at)}\n`), signatures, origin, size: BigInt(size), root };
}

function parseSignature(line) {
  const [dash, name, ...rest] = line.split(" ");
  if (dash !== "\u2014" || !name || name.includes("+")) throw notCheckpoint("a signature line is malformed");
  const raw = fromBase64(rest.join(" "));
  if (raw === null || raw.length <= ID_BYTES) throw notCheckpoint("a signature is malformed");
  return { name, keyHash: raw.subarray(0, ID_BYTES), signature: raw.subarray(ID_BYTES) };
}

async function keyHash(name, key, algorithm) {
  const digest = await sha256(concat(utf8(`${name}\n`), Uint8Array.of(algorithm), key.raw));
  return digest.subarray(0, ID_BYTES);
}

const notCheckpoint = (why) => new Refused("checkpoint_malformed", `Not a checkpoint: ${why}.`);
