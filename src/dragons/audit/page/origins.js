// Who signed what is in force, and when it was recorded: what the end of an operator's key takes with it.

import { nameOf } from "./documents.js";
import { versionName } from "./leases.js";

/** Fed with every operator's statement that took effect. */
export class Origins {
  #catalogue = {};
  #active = new Map();
  #versions = new Map();
  #dispatches = new Map();
  #released = new Map();
  #letGo = new Map();

  /** `body`, signed by `keyId`, took effect at `at`. */
  note(body, keyId, at) {
    const origin = { keyId, at };
    const notes = {
      Catalogue: () => (this.#catalogue = origin),
      Activation: () => this.#active.set(body.agent, origin),
      Dispatch: () => this.#dispatches.set(body.dispatch_id, origin),
      Intervention: () => this.#noteRelease(body, origin),
      Registration: () => this.#versions.set(versionName(body.manifest.agent, body.version), origin),
    };
    notes[nameOf(body)]?.();
  }

  #noteRelease({ action, agent, instance_id: instanceId }, origin) {
    if (action !== "release") return;
    if (agent !== undefined) this.#released.set(agent, origin);
    else this.#letGo.set(instanceId, origin);
  }

  /** A key ended at `at` and is not trusted since `since`: with it end its leases and what rests on it. */
  end(mandate, keyId, since, at) {
    const isSpoiled = (origin) => origin.keyId === keyId && origin.at >= since;
    mandate.revoke(`operator:${keyId}`, at);
    if (isSpoiled(this.#catalogue)) mandate.catalogue = new Map();
    for (const [agent, origin] of this.#active) if (isSpoiled(origin)) mandate.active.delete(agent);
    for (const [name, origin] of this.#versions) if (isSpoiled(origin)) mandate.revoke(`version:${name}`, at);
    for (const [agent, origin] of this.#released) if (isSpoiled(origin)) mandate.organisms.isolate(agent);
    for (const [id, origin] of this.#dispatches) if (isSpoiled(origin)) mandate.annulDispatch(id, at);
    for (const [instanceId, origin] of this.#letGo) {
      if (isSpoiled(origin)) mandate.annulDispatch(mandate.organisms.known.get(instanceId).dispatchId, at);
    }
  }
}
