// Governance statements in ledger order: whose signature each needs, and what it changes.
// What is wrong comes as [question, code, detail], null when nothing is.

import { bodyOf, isSignedBy } from "./envelope.js";
import { isA, nameOf } from "./documents.js";
import { judgeClaim, judgeClosing, judgeSession } from "./claims.js";
import { Mandate } from "./mandate.js";
import { Origins } from "./origins.js";
import { Trust, isBy } from "./trust.js";

/** Trust and mandate together, fed receipt by receipt; `whole` when it is fed with the whole ledger. */
export class Governance {
  #origins = new Origins();

  constructor(pinned, whole) {
    this.trust = new Trust(pinned);
    this.mandate = new Mandate(whole);
  }

  /** Check who signed a governance statement and let it take effect. */
  async admit(envelope, header, body, role) {
    if (role === "root") return this.#byRoot(envelope, header);
    const entry = this.#revokedSigner(envelope, role) ?? this.trust.signer(envelope, role, header.issued_at);
    if (typeof entry === "string") return ["signer", "statement_signer", entry];
    const keyId = envelope.signatures[0].keyid;
    if (!(await isBy(envelope, entry))) {
      return ["signer", "signature_invalid", "the statement's signature does not hold"];
    }
    const wrong = ofAuthority(await this.#takeEffect(body, envelope, header));
    if (wrong === null && role === "operator") this.#origins.note(body, keyId, header.issued_at);
    return wrong;
  }

  /** What an instance's statement under `lease` lacks in authority; its signer has been looked at. */
  async judge(lease, header, body, envelope) {
    if (isA(body, "Claim")) return ofAuthority(judgeClaim(this.mandate, lease, header, body));
    if (isA(body, "Session")) return ofAuthority(judgeSession(this.mandate, lease, header, body));
    if (isA(body, "Closing")) return ofAuthority(judgeClosing(this.mandate, lease, header, body));
    if (!(await isSignedBy(envelope, lease.keyId, lease.key))) {
      return ["signer", "signature_invalid", "the instance's signature does not hold"];
    }
    if (isA(body, "Delegation")) {
      return ofAuthority(await this.mandate.admitDelegation(body, envelope, header));
    }
    if (isA(body, "Release")) {
      if (body.instance_id !== lease.body.instance_id) {
        return ["authority", "instance_mismatch", "the release names another instance"];
      }
      lease.releasedAt ||= header.issued_at;
    }
    return null;
  }

  // An operator may be revoked by another one while the key itself still holds.
  #revokedSigner(envelope, role) {
    const keyIds = role === "operator" ? envelope.signatures.map(({ keyid }) => keyid) : [];
    const revoked = keyIds.find((keyId) => this.mandate.revoked.has(`operator:${keyId}`));
    return revoked === undefined ? null : `${revoked} was revoked before`;
  }

  async #byRoot(envelope, header) {
    let wrong;
    if (header.kind === "key.registered") {
      wrong = await this.trust.admitKey(envelope);
    } else {
      wrong = await this.trust.admitRevocation(envelope, header.issued_at);
      if (wrong === null) {
        const { key_id: keyId, compromised_since: since } = bodyOf(envelope, "key-revocation", "KeyRevocation");
        this.#origins.end(this.mandate, keyId, since, header.issued_at);
      }
    }
    return wrong === null ? null : ["signer", "key_untrusted", wrong];
  }

  #takeEffect(body, envelope, header) {
    const { mandate } = this;
    const at = header.issued_at;
    const effects = {
      Lease: () => mandate.admitLease(body, envelope, at),
      Dock: () => mandate.admitDock(body, envelope),
      Revocation: () => mandate.revoke(`${body.kind}:${body.target}`, at),
      Catalogue: () => mandate.admitCatalogue(body),
      Registration: () => mandate.admitRegistration(body, envelope),
      Activation: () => mandate.admitActivation(body),
      Transition: () => mandate.organisms.admitTransition(body, at),
      Intervention: () => mandate.organisms.admitIntervention(body),
      Withdrawal: () => mandate.admitWithdrawal(body, at),
      Policy: () => mandate.admitPolicy(body),
      Dispatch: () => mandate.admitDispatch(body),
      Redispatch: () => mandate.admitRedispatch(body),
      DispatchEnd: () => mandate.dispatches.admitEnd(body),
      Decision: () => mandate.admitDecision(body, header),
      Abandonment: () => (mandate.decisions.delete(body.decision_id), null),
    };
    return effects[nameOf(body)]?.() ?? null;
  }
}

function ofAuthority(wrong) {
  if (wrong === null) return null;
  const at = wrong.indexOf(": ");
  return at < 0 ? ["authority", wrong, ""] : ["authority", wrong.slice(0, at), wrong.slice(at + 2)];
}
