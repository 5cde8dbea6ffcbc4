// One receipt in full: what happened, who signed, by which authority, and the bytes that are hashed.

import { textOf } from "./bytes.js";
import { code, el, factList, show, sign } from "./dom.js";
import { holds } from "./envelope.js";
import { flipBoard, partsOf } from "./flip.js";
import { canVerify, sha256Hex } from "./keys.js";
import { payloadHash } from "./redaction.js";
import { readDocument } from "./documents.js";
import { plural, short, timeText, titleOf } from "./words.js";

/** Fill `panel` with a receipt. `page` offers `story`, `run`, `edits`, `go(index)` and `flip(part, place)`. */
export async function showDetail(panel, index, page) {
  const { story, run } = page;
  const view = story.view(index);
  const parts = [titleBar(view, story), faultList(index, run.report)];
  if (view.header) {
    parts.push(whatHappened(view, page), section("Who signed", await signers(view, run)));
    parts.push(section("By which authority", authority(view, page)), payloadSection(view, await payloadState(view, page)));
    parts.push(factsSection(view));
  }
  if (view.record) parts.push(await canonical(view, page));
  parts.push(folded("Flip a byte", "flip-box", () => flipBoard(partsOf(view, story.pack, run), page.edits, page.flip)));
  if (page.selected !== index) return; // the reader has moved on
  const open = new Set([...panel.querySelectorAll("details[open]")].map(({ id }) => id));
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : "";
  show(panel, parts);
  panel.dataset.index = index;
  for (const details of panel.querySelectorAll("details")) if (open.has(details.id)) unfold(details);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function unfold(details) {
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
}

function titleBar(view, story) {
  const { header, index } = view;
  const seq = header && header.seq !== index ? `, seq ${header.seq}` : "";
  const step = (by, label, text) => {
    const next = story.byIndex[index + by];
    return el("button", { class: "button quiet", type: "button", "aria-label": label, disabled: !next, data: { go: index + by } }, text);
  };
  return el("header", {},
    el("p", { class: "over" }, el("span", {}, `Receipt ${index}${seq}`), header ? code(header.kind) : null,
      view.selected ? null : el("span", { class: "chip" }, "context")),
    el("h2", {}, titleOf(view)),
    el("p", { class: "hint" }, header ? `${timeText(header.issued_at)} UTC` : "Its line can’t be read as a receipt."),
    el("div", { class: "steps" }, step(-1, "Previous receipt", "←"), step(1, "Next receipt", "→")),
  ); // prettier-ignore
}

function faultList(index, report) {
  const here = Object.entries(report.verdicts).filter(([, { fault: found }]) => found?.index === index);
  if (!here.length) return null;
  return el("ul", { class: "faults" }, here.map(([question, { fault: found }]) =>
    el("li", {}, sign("fail"), el("span", {}, el("b", {}, question), " fails here first: ", code(found.code), ` ${found.detail}`)))); // prettier-ignore
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), children);
}

function folded(title, id, make) {
  const details = el("details", { id, class: "fold" }, el("summary", {}, title));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(make());
  });
  return details;
}

// --- goal → action → evidence → outcome ----------------------------------------------------------

function whatHappened(view, { story }) {
  const { header, body, payload } = view;
  if (header.session_id === undefined) return null;
  const goal = story.goalOf(header);
  const steps = [
    ["Goal", goal ? [goal.text ?? "withheld", goal.index === view.index ? null : goButton(goal.index)] : ["not in this pack"]],
    ["Action", header.action ? [code(header.action), resourceText(payload)] : null],
    ["Evidence", header.evidence?.length ? evidenceList(header.evidence, payload) : null],
    ["Outcome", header.outcome ? [el("span", { class: `chip ${header.outcome}` }, header.outcome), ` ${outcomeText(body, payload)}`] : null],
  ];
  const items = steps.filter(([, content]) => content).map(([name, content]) =>
    el("li", {}, el("h4", {}, name), el("div", {}, content))); // prettier-ignore
  return el("ol", { class: "cycle" }, items);
}

const goButton = (index) => [" ", el("button", { class: "link", type: "button", data: { go: index } }, `receipt ${index}`)];

function resourceText(payload) {
  const resource = payload?.action?.resource;
  return typeof resource === "string" ? ` on ${resource}` : "";
}

function outcomeText(body, payload) {
  const result = payload?.outcome?.result;
  return body?.reason ?? body?.why ?? (typeof result === "string" ? result : "");
}

function evidenceList(digests, payload) {
  const named = Array.isArray(payload?.evidence) ? payload.evidence : [];
  return el("ul", { class: "digests" }, digests.map((digest) => {
    const found = named.find((one) => one?.sha256 === digest);
    const name = found ? `${found.name}${Number.isInteger(found.bytes) ? `, ${plural(found.bytes, "byte")}` : ""} ` : "";
    return el("li", { data: { digest } }, name, code(digest));
  })); // prettier-ignore
}

// --- signatures ----------------------------------------------------------------------------------

async function signers(view, run) {
  const items = [];
  for (const [what, envelope] of [["The header", view.record.header], ["The statement", view.record.statement]]) {
    if (!envelope.signatures.length) items.push(signerItem(what, "nobody", "missing"));
    for (const signature of envelope.signatures) {
      const who = keyHolder(signature.keyid, view, run);
      items.push(signerItem(what, who.name, await signatureState(envelope, signature, who.key), signature.keyid));
    }
  }
  return el("ul", { class: "signers" }, items);
}

async function signatureState(envelope, signature, key) {
  if (!key) return "unknown";
  if (!canVerify()) return "unchecked";
  return (await holds(envelope, signature, key)) ? "good" : "bad";
}

const SIGNATURE_TEXT = {
  good: ["pass", "the signature holds"],
  bad: ["fail", "the signature does not hold"],
  missing: ["fail", "there is no signature"],
  unknown: ["not_checked", "by a key that nobody vouches for"],
  unchecked: ["not_checked", "this browser can’t check the signature"],
};

function signerItem(what, name, state, keyId = "") {
  const [status, said] = SIGNATURE_TEXT[state];
  return el("li", {}, sign(status), el("span", {}, `${what}: ${name} `, code(short(keyId)), " ", el("small", {}, said)));
}

function keyHolder(keyId, view, run) {
  const { trust, mandate } = run.governance;
  if (keyId === trust.rootId) return { name: "the tenant’s root key", key: trust.root };
  const entry = trust.keys.get(keyId);
  if (entry) return { name: `${entry.role === "operator" ? "" : `the ${entry.role} key, `}${entry.subject}`, key: entry.key };
  const body = view.body;
  const lease = mandate.leases.get(body?.parent_lease_id) ?? mandate.leases.get(body?.lease_id);
  if (lease?.keyId === keyId) return { name: `the instance, ${lease.name}`, key: lease.key };
  return { name: "an unknown key", key: null };
}

// --- lease → dock → operator ---------------------------------------------------------------------

function authority(view, { run }) {
  const { mandate, trust } = run.governance;
  const lease = mandate.leases.get(view.header.lease_ref);
  if (!lease) {
    const none = view.header.lease_ref === undefined;
    return el("p", { class: "hint" }, none ? "No lease is needed: its signer’s own key is the authority." : `Nothing in this pack establishes ${view.header.lease_ref}.`);
  }
  const { body } = lease;
  const dock = mandate.docks.get(body.dock_id)?.body;
  const operator = trust.keys.get(body.authorized_by);
  const ended = [...lease.path].filter((one) => mandate.revoked.has(one)).map((one) => `${one.split(":")[0]} revoked`);
  const end = lease.releasedAt ? `given back ${timeText(lease.releasedAt)}` : ended[0];
  const link = (title, id, facts) => el("li", {}, el("h4", {}, title), code(short(id, 16), { title: id }), factList(facts));
  return el("ol", { class: "chain" },
    link("Lease", body.lease_id, [
      ["holder", lease.name], ["instance", code(short(body.instance_id))], ["epoch", String(body.epoch)],
      ["valid", `${timeText(lease.notBefore)} to ${timeText(lease.expiresAt)}`], ["renewed", lease.renewals ? plural(lease.renewals, "time") : ""],
      ["but not", lease.gaps.map(([from, until]) => `${timeText(from)} to ${timeText(until)}`).join(", ")],
      ["ended", end], ["scope", scopeText(body.scope)], ["parent", body.parent_lease_id && code(short(body.parent_lease_id))]]),
    link("Dock", body.dock_id, [
      ["agent", dock?.agent], ["up to", dock && scopeText(dock.scope)], ["at most", dock && `${dock.ttl_seconds_max} s, ${plural(dock.instances_max, "instance")}`],
      ["ends", dock?.not_after && timeText(dock.not_after)]]),
    link("Operator", body.authorized_by, [["person", operator?.subject]]),
  ); // prettier-ignore
}

const scopeText = (scope) => el("span", { class: "scope" }, scope.map((one) => [code(one), " "]).flat());

// --- payload -------------------------------------------------------------------------------------

async function payloadState(view, { story, run }) {
  const line = run.payloads.lineOf.get(view.index);
  if (line === undefined) return "withheld";
  const payload = readDocument("Payload", story.pack.payloads.lines[line]);
  return (await payloadHash(payload)) === view.header.payload_hash ? "opens" : "altered";
}

function payloadSection({ header, payload, payloadBytes }, state) {
  if (header.payload_hash === undefined) return null;
  const said = {
    opens: [sign("pass"), "Salt and payload open the commitment in the header."],
    altered: [sign("fail"), "Salt and payload do not open the commitment in the header."],
    withheld: [sign("not_asked"), "The payload is not in the pack; the header commits to it by a salted hash."],
  }[state];
  const text = payloadBytes && (payload === null ? new TextDecoder().decode(payloadBytes) : JSON.stringify(payload, null, 2));
  return section("Payload", el("p", { class: "said" }, said),
    text ? el("pre", { id: "payload", class: "wrap", tabindex: 0 }, text) : null, el("p", { class: "digest" }, code(header.payload_hash))); // prettier-ignore
}

// --- header and bytes ----------------------------------------------------------------------------

function factsSection({ header, body }) {
  const facts = Object.entries(header).map(([name, value]) => [name, value === undefined ? undefined : valueText(value)]);
  const said = body ? Object.entries(body).map(([name, value]) => [name, value === undefined ? undefined : valueText(value)]) : [];
  return [
    folded("Every field of the header", "header-fields", () => factList(facts, { class: "facts fields" })),
    body ? folded("Every field of the statement", "statement-fields", () => factList(said, { class: "facts fields" })) : null,
  ];
}

function valueText(value) {
  if (value instanceof Uint8Array) return code(Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  if (value instanceof Map) return code(JSON.stringify(Object.fromEntries(value)));
  return code(typeof value === "object" ? JSON.stringify(value) : String(value));
}

async function canonical(view, { story }) {
  const bytes = view.record.header.payload;
  const root = await sha256Hex(bytes);
  const next = view.header && story.neighbour(view.index, 1);
  const before = view.header && story.neighbour(view.index, -1);
  const links = [chainLink("chain_root: SHA-256 of this header", root)];
  if (next !== null && next !== undefined) {
    const recorded = story.view(next).header.parent_root;
    links.push(chainLink(`parent_root, recorded in receipt ${next}`, recorded, recorded === root));
  } else {
    links.push(el("p", { class: "hint" }, "The next receipt of the ledger is not in this pack; the Merkle root holds this one in its place."));
  }
  if (before !== null && before !== undefined) {
    const previous = await sha256Hex(story.view(before).record.header.payload);
    links.push(chainLink(`parent_root of this header, chain_root of receipt ${before}`, view.header.parent_root, previous === view.header.parent_root));
  }
  if (view.header) {
    const statement = await sha256Hex(view.record.statement.payload);
    links.push(chainLink("statement_hash, SHA-256 of the statement", view.header.statement_hash, statement === view.header.statement_hash));
  }
  const box = folded("Show the canonical JSON I am hashing", "canonical-box", () =>
    el("div", {}, el("h4", {}, "Header"), el("pre", { id: "canonical-header", class: "wrap", tabindex: 0 }, readable(bytes)),
      el("h4", {}, "Statement"), el("pre", { class: "wrap", tabindex: 0 }, readable(view.record.statement.payload)))); // prettier-ignore
  return section("How it is chained", el("div", { class: "links" }, links), box);
}

function chainLink(name, digest, good) {
  const state = good === undefined ? null : good ? "pass" : "fail";
  return el("div", { class: `chain-link ${state ?? ""}` },
    state ? sign(state) : el("span", { class: "sign" }), el("div", {}, el("span", { class: "hint" }, name), code(digest))); // prettier-ignore
}

function readable(bytes) {
  try {
    return textOf(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}
