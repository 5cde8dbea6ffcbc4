"""The page judges as `dragons verify` does: the same verdicts, places and reason codes for every pack."""

from __future__ import annotations

import json
import random
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from dragons.audit.page import page_with
from dragons.audit.verify import verify_file
from dragons.core.errors import DragonsError
from dragons.evidence.checkpoint import parse_witness
from tests.conftest import ROOT
from tests.functional.page.conftest import PageOf, entries_of
from tests.support import packs, story
from tests.support.browser import Reader

pytestmark = pytest.mark.browser

PACKS = ROOT / "spec" / "vectors" / "packs"
INDEX: list[dict[str, Any]] = json.loads((PACKS / "index.json").read_text())["packs"]
BY_FILE = {entry["file"]: entry for entry in INDEX}
STATUS = {"pass": "holds", "fail": "fails", "not_asked": "not asked"}
CHOSEN = [
    "valid-ledger.zip",
    "valid-window.zip",
    "invalid-root_mismatch.zip",
    "invalid-payload_altered.zip",
    "invalid-pack_empty.zip",
]
DAMAGES = 30


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Iterator[Reader]:
    """One reader for many packs: a window for each would take longer than judging does."""
    one = Reader(browser)
    yield one
    said = one.said
    one.close()
    assert said == []


def by_program(file: Path, root: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `dragons verify -o json` says of a file: a report, or the code of an error."""
    asked = dict(options or {})
    if "witnesses" in asked:
        asked["witnesses"] = [parse_witness(one) for one in asked["witnesses"]]
    try:
        return verify_file(file, root, workers=1, **asked).to_json()
    except DragonsError as error:
        return {"error": error.code}


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["file"])
def test_a_pack_in_its_page(shared: Reader, page_of: PageOf, entry: dict[str, Any]) -> None:
    page = page_of((PACKS / entry["file"]).read_bytes())
    report = shared.open(page).pin(entry["root"], entry["options"]).report()
    assert report == by_program(PACKS / entry["file"], entry["root"], entry["options"])
    seen = {name: (STATUS[one["status"]], one.get("code", "")) for name, one in report["verdicts"].items()}
    assert shared.shown() == seen
    assert shared.text("#headline") == ("Valid" if report["valid"] else "Not valid")
    assert shared.requests == [page.as_uri()]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_pack_by_the_file_picker(shared: Reader, empty_page: Path, name: str) -> None:
    shared.open(empty_page)
    assert shared.page.is_visible("#welcome")
    entry = BY_FILE[name]
    shared.choose((PACKS / name).read_bytes(), name).pin(entry["root"], entry["options"])
    assert shared.report() == by_program(PACKS / name, entry["root"], entry["options"])
    assert not shared.page.is_visible("#welcome")
    assert name in shared.text("#facts")


def test_a_damaged_file_gives_what_the_program_gives(
    shared: Reader, empty_page: Path, tmp_path: Path
) -> None:
    """One byte of the file changed, anywhere: in an entry, a checksum, the directory."""
    told = story.short(cycles=120)
    whole = packs.to_bytes(packs.export(told.book), compress=True)
    places = random.Random(7)
    shared.open(empty_page).choose(whole).pin(told.book.pin)
    assert shared.report()["valid"] is True
    seen = set()
    for number in range(DAMAGES):
        # Every third in the directory at the end, which is small.
        at = places.randrange(len(whole)) if number % 3 else len(whole) - 1 - places.randrange(300)
        damaged = whole[:at] + bytes([whole[at] ^ (1 << places.randrange(8))]) + whole[at + 1 :]
        (tmp_path / "pack.zip").write_bytes(damaged)
        found = comparable(shared.choose(damaged).report())
        assert found == comparable(by_program(tmp_path / "pack.zip", told.book.pin)), f"byte {at}"
        seen.add(json.dumps(found, sort_keys=True))
    # Not all are an error at once: some are read up to the damage, some are no damage.
    assert len(seen) > 3


def raw(data: bytes, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, wbits=-zlib.MAX_WBITS, strategy=strategy)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("level", "strategy"),
    [
        (0, zlib.Z_DEFAULT_STRATEGY),
        (9, zlib.Z_DEFAULT_STRATEGY),
        (6, zlib.Z_FIXED),
        (6, zlib.Z_HUFFMAN_ONLY),
        (6, zlib.Z_RLE),
    ],
)
def test_however_it_is_deflated(
    shared: Reader, empty_page: Path, tmp_path: Path, level: int, strategy: int
) -> None:
    """Blocks that are stored, of fixed codes and of codes of their own."""
    entry = BY_FILE["valid-ledger.zip"]
    elements = "".join(
        f'<script type="text/plain" data-entry="{name}" data-bytes="{len(data)}">'
        f"{b64encode(raw(data, level, strategy)).decode()}</script>"
        for name, data in entries_of((PACKS / entry["file"]).read_bytes()).items()
    )
    (tmp_path / "verify.html").write_bytes(page_with(elements))
    assert shared.open(tmp_path / "verify.html").pin(entry["root"]).report() == entry["report"]


def test_altered_lines_give_what_the_program_gives(shared: Reader, empty_page: Path, tmp_path: Path) -> None:
    """A byte of an entry changed and the archive made well again: places and codes agree too."""
    entry = BY_FILE["valid-ledger.zip"]
    entries = entries_of((PACKS / entry["file"]).read_bytes())
    names = ["receipts.jsonl", "receipts.jsonl", "payloads.jsonl", "pack.json"]
    cases = random.Random(11)
    shared.open(empty_page).choose(zipped(entries)).pin(entry["root"])
    for _ in range(DAMAGES):
        name = cases.choice(names)
        data = bytearray(entries[name])
        at = cases.randrange(len(data))
        data[at] ^= 1 << cases.randrange(7)
        altered = zipped(entries | {name: bytes(data)})
        (tmp_path / "pack.zip").write_bytes(altered)
        expected = by_program(tmp_path / "pack.zip", entry["root"])
        assert comparable(shared.choose(altered).report()) == comparable(expected), f"{name}, byte {at}"


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("=\n\n", "9\n\n"),
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.replace("\n\n", "\nmore\n\n"),
        lambda note: note + note.splitlines()[-1] + "\n",
        lambda note: note.replace("dragons/tnt_", "dragons/tnt_0", 1),
        lambda note: note.replace("\n", "\n0", 1),
    ],
)
def test_an_altered_checkpoint_gives_what_the_program_gives(
    shared: Reader, empty_page: Path, tmp_path: Path, change: Callable[[str], str]
) -> None:
    told = story.short(cycles=1)
    parts = packs.export(told.book)
    altered = packs.write(parts.with_head(end=change(parts.head.end)), tmp_path / "pack.zip")
    found = shared.open(empty_page).choose(altered.read_bytes()).pin(told.book.pin).report()
    assert comparable(found) == comparable(by_program(altered, told.book.pin))


def zipped(entries: dict[str, bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """A report without its details, which are for people and differ where JSON parsers do."""
    if "error" in report:
        return report
    verdicts = {
        name: {key: value for key, value in one.items() if key != "detail"}
        for name, one in report["verdicts"].items()
    }
    return {**report, "verdicts": verdicts}
