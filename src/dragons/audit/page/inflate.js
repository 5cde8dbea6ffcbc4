// Raw deflate undone (RFC 1951). The page's own, so that damaged data is read as far by every browser, and
// as far as `dragons verify` reads it: up to the first byte that can't be right, never beyond the last block.

const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const DISTANCES = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193,
  12289, 16385, 24577,
]; // prettier-ignore
const END_OF_BLOCK = 256;
const PAUSE_AFTER_MS = 12;
// Ways in which reading ends early: the data is wrong, there is no more of it, or enough was read.
const [WRONG, SHORT, ENOUGH] = [Symbol("wrong"), Symbol("short"), Symbol("enough")];

/** At most `limit` bytes of what was deflated, `ended` as far as it goes: whole, short, enough or wrong. */
export async function inflate(packed, limit) {
  const reader = new Inflater(packed, limit);
  let rested = performance.now();
  let ended = "whole";
  try {
    while (reader.block()) {
      if (performance.now() - rested < PAUSE_AFTER_MS) continue;
      await new Promise((resume) => { setTimeout(resume); }); // prettier-ignore
      rested = performance.now();
    }
  } catch (reason) {
    if (typeof reason !== "symbol") throw reason;
    ended = reason.description;
  }
  return { bytes: reader.out.subarray(0, reader.end), ended };
}

class Inflater {
  end = 0;
  #at = 0;
  #bits = 0;
  #held = 0;

  constructor(packed, limit) {
    Object.assign(this, { packed, limit, out: new Uint8Array(Math.min(limit, 4 * packed.length + 1024)) });
  }

  /** Read a block; true while another one follows. */
  block() {
    const last = this.#take(1);
    const kind = this.#take(2);
    if (kind === 3) throw WRONG;
    if (kind === 0) this.#stored();
    else this.#coded(...(kind === 1 ? FIXED_TABLES : this.#tables()));
    return !last;
  }

  #fill(count) {
    while (this.#held < count && this.#at < this.packed.length) {
      this.#bits |= this.packed[this.#at++] << this.#held;
      this.#held += 8;
    }
  }

  #take(count) {
    this.#fill(count);
    if (this.#held < count) throw SHORT;
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#held -= count;
    return value;
  }

  #symbol({ width, entries }) {
    this.#fill(width);
    const entry = entries[this.#bits & ((1 << width) - 1)];
    const length = entry & 15;
    if (length > this.#held) throw SHORT;
    if (length === 0) throw this.#held < width ? SHORT : WRONG;
    this.#bits >>>= length;
    this.#held -= length;
    return entry >> 4;
  }

  #stored() {
    this.#take(this.#held % 8);
    const size = this.#take(16);
    if ((this.#take(16) ^ size) !== 0xffff) throw WRONG;
    for (let left = size; left > 0; left -= 1) this.#put(this.#take(8));
  }

  #coded(literals, distances) {
    for (let symbol = this.#symbol(literals); symbol !== END_OF_BLOCK; symbol = this.#symbol(literals)) {
      if (symbol < END_OF_BLOCK) this.#put(symbol);
      else this.#repeat(symbol - END_OF_BLOCK - 1, distances);
    }
  }

  #repeat(code, distances) {
    if (code >= LENGTHS.length) throw WRONG;
    const length = LENGTHS[code] + this.#take(code < 8 || code === 28 ? 0 : (code - 4) >> 2);
    const far = this.#symbol(distances);
    if (far >= DISTANCES.length) throw WRONG;
    const distance = DISTANCES[far] + this.#take(far < 4 ? 0 : (far - 2) >> 1);
    if (distance > this.end) throw WRONG;
    for (let left = length; left > 0; left -= 1) this.#put(this.out[this.end - distance]);
  }

  #put(byte) {
    if (this.end === this.limit) throw ENOUGH;
    if (this.end === this.out.length) {
      const larger = new Uint8Array(Math.min(this.limit, 2 * this.end + 1024));
      larger.set(this.out);
      this.out = larger;
    }
    this.out[this.end++] = byte;
  }

  #tables() {
    const [literals, distances, codes] = [this.#take(5) + 257, this.#take(5) + 1, this.#take(4) + 4];
    if (literals > 286 || distances > 30) throw WRONG;
    const small = new Uint8Array(19);
    for (const place of ORDER.slice(0, codes)) small[place] = this.#take(3);
    const table = tableOf(small, false);
    const lengths = new Uint8Array(literals + distances);
    for (let at = 0; at < lengths.length; ) {
      const symbol = this.#symbol(table);
      if (symbol < 16) {
        lengths[at++] = symbol;
        continue;
      }
      if (symbol === 16 && at === 0) throw WRONG;
      const value = symbol === 16 ? lengths[at - 1] : 0;
      const times = [() => 3 + this.#take(2), () => 3 + this.#take(3), () => 11 + this.#take(7)][symbol - 16]();
      if (at + times > lengths.length) throw WRONG;
      lengths.fill(value, at, (at += times));
    }
    if (lengths[END_OF_BLOCK] === 0) throw WRONG;
    return [tableOf(lengths.subarray(0, literals), true), tableOf(lengths.subarray(literals), true)];
  }
}

/** A table of codes by their next bits: symbol · 16 + length, 0 for what is no code. */
function tableOf(lengths, mayBeSingle) {
  const counts = new Uint16Array(16);
  for (const length of lengths) counts[length] += 1;
  counts[0] = 0;
  const width = counts.findLastIndex((count) => count > 0);
  // No code at all is allowed where none is used; a set with room left only when it is a single short code.
  if (width < 0 && mayBeSingle) return { width: 1, entries: new Uint16Array(2) };
  let left = 1;
  for (let length = 1; length < 16; length += 1) {
    left = 2 * left - counts[length];
    if (left < 0) throw WRONG;
  }
  if (left > 0 && !(mayBeSingle && width === 1)) throw WRONG;
  const next = new Uint16Array(16);
  for (let length = 1; length < 16; length += 1) next[length] = (next[length - 1] + counts[length - 1]) << 1;
  const entries = new Uint16Array(1 << width);
  lengths.forEach((length, symbol) => {
    if (length === 0) return;
    const first = reversed(next[length]++, length);
    for (let at = first; at < entries.length; at += 1 << length) entries[at] = (symbol << 4) | length;
  });
  return { width, entries };
}

function reversed(code, length) {
  let value = 0;
  for (let bit = 0; bit < length; bit += 1) value |= ((code >> bit) & 1) << (length - 1 - bit);
  return value;
}

const FIXED_TABLES = [
  tableOf(Uint8Array.from({ length: 288 }, (_, at) => (at < 144 ? 8 : at < 256 ? 9 : at < 280 ? 7 : 8)), true),
  tableOf(new Uint8Array(32).fill(5), true),
];
