// Reading a ZIP file in the browser: the central directory, then stored and deflated entries.

import { Refused, crc32, sameBytes, textOf } from "./bytes.js";
import { inflate } from "./inflate.js";

const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
// The newest version of the format (APPNOTE 4.4.3) that readers know.
const VERSION_MAX = 63;
const COMMENT_BYTES_MAX = 0xffff;
/** More than this is for `dragons verify`, which needs no memory for it. */
export const READ_BYTES_MAX = 400 * 1024 * 1024;

/** The entries of a ZIP file as `{name: {…}}`; Refused when it is none. */
export function readDirectory(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  // Bytes before the archive shift all its offsets alike.
  const shift = end.at - end.size - end.offset;
  const entries = new Map();
  let at = end.offset + shift;
  if (at < 0) throw damaged("its directory lies outside of it");
  while (at < end.at) {
    if (at + 46 > end.at || view.getUint32(at, true) !== ENTRY) throw damaged("its directory is broken");
    if (bytes[at + 6] > VERSION_MAX) throw damaged("it needs a newer reader");
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    // A length that points beyond the directory ends with it.
    const [nameEnd, extraEnd] = [at + 46 + nameBytes, at + 46 + nameBytes + extraBytes].map((place) => Math.min(place, end.at));
    const raw = bytes.subarray(at + 46, nameEnd);
    const name = entryName(raw, view.getUint16(at + 8, true));
    if (entries.has(name)) throw new Refused("pack_ambiguous", "The pack holds two entries of one name.");
    entries.set(name, { raw, directory: end.offset + shift, ...entryOf(view, at, nameEnd, extraEnd, shift) });
    at += 46 + nameBytes + extraBytes + commentBytes;
  }
  return entries;
}

/** The contents of an entry as `{bytes, error}`; bytes before the error are still there. */
export async function readEntry(file, entry) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const at = entry.offset;
  if (at < 0 || at + 30 > file.length || view.getUint32(at, true) !== LOCAL) return broken("an entry has no header");
  const [nameBytes, extraBytes] = [view.getUint16(at + 26, true), view.getUint16(at + 28, true)];
  if (!sameBytes(file.subarray(at + 30, at + 30 + nameBytes), entry.raw)) return broken("a name is contradicted");
  if (at + entry.packed > entry.directory) return broken("an entry reaches beyond the entries");
  if (entry.flags & 0x61) return broken("an entry is encrypted");
  const start = at + 30 + nameBytes + extraBytes;
  const packed = file.subarray(start, start + entry.packed);
  const { bytes, error } = await unpack(packed, entry);
  if (error) return { bytes, error };
  return crc32(bytes) === entry.crc ? { bytes, error: null } : { bytes, error: damaged("a checksum is wrong") };
}

async function unpack(packed, entry) {
  if (entry.method === 0) return { bytes: packed.subarray(0, entry.size), error: null };
  if (entry.method !== 8) return broken("an entry is compressed in a way that no pack uses");
  const { bytes, ended } = await inflate(packed, Math.min(entry.size, READ_BYTES_MAX));
  if (ended === "enough" && entry.size > READ_BYTES_MAX) throw tooLarge();
  return { bytes, error: ended === "wrong" ? damaged("an entry can't be decompressed") : null };
}

function findEnd(view) {
  const lowest = Math.max(0, view.byteLength - 22 - COMMENT_BYTES_MAX);
  for (let at = view.byteLength - 22; at >= lowest; at -= 1) {
    if (view.getUint32(at, true) !== END) continue;
    const end = { at, size: view.getUint32(at + 12, true), offset: view.getUint32(at + 16, true) };
    return at >= 20 && view.getUint32(at - 20, true) === END64_LOCATOR ? findEnd64(view, at) : end;
  }
  throw damaged("it is no ZIP file");
}

function findEnd64(view, at) {
  const place = at - 20 - 56;
  if (place < 0 || view.getUint32(place, true) !== END64) throw damaged("its directory is broken");
  return {
    at: place,
    size: Number(view.getBigUint64(place + 40, true)),
    offset: Number(view.getBigUint64(place + 48, true)),
  };
}

function entryOf(view, at, extraAt, extraEnd, shift) {
  const entry = {
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    packed: view.getUint32(at + 20, true),
    size: view.getUint32(at + 24, true),
    offset: view.getUint32(at + 42, true),
  };
  readZip64(view, entry, extraAt, extraEnd);
  entry.offset += shift;
  return entry;
}

function readZip64(view, entry, begin, end) {
  for (let at = begin; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (at + 4 + view.getUint16(at + 2, true) > end) throw damaged("its directory is broken");
    if (view.getUint16(at, true) !== 1) continue;
    let place = at + 4;
    for (const field of ["size", "packed", "offset"]) {
      if (entry[field] !== 0xffffffff) continue;
      if (place + 8 > end) throw damaged("its directory is broken");
      entry[field] = Number(view.getBigUint64(place, true));
      place += 8;
    }
    return;
  }
}

function entryName(bytes, flags) {
  const end = bytes.indexOf(0);
  const name = end < 0 ? bytes : bytes.subarray(0, end);
  // Without the flag for UTF-8 the bytes are of an old code page; which one is the same to a name in ASCII.
  if (!(flags & 0x800)) return String.fromCharCode(...name);
  try {
    return textOf(name);
  } catch {
    throw damaged("a name is not a text");
  }
}

const tooLarge = () => new Refused("pack_too_large", "The pack is too large for a browser; use `dragons verify`.");
const damaged = (why) => new Refused("pack_damaged", `The file is not a readable pack: ${why}.`);
const broken = (why) => ({ bytes: new Uint8Array(), error: damaged(why) });
