// Instances as the ledger tells them: their organism states, and what people did to them.
// Every answer is null, or `code: detail`.

import { REASON } from "./leases.js";

const ENDED_STATES = new Map(Object.entries(FORMATS.ended_states));
// Moves that only a person makes, and what they must have signed.
const BY_A_PERSON = new Map(Object.entries(FORMATS.by_a_person));

/** Why an instance in this state may do nothing, undefined when it may. */
export const endedState = (state) => ENDED_STATES.get(state);

/** Every instance so far. `halted` is why it may do nothing and since when, `held` are whole agents. */
export class Organisms {
  known = new Map();
  halted = new Map();
  held = new Set();
  newest = new Map();
  #unstopped = new Map();

  /** Why no new instance may begin under this first lease. */
  refuseLaunch(body) {
    if (this.known.has(body.instance_id)) {
      return `${REASON.INSTANCE_MISMATCH}: ${body.instance_id} holds another lease`;
    }
    if (this.held.has(body.agent)) {
      return `${REASON.ORGANISM_QUARANTINED}: ${body.agent} was quarantined by an operator`;
    }
    return this.refuseSuccessor(body.dispatch_id);
  }

  /** Why the next instance of a dispatch may not begin: an older one is isolated, or may still act. */
  refuseSuccessor(dispatchId) {
    for (const instanceId of this.#unstopped.get(dispatchId) ?? []) {
      const { state } = this.known.get(instanceId);
      if (state === "quarantined") return `${REASON.ORGANISM_QUARANTINED}: ${instanceId} of the same dispatch`;
      if (state !== "autohealing") return `holder_active: ${instanceId} of the same dispatch is ${state}`;
    }
    return null;
  }

  /** A new instance runs. */
  launched({ instance_id: instanceId, agent, dispatch_id: dispatchId, lease_id: leaseId }) {
    this.known.set(instanceId, { agent, dispatchId, leaseId, state: "running", acts: new Set() });
    this.newest.set(dispatchId, instanceId);
    if (!this.#unstopped.has(dispatchId)) this.#unstopped.set(dispatchId, new Set());
    this.#unstopped.get(dispatchId).add(instanceId);
  }

  admitTransition(body, at) {
    const { instance_id: instanceId, before, after, trigger } = body;
    const instance = this.known.get(instanceId);
    if (!instance) return `${REASON.LEASE_MISSING}: ${instanceId} was never leased to`;
    if (body.dispatch_id !== instance.dispatchId) {
      return `${REASON.INSTANCE_MISMATCH}: the transition names another dispatch`;
    }
    if (before !== instance.state) return `state_illegal: the instance was ${instance.state}, not ${before}`;
    if (!FORMATS.moves.some(([from, why, to]) => from === before && why === trigger && to === after)) {
      return `state_illegal: no move leads from ${before} to ${after} for this`;
    }
    const act = BY_A_PERSON.get(trigger);
    if (act !== undefined && !instance.acts.has(act)) {
      return `intervention_missing: no operator signed ${act} for this instance, its dispatch or its agent`;
    }
    Object.assign(instance, { state: after, acts: new Set() });
    const reason = endedState(after);
    // The first time counts, because nothing of it ever comes back.
    if (reason && !this.halted.has(instanceId)) this.halted.set(instanceId, { reason, at });
    if (after === "stopped") this.#unstopped.get(instance.dispatchId).delete(instanceId);
    return null;
  }

  admitIntervention({ instance_id: instanceId, dispatch_id: dispatchId, agent, action }) {
    if ([instanceId, dispatchId, agent].filter((one) => one !== undefined).length !== 1) {
      return "intervention_invalid: it names an instance, a dispatch or an agent, and one of them";
    }
    if (!FORMATS.acts.includes(action) || (dispatchId !== undefined && action !== "stop")) {
      return "intervention_invalid: it is none of those that there are";
    }
    if (instanceId !== undefined && !this.known.has(instanceId)) {
      return `${REASON.LEASE_MISSING}: ${instanceId} was never leased to`;
    }
    for (const [id, instance] of this.known) {
      if (id === instanceId || instance.dispatchId === dispatchId || instance.agent === agent) instance.acts.add(action);
    }
    if (agent !== undefined && action === "quarantine") this.held.add(agent);
    if (agent !== undefined && action === "release") this.held.delete(agent);
    return null;
  }

  /** Quarantine an agent again whose release doesn't count any more. */
  isolate(agent) {
    this.held.add(agent);
    for (const instance of this.known.values()) if (instance.agent === agent) instance.acts.add("quarantine");
  }
}
