// The words of this page: how kinds, statuses and facts are put to a reader.

export const QUESTION_TEXT = {
  integrity: "Is every receipt unaltered and in its place?",
  signer: "Did the right keys sign, vouched for by your root?",
  authority: "Was everything allowed when it began?",
  completeness: "Is nothing left out?",
  time: "Are the times plausible?",
  witnesses: "Did the witnesses you trust see this log?",
  redaction: "Do the payloads open their commitments?",
};

export const STATUS_TEXT = { pass: "holds", fail: "fails", not_asked: "not asked", not_checked: "not checked" };

/** Where a kind of receipt stands in goal → action → evidence → outcome, or what else it is about. */
export const STAGES = {
  "session.opened": "goal",
  "action.authorized": "action",
  work: "action",
  denied: "denied",
  "session.closed": "outcome",
  "state.changed": "life",
  intervention: "life",
  redispatched: "life",
  "dispatch.ended": "life",
  notified: "life",
  erased: "life",
};
export const stageOf = (kind) => STAGES[kind] ?? "authority";

export const FILTERS = [
  { name: "walk", label: "The walk", stages: ["goal", "action", "denied", "outcome"] },
  { name: "authority", label: "Authority", stages: ["authority", "life"] },
  { name: "all", label: "Everything", stages: null },
];

/** `2027-01-15 08:00:03.250`; all times are UTC. */
export const timeText = (time) => time.replace("T", " ").replace("Z", "");
export const clockText = (time) => time.slice(11, 23);

export const plural = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** A fingerprint in groups of eight, to be read aloud. */
export const groups = (digits) => digits.replace(/.{8}(?=.)/g, "$& ");

export const short = (id, head = 12) => (id.length > head + 6 ? `${id.slice(0, head)}…${id.slice(-4)}` : id);

/** What was asked for: words, and a name if there is one. */
export function selectionText(selection) {
  if (selection.kind === "session") return ["session ", selection.session_id];
  if (selection.kind === "agent") return ["agent ", selection.agent];
  if (selection.kind === "window") return [`${timeText(selection.since ?? "?")} to ${timeText(selection.until ?? "?")}`];
  return ["the whole ledger"];
}

export const factsText = (facts) =>
  Object.entries(facts)
    .map(([name, number]) => `${number.toLocaleString("en")} ${name.replaceAll("_", " ")}`)
    .join(", ");

export const placeText = (index, seq) => {
  if (index === null) return "the pack as a whole";
  return seq === null || seq === index ? `receipt ${index}` : `receipt ${index} (seq ${seq})`;
};

const resourceOf = (payload) => (typeof payload?.action?.resource === "string" ? payload.action.resource : "");
const textIn = (value) => (typeof value === "string" ? value : "");

const TITLES = {
  "tenant.created": ({ body }) => `Tenant ${body.name} founded`,
  "key.registered": ({ body }) => `Key of ${body.subject} registered`,
  "key.revoked": ({ body }) => `Key ${short(body.key_id)} revoked`,
  "catalogue.published": ({ body }) => `Catalogue ${body.version}: ${plural(body.capabilities.size, "capability", "capabilities")}`,
  "manifest.registered": ({ header }) => `${header.agent} registered`,
  "version.activated": ({ header }) => `${header.agent} activated`,
  "agent.docked": ({ body }) => `${body.agent} docked: ${plural(body.scope.length, "capability", "capabilities")}`,
  revoked: ({ body }) => (body.target === undefined ? "Lease taken back" : `Revoked: ${body.kind} ${short(body.target)}`),
  "lease.issued": ({ header, body }) => `Lease for ${header.agent} until ${clockText(body.expires_at)}`,
  "lease.renewed": ({ body }) => `Lease renewed until ${clockText(body.expires_at)}`,
  "lease.delegated": ({ body }) => `Delegated to ${body.agent}`,
  "lease.released": () => "Lease given back",
  "session.opened": ({ payload }) => textIn(payload?.goal) || "A session with a withheld goal",
  "action.authorized": ({ header }) => `${header.action} authorized`,
  work: ({ header, payload }) => {
    const what = header.action ?? "An authorized action, never ended";
    const resource = resourceOf(payload);
    return resource ? `${what} on ${resource}` : what;
  },
  "session.closed": ({ header }) => `Session ${header.outcome ?? "closed"}`,
  denied: ({ header, body }) => `${header.action ?? "An action"} denied ${body.count > 1 ? `${body.count} times` : ""}`,
  "state.changed": ({ body }) => `${body.before} → ${body.after}`,
  intervention: ({ body }) => `A person’s hand: ${body.action}`,
  "policy.published": ({ body }) => `Liveness policy ${body.version} for ${body.agent === "*" ? "every agent" : body.agent}`,
  "dispatch.ordered": ({ body }) => `${body.agent} dispatched`,
  redispatched: ({ body }) => `Start of ${body.agent} ordered, epoch ${body.epoch}`,
  "dispatch.ended": ({ body }) => `Dispatch of ${body.agent} ${body.outcome}`,
  notified: ({ body }) => `Notice of ${body.topic} to ${body.channel} ${body.outcome}`,
  erased: ({ body }) => `${plural(body.receipts.length, "payload")} erased`,
};

/** One line that says what a receipt is; of a broken one, that it is broken. */
export function titleOf(view) {
  if (view.header === null) return "Not a readable receipt";
  return view.body === null ? view.header.kind : (TITLES[view.header.kind]?.(view) ?? view.header.kind);
}

/** The second line of a receipt in the list. */
export function subtitleOf({ header, body, selected }) {
  if (header === null) return "its line is damaged";
  const evidence = header.evidence?.length ? plural(header.evidence.length, "evidence digest") : "";
  const parts = [header.agent, evidence, header.late ? "late" : "", textIn(body?.reason), selected ? "" : "context"];
  return parts.filter(Boolean).join(" · ");
}
