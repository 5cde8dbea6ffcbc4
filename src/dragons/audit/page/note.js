// Checkpoints as signed notes (C2SP signed-note, tlog-checkpoint).

import { Refused, concat, fromBase64, sameBytes, utf8 } from "./bytes.js";
import { sha256 } from "./keys.js";

const NOTE_BYTES_MAX = 64 * 1024;
const LINES_MAX = 64;
const ED25519 = 0x01;
const ID_BYTES = 4;
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

/** The note's parts; Refused when it is no checkpoint. Checks no signature. `size` is a BigInt. */
export function parseNote(note) {
  if (utf8(note).length > NOTE_BYTES_MAX) throw malformed("it is too large");
  const at = note.lastIndexOf("\n\n");
  const lines = note.slice(at + 2).split("\n");
  if (at < 0 || lines.pop() !== "" || lines.length < 1 || lines.length > LINES_MAX) {
    throw malformed("it has no signature block");
  }
  const signatures = lines.map(parseSignature);
  const body = note.slice(0, at).split("\n");
  if (body.length !== 3) throw malformed("its body is not three lines");
  const [origin, size, encoded] = body;
  if (!SIZE.test(size)) throw malformed("its size is not a decimal number");
  const root = fromBase64(encoded);
  if (root === null) throw malformed("its root is not base64");
  return { text: utf8(`${note.slice(0, at)}\n`), signatures, origin, size: BigInt(size), root };
}

function parseSignature(line) {
  const [dash, name, ...rest] = line.split(" ");
  if (dash !== "\u2014" || !name || name.includes("+")) throw malformed("a signature line is malformed");
  const raw = fromBase64(rest.join(" "));
  if (raw === null || raw.length <= ID_BYTES) throw malformed("a signature is malformed");
  return { name, keyHash: raw.subarray(0, ID_BYTES), signature: raw.subarray(ID_BYTES) };
}

async function keyHash(name, key, algorithm) {
  const digest = await sha256(concat(utf8(`${name}\n`), Uint8Array.of(algorithm), key.raw));
  return digest.subarray(0, ID_BYTES);
}

const malformed = (why) => new Refused("checkpoint_malformed", `Not a checkpoint: ${why}.`);
