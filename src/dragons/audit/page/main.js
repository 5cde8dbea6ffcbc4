// The page: opens packs, pins the root, verifies, and keeps the parts of the page in step.

import { Refused } from "./bytes.js";
import { at, el, prose, show, sign, visible } from "./dom.js";
import { embeddedPack } from "./embedded.js";
import { compareFile } from "./evidence.js";
import { Edits, editNotice } from "./flip.js";
import { showDetail } from "./detail.js";
import { tryBrowser } from "./keys.js";
import { parseWitness } from "./note.js";
import { openZip } from "./pack.js";
import { Story } from "./story.js";
import { showBusy, showCandidate, showConclusion, showFacts, showPin, showQuestions } from "./summary.js";
import { Timeline } from "./timeline.js";
import { QUESTIONS } from "./verdicts.js";
import { candidateRoot, verifyPack, verifyUnpinned } from "./verify.js";
import { FILTERS, STATUS_TEXT, placeText, plural } from "./words.js";
import { READ_BYTES_MAX } from "./zip.js";

const page = {
  pack: null, name: "", pin: "", candidate: null, run: null, story: null, selected: null, filter: "walk",
  edits: new Edits(), running: null, opening: null, go, flip,
}; // prettier-ignore
const timeline = new Timeline(at("list"), (index) => go(index, { focus: false }));

// --- verifying -----------------------------------------------------------------------------------

/** Judge the pack again with the pin and the wishes of the form. */
async function verify() {
  page.running?.abort();
  const running = (page.running = new AbortController());
  busy(true);
  problem("");
  try {
    const asked = await wishes();
    const story = new Story(page.pack);
    showBusy(page.pin ? "" : "No root is pinned yet.");
    const watch = {
      signal: running.signal,
      receipt: (one) => story.note(one),
      progress: (done, of) => running === page.running && showBusy(`${done.toLocaleString("en")} of ${plural(of, "line")}`, done, of),
    };
    const run = page.pin ? await verifyPack(page.pack, page.pin, asked, watch) : await verifyUnpinned(page.pack, asked, watch);
    if (running !== page.running) return;
    story.run = run;
    Object.assign(page, { run, story, running: null });
    present();
  } catch (error) {
    if (running !== page.running) return;
    page.running = null;
    if (error.name !== "AbortError") failed(error);
  }
}

async function wishes() {
  const lines = at("ask-witnesses").value.split("\n").map((line) => line.trim()).filter(Boolean); // prettier-ignore
  const witnesses = [];
  for (const line of lines) witnesses.push(await parseWitness(line));
  return { payloads: at("ask-payloads").checked, witnesses, witnessesRequired: Math.max(0, Number(at("ask-number").value) || 0) };
}

function present() {
  const { report } = page.run;
  at("progress").hidden = true;
  at("pack").hidden = false;
  at("welcome").hidden = true;
  showConclusion(report, page.pin);
  showFacts(report, page.name);
  showQuestions(report);
  showCandidate(page.candidate, page.pin);
  showEdits();
  showList();
  at("report-box").hidden = false;
  at("report-json").textContent = visible(JSON.stringify(report, null, 1));
  const wanted = page.story.byIndex[page.selected] ? page.selected : firstToShow();
  if (wanted === undefined) show(at("detail"), el("p", { class: "hint" }, "There is no receipt in this pack."));
  else go(wanted, { focus: false });
  busy(false);
}

/** The first receipt to blame, else the first goal, else the first receipt. */
function firstToShow() {
  const { rows, byIndex } = page.story;
  const [blamed] = [...breaks().keys()].filter((index) => byIndex[index]).sort((one, other) => one - other);
  return blamed ?? rows.find((row) => row.index !== null && row.stage === "goal")?.index ?? byIndex[0]?.index;
}

/** Say to assistive technology, and to tests, whether what the page shows is still being made. */
const busy = (is) => at("main").setAttribute("aria-busy", String(is));

function breaks() {
  const found = new Map();
  for (const question of QUESTIONS) {
    const index = page.run.report.verdicts[question].fault?.index;
    if (index !== null && index !== undefined) found.set(index, [...(found.get(index) ?? []), question]);
  }
  return found;
}

function showList() {
  const buttons = FILTERS.map(({ name, label }) =>
    el("button", { type: "button", "aria-pressed": String(name === page.filter), data: { filter: name } }, label));
  show(at("filters"), buttons);
  const number = timeline.show(page.story, page.filter, breaks());
  at("list-note").textContent = `${plural(number, "receipt")} in the list. Use the arrow keys to walk.`;
  at("goto").max = page.story.byIndex.length - 1;
}

// --- the reader's hands --------------------------------------------------------------------------

/** Show a receipt, and move there when `focus`. */
function go(index, { focus = true } = {}) {
  if (!page.story?.byIndex[index]) return;
  page.selected = index;
  if (!timeline.has(index)) {
    page.filter = "all";
    showList();
  }
  timeline.select(index);
  showDetail(at("detail"), index, page).catch(failed);
  if (focus) at("walk").scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function flip(part, place) {
  if (page.running) return;
  page.edits.flip(page.pack, part, place, page.run.report.toJSON().verdicts);
  verify();
}

function showEdits() {
  const { edits } = page;
  const box = at("edited");
  box.hidden = !edits.number;
  if (box.hidden) return show(box);
  const now = page.run.report.toJSON().verdicts;
  const changed = QUESTIONS.filter((one) => JSON.stringify(now[one]) !== JSON.stringify(edits.before[one]));
  const changes = changed.map((question) => {
    const { status, code, first_offending: place } = now[question];
    const where = place ? placeText(place.index, place.seq) : "";
    return { question, before: STATUS_TEXT[edits.before[question].status], after: STATUS_TEXT[status], place: where, code };
  });
  const again = (change) => () => {
    change();
    at("detail").focus({ preventScroll: true });
    verify();
  };
  show(box, editNotice(edits, changes, { undo: again(() => edits.undo()), undoAll: again(() => edits.undoAll()) }));
}

/** Verify as other questions ask, from the pack as it came: a change is compared with one set of questions only. */
function verifyAnew() {
  if (!page.pack) return;
  page.edits.undoAll();
  verify();
}

document.addEventListener("click", ({ target }) => {
  const { go: index, filter } = target.closest("[data-go], [data-filter]")?.dataset ?? {};
  if (index !== undefined) go(Number(index));
  if (filter !== undefined) {
    page.filter = filter;
    showList();
    timeline.select(page.selected);
  }
});
at("goto-form").addEventListener("submit", (event) => {
  event.preventDefault();
  go(Number(at("goto").value), { focus: false });
});

// --- the pin -------------------------------------------------------------------------------------

/** The fingerprint in its one form; null when it isn't one. */
function fingerprintOf(text) {
  const digits = text.replace(/\s/g, "").toLowerCase().replace(/^sha256:/, "");
  return /^[0-9a-f]{64}$/.test(digits) ? digits : null;
}

function usePin() {
  const text = at("pin").value.trim();
  const pin = text === "" ? "" : fingerprintOf(text);
  showPin(pin);
  if ((pin ?? "") === page.pin) return false;
  page.pin = pin ?? "";
  return true;
}

at("pin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  usePin();
  verifyAnew();
});
at("pin").addEventListener("input", () => {
  if (usePin()) verifyAnew();
});

// --- files ---------------------------------------------------------------------------------------

/** Read another file. What was shown goes first, so that nothing of it can stand for the new one. */
async function openFile(file) {
  const opening = forget();
  busy(true);
  if (file.size > READ_BYTES_MAX) {
    throw new Refused("pack_too_large", `${file.name} is too large for a browser; use \`dragons verify\`.`);
  }
  const pack = await openZip(new Uint8Array(await file.arrayBuffer()));
  if (opening === page.opening) await openPack(pack, file.name);
}

function forget() {
  page.running?.abort();
  Object.assign(page, { pack: null, candidate: null, run: null, story: null, running: null, opening: Symbol("opening") });
  at("pack").hidden = true;
  problem("");
  return page.opening;
}

async function openPack(pack, name) {
  Object.assign(page, { pack, name, selected: null, filter: "walk", edits: new Edits() });
  page.candidate = await candidateRoot(pack);
  show(at("evidence-result"));
  at("pack").hidden = false;
  at("welcome").hidden = true;
  await verify();
}

function problem(text) {
  show(at("problem"), text ? el("p", { class: "notice bad" }, prose(text)) : null);
}

/** Say why there is no verdict. Without a pack there is only another one to choose. */
function failed(error) {
  busy(false);
  at("pack").hidden = page.pack === null;
  at("welcome").hidden = page.pack !== null || error.code === "webcrypto_missing";
  at("progress").hidden = true;
  at("seal").className = "seal fail";
  show(at("seal"), sign("fail"));
  at("headline").textContent = "Not verified";
  at("because").textContent = "";
  show(at("questions"));
  at("report-json").textContent = JSON.stringify({ error: error.code ?? "page_failed" });
  const why = error instanceof Refused ? `${error.message} (${error.code})` : `This page failed, which says nothing about the pack: ${error.message}`;
  problem(`Not verified. ${why}`);
}

function opened(file) {
  const done = openFile(file);
  const { opening } = page;
  return done.catch((error) => opening === page.opening && failed(error));
}
const compared = (file) => page.story && compareFile(at("evidence-result"), file, page.story).catch(failed);

function onChoice(id, use) {
  at(id).addEventListener("change", ({ target }) => {
    if (target.files.length) use(target.files[0]);
    target.value = "";
  });
}
onChoice("open-file", opened);
onChoice("evidence-file", compared);

addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) (at("evidence-drop").contains(event.target) ? compared : opened)(file);
});

// --- the beginning -------------------------------------------------------------------------------

async function begin() {
  showPin("");
  const able = await tryBrowser();
  if (!able.sha256) throw new Refused("webcrypto_missing", "This browser gives this page no WebCrypto, so nothing can be verified here. Use `dragons verify`");
  if (!able.ed25519) {
    at("pin-form").prepend(el("p", { class: "notice", id: "no-ed25519" }, "This browser can’t check Ed25519 signatures. Hashes are checked; who signed is not."));
  }
  const pack = await embeddedPack();
  if (pack === null) welcome();
  else await openPack(pack, "the pack in this page");
}

function welcome() {
  if (page.pack !== null) return; // a reader was quicker
  at("welcome").hidden = false;
  busy(false);
}

begin().catch(failed);
