"""What a reader does with the page: pins, walks, flips a byte and undoes it, brings files of their own."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from dragons.audit import page as page_module
from tests.functional.page.conftest import PageOf
from tests.support import packs, story, work
from tests.support.browser import Reader

pytestmark = pytest.mark.browser

STORY = story.full()
FULL = packs.export(STORY.book)
PACK = packs.to_bytes(FULL)
PIN = STORY.book.pin
FIRST_WORK = 11
FILE = b"a statement of the bank\n"
HOSTILE = "</script><script>window.hit=1</script><img src=x onerror='window.hit=1'>"
TURNED = "pay \u202eelpoep\u2066 now"


@pytest.fixture
def opened(reader: Reader, page_of: PageOf) -> Reader:
    """The page of a sound pack, with its root pinned."""
    return reader.open(page_of(PACK)).pin(PIN)


def places(report: dict[str, Any]) -> dict[str, int | None]:
    """Of each question that fails, the index of the first receipt to blame."""
    return {
        name: one["first_offending"]["index"]
        for name, one in report["verdicts"].items()
        if one["status"] == "fail"
    }


# --- the pin -------------------------------------------------------------------------------------


def test_without_a_pin_nothing_is_valid(reader: Reader, page_of: PageOf) -> None:
    reader.open(page_of(PACK))
    report = reader.report()
    assert (report["valid"], report["pinned_root"]) == (False, "")
    assert reader.shown()["signer"] == reader.shown()["authority"] == ("not checked", "no_pinned_root")
    assert reader.text("#headline") == "No root pinned"
    assert reader.text("#candidate-root").replace(" ", "") == PIN
    assert reader.pin(f" sha256:{PIN.upper()} ").report()["valid"] is True
    assert "the one that you pinned" in reader.text("#candidate")


def test_another_root_is_not_this_packs(opened: Reader) -> None:
    opened.pin("ab" * 32)
    assert opened.shown()["signer"] == ("fails", "ledger_key_untrusted")
    assert "not the one that you pinned" in opened.text("#candidate")


def test_half_a_fingerprint_pins_nothing(opened: Reader) -> None:
    opened.pin(PIN[:-1])
    assert opened.report()["valid"] is False
    assert "so nothing is pinned" in opened.text("#pin-hint")
    assert opened.page.get_attribute("#pin", "aria-invalid") == "true"


# --- the walk ------------------------------------------------------------------------------------


def test_the_story_of_a_receipt(opened: Reader) -> None:
    opened.go(FIRST_WORK)
    told = [step.text_content() or "" for step in opened.page.locator("#detail .cycle > li").all()]
    assert [step.split("reconcile payments")[0][:4] for step in told] == ["Goal", "Acti", "Evid", "Outc"]
    assert "read:payments on batch-11" in told[1]
    assert "statement.xml, 2,048 bytes" in told[2]
    assert "completed" in told[3]
    assert opened.page.locator("#detail .signers .pass").count() == 2
    assert [one.text_content() for one in opened.page.locator("#detail .chain h4").all()] == [
        "Lease",
        "Dock",
        "Operator",
    ]
    assert "operator of acme" in opened.text("#detail .chain")


def test_the_canonical_json_is_what_is_hashed(opened: Reader) -> None:
    opened.go(FIRST_WORK).unfold("#canonical-box")
    shown = opened.text("#canonical-header").encode()
    assert shown == FULL.record(FIRST_WORK).header.payload
    assert sha256(shown).hexdigest() == FULL.header(FIRST_WORK + 1).parent_root
    assert sha256(shown).hexdigest() in opened.text("#detail .links")


def test_the_arrow_keys_walk(opened: Reader) -> None:
    opened.page.focus("#list")
    for key, index in (("Home", 10), ("ArrowDown", 11), ("ArrowDown", 12), ("ArrowUp", 11)):
        opened.page.press("#list", key)
        opened.page.wait_for_selector(f"#detail[data-index='{index}']")
        assert opened.page.get_attribute("#list", "aria-activedescendant") == f"row-{index}"


def test_an_invalid_pack_opens_at_its_break(reader: Reader, page_of: PageOf) -> None:
    lines = [*FULL.lines]
    lines[FIRST_WORK] = lines[FIRST_WORK].replace(b'"record"', b'"recorf"')
    reader.open(page_of(packs.to_bytes(FULL.with_lines(lines)))).pin(PIN)
    assert places(reader.report())["integrity"] == FIRST_WORK
    assert reader.page.get_attribute("#detail", "data-index") == str(FIRST_WORK)
    assert "integrity" in reader.text("#detail .faults").lower()
    assert "✕" in reader.text(f"#row-{FIRST_WORK} .chip.bad")


def test_a_long_pack_costs_no_long_document(reader: Reader, page_of: PageOf) -> None:
    told = story.short(cycles=1_500)
    reader.open(page_of(packs.to_bytes(packs.export(told.book)))).pin(told.book.pin)
    assert reader.report()["receipts"] > 1_500
    assert reader.page.locator("*").count() < 1_000
    reader.page.focus("#list")
    reader.page.press("#list", "End")
    reader.page.wait_for_selector(f"#row-{FIRST_WORK + 1_499}")
    assert reader.page.locator("*").count() < 1_000


@pytest.mark.parametrize("width", [320, 375, 768])
def test_a_narrow_window_needs_no_sideways_scrolling(browser: Browser, page_of: PageOf, width: int) -> None:
    reader = Reader(browser, viewport={"width": width, "height": 700})
    reader.open(page_of(PACK)).pin(PIN).flip(FIRST_WORK, "header", 40)
    reader.unfold("#canonical-box").unfold("#header-fields").unfold("#statement-fields")
    assert reader.page.evaluate("document.documentElement.scrollWidth") == width
    reader.close()


# --- a flipped byte ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "place", "question"),
    [
        ("header", 40, "signer"),
        ("header", 0, "integrity"),
        ("statement", 40, "integrity"),
        ("header-signature", 63, "signer"),
        ("statement-signature", 0, "signer"),
        ("payload", 30, "redaction"),
        ("salt", 31, "redaction"),
    ],
)
def test_a_flipped_byte_breaks_at_its_place(opened: Reader, part: str, place: int, question: str) -> None:
    sound = opened.report()
    assert sound["valid"] is True
    broken = opened.flip(FIRST_WORK, part, place).report()
    assert broken["valid"] is False
    assert places(broken)[question] == FIRST_WORK
    assert min(index for index in places(broken).values() if index is not None) == FIRST_WORK
    notice = opened.text("#edited")
    assert f"byte {place} of the " in notice
    assert f"receipt {FIRST_WORK}" in notice
    assert opened.page.locator("#detail .flipped").count() == 1
    assert opened.undo().report() == sound
    assert opened.page.is_hidden("#edited")


def test_any_byte_of_a_line_gives_what_the_program_gives(opened: Reader, tmp_path: Path) -> None:
    """The same byte is flipped in the page and in the file."""
    sound, line = opened.report(), FULL.lines[FIRST_WORK]
    for place in (0, 5, len(line) // 2, len(line) - 2, len(line) - 1):
        broken = opened.flip(FIRST_WORK, "line", place).report()
        lines = [*FULL.lines]
        lines[FIRST_WORK] = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        assert broken == packs.judge(FULL.with_lines(lines), PIN, tmp_path).to_json()
        assert opened.undo().report() == sound


def test_every_change_is_undone_one_by_one(opened: Reader) -> None:
    sound = opened.report()
    first = opened.flip(FIRST_WORK, "header", 40).report()
    second = opened.flip(FIRST_WORK - 1, "payload", 12).report()
    assert places(second)["redaction"] == FIRST_WORK - 1
    opened.page.click("#edited .undo button >> text='Undo'")
    assert opened.wait().report() == first
    opened.flip(FIRST_WORK + 1, "line", 20)
    assert opened.undo().report() == sound


def test_another_pin_is_asked_about_the_pack_as_it_came(opened: Reader) -> None:
    opened.flip(FIRST_WORK, "header", 40).pin("ab" * 32)
    assert opened.page.is_hidden("#edited")
    assert opened.pin(PIN).report()["valid"] is True


def test_the_keyboard_is_enough_to_flip(opened: Reader) -> None:
    opened.go(FIRST_WORK).unfold("#flip-box")
    opened.page.focus("#flip-it")
    opened.page.keyboard.press("Enter")
    opened.wait()
    assert opened.report()["valid"] is False
    assert opened.page.evaluate("document.activeElement.id") == "flip-it"
    opened.page.keyboard.press("Enter")
    assert opened.wait().report()["valid"] is True


# --- what an agent wrote -------------------------------------------------------------------------


def test_what_an_agent_wrote_is_never_markup(reader: Reader, page_of: PageOf) -> None:
    told = story.launched()
    book = told.book
    hostile = work.open_session(book, told.agent, HOSTILE)
    work.work(
        book,
        hostile,
        reason=HOSTILE,
        payload_hash=book.keep(
            {
                "goal": HOSTILE,
                "action": {"resource": HOSTILE},
                "outcome": {"result": HOSTILE},
                "evidence": [{"name": HOSTILE, "sha256": HOSTILE, "bytes": HOSTILE}],
            }
        ),
    )
    work.close_session(book, hostile)
    work.close_session(book, told.session)
    reader.open(page_of(packs.to_bytes(packs.export(book)))).pin(book.pin)
    assert reader.report()["valid"] is True
    for index in range(FIRST_WORK, FIRST_WORK + 2):
        reader.go(index).unfold("#statement-fields")
        assert HOSTILE in reader.text("#detail")
        assert HOSTILE in reader.text("#list")
    assert reader.page.locator("img").count() == 0
    assert reader.page.locator("script:not([data-entry])").count() == 1
    assert reader.page.evaluate("window.hit") is None


def test_text_that_turns_text_around_is_spelled_out(reader: Reader, page_of: PageOf) -> None:
    told = story.launched()
    work.close_session(told.book, work.open_session(told.book, told.agent, TURNED))
    reader.open(page_of(packs.to_bytes(packs.export(told.book)))).pin(told.book.pin).go(FIRST_WORK)
    assert "pay \\u202eelpoep\\u2066 now" in reader.text("#detail h2")
    assert not set(reader.text("main")) & {"\u202e", "\u2066"}


# --- files ---------------------------------------------------------------------------------------


def drop(reader: Reader, target: str, name: str, data: bytes) -> None:
    reader.page.evaluate(
        """([target, name, data]) => {
          const files = new DataTransfer();
          files.items.add(new File([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], name));
          const properties = { dataTransfer: files, bubbles: true, cancelable: true };
          document.querySelector(target).dispatchEvent(new DragEvent("drop", properties));
        }""",
        [target, name, b64encode(data).decode()],
    )


def test_a_pack_too_large_for_its_page_is_dropped_on_it(
    reader: Reader, page_of: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "EMBEDDED_BYTES_MAX", 10_000)
    reader.open(page_of(PACK))
    assert reader.page.is_visible("#welcome")
    drop(reader, "main", "evidence.zip", PACK)
    assert reader.wait().pin(PIN).report()["valid"] is True
    assert "evidence.zip" in reader.text("#facts")


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "pack_damaged"), (b"no archive", "pack_damaged"), (PACK[:-30], "pack_damaged")]
)
def test_a_file_that_is_no_pack_is_refused(opened: Reader, data: bytes, code: str) -> None:
    opened.choose(data)
    assert json.loads(opened.text("#report-json")) == {"error": code}
    assert opened.text("#problem").startswith("Not verified. ")
    assert code in opened.text("#problem")
    assert opened.page.is_visible("#welcome")
    # Of the pack before it nothing is left that could be taken for a verdict.
    assert opened.page.is_hidden("#pack")
    opened.choose(PACK).pin("")
    assert opened.choose(data).choose(PACK).pin(PIN).report()["valid"] is True
    assert opened.page.is_hidden("#problem p")


def test_a_wish_that_is_malformed_is_no_verdict(opened: Reader) -> None:
    opened.pin(PIN, {"witnesses": ["nobody"]})
    assert json.loads(opened.text("#report-json")) == {"error": "checkpoint_malformed"}
    assert opened.text("#headline") == "Not verified"
    assert opened.page.locator("#questions li").count() == 0
    assert opened.pin(PIN, {"witnesses": [], "witnesses_required": 0}).report()["valid"] is True


def test_a_file_is_compared_with_the_evidence(reader: Reader, page_of: PageOf) -> None:
    told = story.launched()
    digest = sha256(FILE).hexdigest()
    work.work(told.book, told.session, evidence=[digest])
    work.close_session(told.book, told.session)
    reader.open(page_of(packs.to_bytes(packs.export(told.book)))).pin(told.book.pin)
    for data, found in ((FILE, f"evidence of receipt {FIRST_WORK}"), (FILE + b"\n", "No receipt")):
        drop(reader, "#evidence-drop", "statement.txt", data)
        reader.page.wait_for_selector(f"#evidence-result code >> text={sha256(data).hexdigest()}")
        assert found in reader.text("#evidence-result")


# --- the browser ---------------------------------------------------------------------------------


def test_a_browser_without_ed25519_says_so(reader: Reader, page_of: PageOf) -> None:
    reader.page.add_init_script(
        """const { importKey } = SubtleCrypto.prototype;
        SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {
          if (algorithm === "Ed25519") return Promise.reject(new DOMException("no", "NotSupportedError"));
          return importKey.call(this, format, key, algorithm, ...rest);
        };"""
    )
    reader.open(page_of(PACK)).pin(PIN)
    shown = reader.shown()
    assert reader.report()["valid"] is False
    assert reader.text("#headline") == "Not fully checked"
    assert shown["signer"] == shown["authority"] == ("not checked", "ed25519_unavailable")
    assert shown["integrity"] == ("holds", "")
    assert "Hashes are checked; who signed is not" in reader.text("#no-ed25519")
    assert reader.page.locator("#detail .signers .pass").count() == 0
    broken = reader.flip(FIRST_WORK, "statement", 40).report()
    assert places(broken)["integrity"] == FIRST_WORK


def test_a_browser_without_webcrypto_verifies_nothing(reader: Reader, page_of: PageOf) -> None:
    reader.page.add_init_script("Object.defineProperty(globalThis, 'crypto', { value: {} })")
    reader.open(page_of(PACK))
    assert reader.report() == {"error": "webcrypto_missing"}
    assert reader.text("#problem").startswith("Not verified. ")
    assert reader.page.is_hidden("#pack")
    assert reader.page.is_hidden("#welcome")


def test_the_guards_see_a_request_and_a_word(browser: Browser, page_of: PageOf) -> None:
    """What the other tests rely on: a request is seen, and the page's policy forbids it."""
    free, bound = Reader(browser), Reader(browser)
    free.page.goto("about:blank")
    bound.open(page_of(PACK))
    for one in (free, bound):
        one.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => console.log('refused'))")
    assert free.requests == ["http://127.0.0.1:9/"]
    assert [url for url in bound.requests if not url.startswith("file:")] == []
    assert "Content Security Policy" in " ".join(bound.said)
    assert "refused" in free.said
    assert "refused" in bound.said
    for one in (free, bound):
        one.close()
