// SHA-256 and Ed25519 by WebCrypto alone. An unsafe key is refused when it is loaded, as in
// dragons.core.keys: wrong length, non-canonical encoding, small order.

import { Refused, fromHex, hex, sameBytes } from "./bytes.js";

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export const sha256Hex = async (bytes) => hex(await sha256(bytes));

const P = 2n ** 255n - 19n;
const Y_MASK = 2n ** 255n - 1n;
const littleEndian = (bytes) => BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`);
// The y coordinates of the eight points of small order (RFC 8032 curve; cofactor 8).
const LOW_ORDER_Y = new Set([
  0n,
  1n,
  P - 1n,
  littleEndian(fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
  littleEndian(fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
]);

const ROLES = { rtk: "root", opk: "operator", isk: "issuer", lgk: "ledger", ink: "instance" };
const PREFIXES = Object.fromEntries(Object.entries(ROLES).map(([prefix, role]) => [role, prefix]));

/** False when this browser has no Ed25519: then no signature holds, and none is said to. */
let hasEd25519 = true;
export const canVerify = () => hasEd25519;

const loaded = new Map();

/** An Ed25519 public key that is safe to verify with. Made by `loadKey` only. */
class PublicKey {
  #imported = null;

  constructor(raw, fingerprint) {
    this.raw = raw;
    this.fingerprint = fingerprint;
  }

  /** `<prefix>_` and the first 128 bits of the fingerprint. */
  keyId(role) {
    return `${PREFIXES[role]}_${this.fingerprint.slice(0, 32)}`;
  }

  /** True when `signature` over `message` is by this key. */
  async verify(signature, message) {
    if (!hasEd25519) return true; // the signer verdict says "not checked" then, whatever else holds
    if (signature.length !== 64) return false;
    this.#imported ??= crypto.subtle.importKey("raw", this.raw, "Ed25519", false, ["verify"]).catch(() => null);
    const key = await this.#imported;
    return key !== null && crypto.subtle.verify("Ed25519", key, signature, message);
  }
}

/** The key with these 32 bytes; Refused when it is unsafe. */
export async function loadKey(raw) {
  if (raw.length !== 32) throw new Refused("key_malformed", `An Ed25519 key has 32 bytes, not ${raw.length}.`);
  const y = littleEndian(raw) & Y_MASK;
  if (y >= P) throw new Refused("key_non_canonical", "The key's encoding is not canonical.");
  if (LOW_ORDER_Y.has(y)) throw new Refused("key_low_order", "The key is a point of small order.");
  const fingerprint = await sha256Hex(raw);
  if (!loaded.has(fingerprint)) loaded.set(fingerprint, new PublicKey(raw.slice(), fingerprint));
  return loaded.get(fingerprint);
}

/** The role that a key id claims by its prefix; null when it is no key id. */
export function roleOf(keyId) {
  const match = /^([^_]*)_([0-9a-f]{32})$/.exec(keyId);
  return (match && Object.hasOwn(ROLES, match[1]) && ROLES[match[1]]) || null;
}

// RFC 8032 §7.1, test 2.
const KNOWN_KEY = fromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
const KNOWN_SIGNATURE = fromHex(
  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
);
const KNOWN_SHA256 = fromHex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

/** Try the browser on known answers. Returns what it can do; without SHA-256 nothing can be verified. */
export async function tryBrowser() {
  if (!globalThis.crypto?.subtle) return { sha256: false, ed25519: false };
  const digest = await sha256(Uint8Array.of(0x61, 0x62, 0x63));
  hasEd25519 = true;
  try {
    const key = await loadKey(KNOWN_KEY);
    const good = await key.verify(KNOWN_SIGNATURE, Uint8Array.of(0x72));
    const bad = await key.verify(KNOWN_SIGNATURE, Uint8Array.of(0x73));
    hasEd25519 = good && !bad;
  } catch {
    hasEd25519 = false;
  }
  return { sha256: sameBytes(digest, KNOWN_SHA256), ed25519: hasEd25519 };
}
