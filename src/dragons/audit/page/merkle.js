// The Merkle log: RFC 6962 hashing over complete subtrees, and consistency proofs (RFC 9162 §2.1.4.2).
// Indices are doubles; each is an integer times a power of two, so arithmetic on them is exact.

import { concat, sameBytes } from "./bytes.js";
import { sha256 } from "./keys.js";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const HASH_BYTES = 32;

export const leafHash = (data) => sha256(concat(LEAF, data));
export const nodeHash = (left, right) => sha256(concat(NODE, left, right));

/** Leaves [0, end) as the fewest complete subtrees; grows at its end. */
export class Range {
  #nodes = [];
  end = 0;

  append(leaf) {
    return this.appendNode(0, this.end, leaf);
  }

  /** Add a complete subtree; RangeError when it doesn't begin where the range ends. */
  async appendNode(level, index, hash) {
    if (index * 2 ** level !== this.end) {
      throw new RangeError(`node (${level}, ${index}) does not begin at leaf ${this.end}`);
    }
    this.end = (index + 1) * 2 ** level;
    const nodes = this.#nodes;
    let node = { level, hash };
    for (let at = index; nodes.length && at % 2 === 1 && nodes.at(-1).level === node.level; at = (at - 1) / 2) {
      node = { level: node.level + 1, hash: await nodeHash(nodes.pop().hash, node.hash) };
    }
    nodes.push(node);
  }

  async root() {
    if (!this.#nodes.length) return sha256(new Uint8Array());
    let value = this.#nodes.at(-1).hash;
    for (const node of this.#nodes.slice(0, -1).reverse()) value = await nodeHash(node.hash, value);
    return value;
  }
}

/** True when the tree of `first` leaves (both are BigInt) is a prefix of that of `second`. */
export async function isConsistent(first, second, firstRoot, secondRoot, proof) {
  if (first <= 0n || first > second) return false;
  if (first === second) return proof.length === 0 && sameBytes(firstRoot, secondRoot);
  if (proof.some((item) => item.length !== HASH_BYTES)) return false;
  const path = (first & (first - 1n)) === 0n ? [firstRoot, ...proof] : proof;
  if (!path.length) return false;
  let [inner, last] = [first - 1n, second - 1n];
  while (inner & 1n) [inner, last] = [inner >> 1n, last >> 1n];
  let [before, after] = [path[0], path[0]];
  for (const item of path.slice(1)) {
    if (last === 0n) return false;
    if (inner & 1n || inner === last) {
      [before, after] = [await nodeHash(item, before), await nodeHash(item, after)];
      while (!(inner & 1n) && inner) [inner, last] = [inner >> 1n, last >> 1n];
    } else {
      after = await nodeHash(after, item);
    }
    [inner, last] = [inner >> 1n, last >> 1n];
  }
  return last === 0n && sameBytes(before, firstRoot) && sameBytes(after, secondRoot);
}
