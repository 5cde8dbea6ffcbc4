"""Any single bit of a receipt's line: whatever it hits, the receipt is named by its index."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from dragons.audit.verdicts import Question, Report
from dragons.audit.verify import verify_file
from dragons.core.errors import InvalidInputError
from tests.support import packs, story
from tests.support.packs import Parts

STRIDE = 101


def test_a_flipped_bit_is_located(judge: Callable[..., Report]) -> None:
    short = story.short(cycles=1)
    parts = packs.export(short.book)
    for index, at in enumerate(parts.receipts()):
        for place in range(index % STRIDE, len(parts.lines[at]), STRIDE):
            line = bytearray(parts.lines[at])
            line[place] ^= 1 << place % 7
            spoiled = parts.with_lines([*parts.lines[:at], bytes(line), *parts.lines[at + 1 :]])
            report = judge(spoiled, pin=short.book.pin)
            assert not report.valid
            faults = [report.verdicts[q].fault for q in (Question.INTEGRITY, Question.SIGNER)]
            assert index in [fault.index for fault in faults if fault is not None], (index, place, faults)


def test_a_flipped_bit_of_a_gap_is_refused(four: dict[str, Parts], judge: Callable[..., Report]) -> None:
    parts = four["session"]
    gaps = [at for at in range(len(parts.lines)) if at not in parts.receipts()]
    assert gaps
    for at in gaps:
        for place in range(0, len(parts.lines[at]), 7):
            line = bytearray(parts.lines[at])
            line[place] ^= 2
            spoiled = parts.with_lines([*parts.lines[:at], bytes(line), *parts.lines[at + 1 :]])
            report = judge(spoiled)
            assert report.verdicts[Question.INTEGRITY].fault is not None
            assert not report.valid


def test_a_flipped_bit_of_the_file_never_passes(four: dict[str, Parts], told, tmp_path: Path) -> None:
    """Every 997th byte of the file: an error, or a report that is not valid, unless nobody reads that byte."""
    data = packs.to_bytes(four["window"], compress=True)
    path = tmp_path / "pack.zip"
    path.write_bytes(data)
    whole = _contents(path)
    for place in range(0, len(data), 997):
        spoiled = bytearray(data)
        spoiled[place] ^= 16
        path.write_bytes(bytes(spoiled))
        try:
            report = verify_file(path, told.book.pin, workers=1)
        except InvalidInputError:
            continue
        assert not report.valid or _contents(path) == whole


def _contents(path: Path) -> dict[str, bytes] | None:
    """What a verifier reads of the file; the page and the text for people are not judged."""
    try:
        with ZipFile(BytesIO(path.read_bytes())) as archive:
            return {n: archive.read(n) for n in archive.namelist() if n.endswith((".json", ".jsonl"))}
    except Exception as error:  # noqa: BLE001 - any fault of a damaged archive
        pytest.fail(f"a damaged file passed: {error}")


@pytest.mark.parametrize(("length", "code"), [(4_000_000, "malformed"), (4_000_001, "damaged")])
def test_a_line_has_a_limit(judge: Callable[..., Report], length: int, code: str) -> None:
    """To the byte, wherever the reader's buffers end: another verifier refuses the same line."""
    short = story.short(cycles=1)
    parts = packs.export(short.book)
    report = judge(parts.with_lines([*parts.lines[:6], b"x" * length, *parts.lines[6:]]), pin=short.book.pin)
    fault = report.verdicts[Question.INTEGRITY].fault
    assert fault is not None
    assert (fault.code, fault.index) == (code, 6)
