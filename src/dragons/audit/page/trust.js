// Trust: the keys that follow, statement by statement, from one pinned root fingerprint.
// A key that comes along in a pack is only a candidate.

import { bodyOf, holds, isSignedBy } from "./envelope.js";
import { loadKey, roleOf } from "./keys.js";
import { refusal } from "./pack.js";

const FOREVER = "9999-12-31T23:59:59.999Z";
const SIGNING_ROLES = new Set(FORMATS.limits.signing_roles);
const REGISTERED_ROLES = new Set(["operator", "issuer", "ledger"]);
const earliest = (one, other) => (other < one ? other : one);

/** A key that the root vouches for, valid in [notBefore, notAfter) until it is revoked. */
class TrustedKey {
  compromisedSince = FOREVER;
  lastUse = "";

  constructor(key, role, notBefore, notAfter, { roles = [], subject = "" } = {}) {
    Object.assign(this, { key, role, notBefore, notAfter, subject });
    this.maySign = roles.some((one) => SIGNING_ROLES.has(one));
  }

  /** True when a signature dated `time` counts. RFC 3339 in one form sorts as text. */
  holdsAt(time) {
    return this.notBefore <= time && time < this.notAfter && time < this.compromisedSince;
  }
}

/** The keys trusted so far, by key id. Every `admit…` returns what is wrong, null when accepted. */
export class Trust {
  root = null;
  rootId = "";
  tenantId = "";
  keys = new Map();

  constructor(pinned) {
    this.pinned = pinned;
  }

  async admitTenant(envelope) {
    const tenant = bodyOf(envelope, "tenant", "Tenant");
    if (this.root !== null) return "a second genesis";
    const [root, ledger] = [await safeKey(tenant.root_key), await safeKey(tenant.ledger_key)];
    const unsafe = root.unsafe ?? ledger.unsafe;
    if (unsafe) return unsafe;
    if (root.fingerprint !== this.pinned) {
      return `the root key's fingerprint is ${root.fingerprint}, not the pinned one`;
    }
    const rootId = root.keyId("root");
    if (!isExactlyBy(envelope, [rootId]) || !(await isSignedBy(envelope, rootId, root))) {
      return "the genesis is not signed by the root key";
    }
    Object.assign(this, { root, rootId, tenantId: tenant.tenant_id });
    const entry = new TrustedKey(ledger, "ledger", tenant.created_at, FOREVER, { subject: tenant.name });
    this.keys.set(ledger.keyId("ledger"), entry);
    return null;
  }

  async admitKey(envelope) {
    const body = bodyOf(envelope, "key", "Key");
    const { key_id: keyId, replaces } = body;
    const signers = replaces === undefined ? [this.rootId] : [...new Set([this.rootId, replaces])];
    const wrong = await this.#notByRoot(envelope, body.tenant_id, signers);
    if (wrong) return wrong;
    const key = await safeKey(body.public_key);
    if (key.unsafe) return key.unsafe;
    const role = roleOf(keyId);
    if (!REGISTERED_ROLES.has(role) || role !== body.role || key.keyId(role) !== keyId) {
      return "the key id does not follow from the key and its role";
    }
    if (this.keys.has(keyId)) return `${keyId} was already registered`;
    if (replaces !== undefined) {
      const old = this.keys.get(replaces);
      if (old?.role !== role || !(await isSignedBy(envelope, replaces, old.key))) {
        return `the rotation is not signed by the key it replaces, ${replaces}`;
      }
    }
    this.keys.set(keyId, new TrustedKey(key, role, body.not_before, body.not_after, body));
    return null;
  }

  /** The end of a key, recorded `at`: nothing that it signs from then on counts. */
  async admitRevocation(envelope, at) {
    const body = bodyOf(envelope, "key-revocation", "KeyRevocation");
    const wrong = await this.#notByRoot(envelope, body.tenant_id, [this.rootId]);
    if (wrong) return wrong;
    const entry = this.keys.get(body.key_id);
    if (entry === undefined) return `${body.key_id} is not a registered key`;
    entry.compromisedSince = earliest(entry.compromisedSince, body.compromised_since);
    entry.notAfter = earliest(entry.notAfter, at);
    return null;
  }

  /** The trusted key that is the envelope's one signer, or what is wrong. Checks no signature. */
  signer(envelope, role, time) {
    if (envelope.signatures.length !== 1) {
      return `it carries ${envelope.signatures.length} signatures instead of one`;
    }
    const keyId = envelope.signatures[0].keyid;
    const entry = this.keys.get(keyId);
    if (entry?.role !== role) return `${keyId} is no ${role} key that the pinned root vouches for`;
    if (!entry.holdsAt(time)) return `${keyId} was not valid at ${time}`;
    if (role === "operator" && !entry.maySign) return `${keyId} may not sign for the tenant`;
    if (time > entry.lastUse) entry.lastUse = time;
    return entry;
  }

  /** The ledger's keys: those that hold at `time`, or all that ever did when it is empty. */
  ledgerKeys(time) {
    const entries = [...this.keys.values()].filter(({ role }) => role === "ledger");
    return entries.filter((entry) => !time || entry.holdsAt(time)).map(({ key }) => key);
  }

  /** Keys that signed at or after the time since which they are not trusted, with that time. */
  usedAfterCompromise() {
    const used = [...this.keys].filter(([, entry]) => entry.lastUse >= entry.compromisedSince);
    return new Map(used.map(([keyId, entry]) => [keyId, entry.compromisedSince]));
  }

  async #notByRoot(envelope, tenantId, signers) {
    if (this.root === null) return "it comes before the genesis";
    if (tenantId !== this.tenantId) return "it belongs to another tenant";
    if (!isExactlyBy(envelope, signers) || !(await isSignedBy(envelope, this.rootId, this.root))) {
      return "it is not signed by the root key";
    }
    return null;
  }
}

/** True when the envelope's one signature is by this trusted key. */
export const isBy = (envelope, entry) => holds(envelope, envelope.signatures[0], entry.key);

// A statement with more or fewer signatures than it needs is not the one that was made.
function isExactlyBy(envelope, signers) {
  const named = new Set(envelope.signatures.map(({ keyid }) => keyid));
  return envelope.signatures.length === signers.length && signers.every((one) => named.has(one));
}

async function safeKey(raw) {
  try {
    return await loadKey(raw);
  } catch (error) {
    return { unsafe: `an unsafe key: ${refusal(error).code}` };
  }
}
