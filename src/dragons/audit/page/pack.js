// The evidence pack in memory: its head, the lines of its files, and edits made in this page only.
// Lines come as they are, unverified.

import { Refused, textOf } from "./bytes.js";
import { bodyOf } from "./envelope.js";
import { readDocument, readDocuments } from "./documents.js";
import { leafHash } from "./merkle.js";
import { sha256Hex } from "./keys.js";
import { readDirectory, readEntry } from "./zip.js";

const { files: FILES, limits: LIMITS } = FORMATS;
const NEWLINE = 0x0a;
const CHUNK_BYTES = 1 << 16;
// Above this many lines a page would keep more than it gains by not reading a line twice.
const LINES_KEPT_MAX = 60_000;

/** The pack in the bytes of a ZIP file; Refused when it is no pack. */
export async function openZip(bytes) {
  const directory = readDirectory(bytes);
  const entries = new Map();
  for (const name of Object.values(FILES)) {
    if (directory.has(name)) entries.set(name, await readEntry(bytes, directory.get(name)));
  }
  return new EvidencePack(entries);
}

/** `entries` are the pack's files by name, each as `{bytes, error}`. */
export class EvidencePack {
  constructor(entries) {
    find(entries, FILES.receipts);
    this.head = readDocument("Head", whole(entries, FILES.head));
    if (this.head.format !== LIMITS.format) {
      throw new Refused("pack_format", `The pack's format is not ${LIMITS.format}.`);
    }
    this.statement = bodyOf(this.head.statement, "pack", "Pack");
    this.receipts = linesOf(entries, FILES.receipts);
    this.payloads = entries.has(FILES.payloads) ? linesOf(entries, FILES.payloads) : { lines: [], error: null };
    this.beats = entries.has(FILES.heartbeats) ? () => whole(entries, FILES.heartbeats) : null;
  }

  /** The heartbeat digests, empty when there are none; Refused when they are malformed. */
  heartbeats() {
    return this.beats === null ? [] : readDocuments("HeartbeatDigest", this.beats());
  }
}

function whole(entries, name) {
  const { bytes, error } = find(entries, name);
  if (error) throw error;
  if (bytes.length > LIMITS.head_bytes_max) throw new Refused("pack_too_large", `${name} is too large.`);
  return bytes;
}

function find(entries, name) {
  const found = entries.get(name);
  if (!found) throw new Refused("pack_incomplete", `The pack has no ${name}.`);
  return found;
}

/** Lines without their newlines, and what is wrong after the last of them. */
function linesOf(entries, name) {
  const { bytes, error } = find(entries, name);
  // A damaged entry is read as `dragons verify` reads it: by whole chunks, up to the damage.
  const end = error ? Math.max(0, Math.ceil(bytes.length / CHUNK_BYTES) - 1) * CHUNK_BYTES : bytes.length;
  const lines = [];
  let start = 0;
  while (start < end) {
    const at = bytes.indexOf(NEWLINE, start);
    const stop = at < 0 || at >= end ? end : at;
    if (stop - start > LIMITS.line_bytes_max) {
      return { lines, error: new Refused("pack_too_large", `${name} has a line that is too long.`) };
    }
    if (stop === end) return { lines, error: error ?? new Refused("pack_truncated", `${name} ends within a line.`) };
    lines.push(bytes.subarray(start, stop));
    start = stop + 1;
  }
  return { lines, error };
}

/** A line that is either a receipt or a gap; Refused otherwise. */
export function parseLine(bytes) {
  const line = readDocument("Line", bytes);
  if ((line.record === undefined) === (line.gap === undefined)) {
    throw new Refused("line_malformed", "A line is either a receipt or a gap.");
  }
  if ((line.record === undefined) !== (line.selected === undefined)) {
    throw new Refused("line_malformed", "A receipt, and only a receipt, is selected or not.");
  }
  return line;
}

const RECORD_START = '{"record":'.length;
const RECORD_END = { true: ',"selected":true}'.length, false: ',"selected":false}'.length };
const prepared = new WeakMap();

/** How to prepare the lines of a pack: remembered, so that a second verification is quick, or not. */
export const preparing = (lines) => (lines.length > LINES_KEPT_MAX ? prepare : prepareLine);

/** A line with the hashes that depend on nothing else. `refused` is why it is no line. */
export function prepareLine(bytes) {
  let found = prepared.get(bytes);
  if (found === undefined) {
    found = prepare(bytes);
    prepared.set(bytes, found);
  }
  return found;
}

async function prepare(bytes) {
  let line;
  try {
    line = parseLine(bytes);
  } catch (error) {
    return { refused: refusal(error) };
  }
  if (line.record === undefined) return { gap: line.gap };
  const { header, statement } = line.record;
  const leaf = bytes.subarray(RECORD_START, bytes.length - RECORD_END[line.selected]);
  const [leafDigest, chainRoot, statementHash] = await Promise.all([
    leafHash(leaf),
    sha256Hex(header.payload),
    sha256Hex(statement.payload),
  ]);
  return { selected: line.selected, header, statement, leafDigest, chainRoot, statementHash };
}

/** `error` when it says what the input lacks; anything else is a fault of this page and goes on up. */
export function refusal(error) {
  if (error instanceof Refused) return error;
  throw error;
}

/** The JSON value of canonical bytes, for showing; null when they are none. */
export function jsonOf(bytes) {
  try {
    return JSON.parse(textOf(bytes));
  } catch {
    return null;
  }
}
