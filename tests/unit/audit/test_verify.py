"""One pass over a pack: what comes out, without network, with a pool as without, however it is cut."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from dragons.audit import signatures
from dragons.audit.verdicts import Question, Status
from dragons.audit.verify import verify_file
from tests.support import packs, story
from tests.support.packs import Parts

STORY = story.full(cycles=3)
BOOK = STORY.book


@pytest.fixture
def parts() -> Parts:
    return packs.export(BOOK)


def test_a_valid_pack_passes_all_that_was_asked(parts: Parts, tmp_path: Path) -> None:
    report = packs.judge(parts, BOOK.pin, tmp_path)
    assert report.valid
    statuses = {question: verdict.status for question, verdict in report.verdicts.items()}
    assert statuses.pop(Question.WITNESSES) is Status.NOT_ASKED
    assert set(statuses.values()) == {Status.PASS}
    assert report.receipts == report.selected == report.tree_size == len(BOOK.placed)
    assert report.tenant_id == BOOK.tenant_id
    assert report.selection == {"kind": "ledger"}


def test_verification_opens_no_connection(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert packs.judge(parts, BOOK.pin, tmp_path).valid


def test_a_pool_finds_what_one_process_finds(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "BATCH", 8)
    monkeypatch.setattr(signatures, "POOL_FROM", 8)
    spoiled = list(parts.lines)
    for at in (12, 30):
        record = parts.record(at)
        record.header.signatures[0].sig = bytes(64)
        spoiled[at] = parts.with_record(at, record).lines[at]
    path = packs.write(parts.with_lines(spoiled), tmp_path / "pack.zip")
    alone, pooled = (verify_file(path, BOOK.pin, workers=n).to_json() for n in (1, 2))
    assert alone == pooled
    assert alone["verdicts"]["signer"]["first_offending"] == {"index": 12, "seq": 12}


def test_progress_is_heard_to_the_end(parts: Parts, tmp_path: Path) -> None:
    heard: list[int] = []
    packs.judge(parts, BOOK.pin, tmp_path, progress=heard.append)
    assert heard[-1] == len(BOOK.placed)


def test_a_pack_of_an_earlier_time_is_valid_as_well(tmp_path: Path) -> None:
    book = story.short(cycles=4).book
    for size in range(1, len(book.placed) + 1):
        assert packs.judge(packs.export(book, size=size), book.pin, tmp_path).valid


def test_a_truncated_stream_is_a_fault_and_no_exception(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    data = packs.to_bytes(parts)
    at = data.index(parts.lines[20]) + 10
    path.write_bytes(data[:at] + b"X" + data[at + 1 :])
    report = verify_file(path, BOOK.pin, workers=1)
    fault = report.verdicts[Question.INTEGRITY].fault
    assert fault is not None
    assert fault.index == 20
    assert not report.valid


def test_every_selection_of_the_story_is_valid(tmp_path: Path) -> None:
    sessions = sorted({str(h.session_id) for h in BOOK.headers if isinstance(h.session_id, str)})
    selections = [*map(packs.session_of, sessions), *map(packs.agent_of, ("reconciler", "notifier"))]
    selections += [packs.window_of(BOOK, first, first + 5) for first in range(0, len(BOOK.placed) - 6, 3)]
    for selection in selections:
        for redacted in (False, True):
            report = packs.judge(packs.export(BOOK, selection, redacted=redacted), BOOK.pin, tmp_path)
            assert report.valid, (selection, report.to_json())
