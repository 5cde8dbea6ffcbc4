// The top of the page: the conclusion, the facts of the pack, the seven questions, the pinned root.

import { at, code, el, factList, prose, show, sign } from "./dom.js";
import { QUESTIONS } from "./verdicts.js";
import { QUESTION_TEXT, STATUS_TEXT, factsText, groups, placeText, plural, selectionText, timeText } from "./words.js";

/** The conclusion of a report, as `[state, headline, because]`. */
export function conclusionOf(report, pinned) {
  const failing = QUESTIONS.filter((question) => report.verdicts[question].status === "fail");
  const shown = plural(report.receipts, "receipt");
  if (report.valid) return ["pass", "Valid", `Everything asked for holds for ${shown}, from the root that you pinned.`];
  if (!pinned && !failing.length) {
    return ["not_checked", "No root pinned", `${shown} fit together, but nobody you trust vouches for them yet. Pin the root fingerprint below.`];
  }
  if (!failing.length) return ["not_checked", "Not fully checked", "This browser can’t check Ed25519 signatures, so nothing is said about who signed. Use a newer browser or `dragons verify`."];
  const indices = failing.map((question) => report.verdicts[question].fault.index).filter((index) => index !== null);
  const first = indices.length ? ` The first receipt to blame is ${Math.min(...indices)}.` : "";
  return ["fail", "Not valid", `${capital(listed(failing))} ${failing.length === 1 ? "fails" : "fail"}.${first}`];
}

const listed = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0]);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export function showConclusion(report, pinned) {
  const [state, headline, because] = conclusionOf(report, pinned);
  at("seal").className = `seal ${state}`;
  show(at("seal"), sign(state));
  at("headline").textContent = headline;
  show(at("because"), prose(because));
  document.title = `${headline} · Evidence pack`;
}

export function showBusy(text, done = 0, of = 1) {
  at("seal").className = "seal busy";
  if (!at("seal").querySelector(".busy")) show(at("seal"), sign("busy"));
  at("headline").textContent = "Verifying…";
  at("because").textContent = text;
  Object.assign(at("progress"), { hidden: false, max: of, value: done });
}

export function showFacts(report, name) {
  const shown = `${report.receipts.toLocaleString("en")} shown, ${report.selected.toLocaleString("en")} selected`;
  const list = factList([
    ["File", name],
    ["Tenant", code(report.tenantId)],
    ["Selection", selectionText(report.selection).map((one, at) => (at ? code(one) : one))],
    ["Receipts", `${shown}, of ${report.treeSize.toLocaleString("en")} in the log`],
    ["Merkle root", code(report.root)],
    ["Exported", `${timeText(report.exportedAt)} UTC`],
  ]);
  show(at("facts"), ...list.children);
}

export function showQuestions(report) {
  show(at("questions"), QUESTIONS.map((question) => questionRow(question, report.verdicts[question], report.receipts)));
}

function questionRow(question, { status, fault: found, facts }, receipts) {
  // A fault may lie behind the last receipt: there is nothing to go to then.
  const leads = found && found.index !== null && found.index < receipts;
  const place = status === "fail" && (leads
    ? el("button", { class: "link place", type: "button", data: { go: found.index } }, placeText(found.index, found.seq))
    : el("span", { class: "place" }, found.index === receipts ? "after the last receipt" : placeText(found.index, found.seq)));
  return el("li", { class: status, data: { question } },
    sign(status),
    el("div", { class: "asked-what" }, el("b", {}, capital(question)), el("span", {}, QUESTION_TEXT[question])),
    el("span", { class: `chip status ${status}` }, STATUS_TEXT[status]),
    el("div", { class: "finding" }, found ? [place || "", " ", code(found.code), el("span", {}, found.detail)] : null,
      el("span", { class: "hint" }, factsText(facts)))); // prettier-ignore
}

/** What to say of the pinned root; `pin` is null when what was typed is no fingerprint. */
export function showPin(pin) {
  at("pin").setAttribute("aria-invalid", String(pin === null));
  const said = pin
    ? "Everything on this page is judged from this fingerprint."
    : "Get it from the tenant’s owner by another way than this file: they run `dragons keys fingerprint`.";
  show(at("pin-hint"), prose(pin === null ? "A root fingerprint is 64 hexadecimal digits; this is none, so nothing is pinned." : said));
}

/** What the pack itself says its root is. */
export function showCandidate(candidate, pin) {
  if (candidate === null) {
    show(at("candidate"), el("p", {}, "The pack names no root key."));
    return;
  }
  const state = !pin ? "" : pin === candidate ? "same" : "other";
  const said = {
    "": "Anyone can make a pack, so this proves nothing. Compare it, digit by digit, with what the tenant’s owner told you.",
    same: "It is the one that you pinned.",
    other: "It is not the one that you pinned.",
  }[state];
  at("candidate").className = `candidate ${state}`;
  show(at("candidate"), el("h3", {}, "The pack says that its root is"), code(groups(candidate), { id: "candidate-root" }), el("p", {}, said));
}
