from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dragons.audit.pack import RECEIPTS_FILE
from dragons.audit.verdicts import Question
from dragons.audit.verify import verify_file
from dragons.cli.tampering import change_one_character
from dragons.core.errors import InvalidInputError
from tests.support import packs, story
from tests.support.ledger import Book


def made(folder: Path) -> tuple[Path, Book]:
    book = story.full().book
    return packs.write(packs.export(book), folder / "evidence.zip"), book


def test_one_character_is_changed_and_the_verifier_names_the_place(tmp_path: Path) -> None:
    pack, book = made(tmp_path)
    altered = tmp_path / "altered.zip"
    tampered = change_one_character(pack, altered)
    assert verify_file(pack, book.pin, workers=1).valid
    report = verify_file(altered, book.pin, workers=1)
    assert not report.valid
    faults = [verdict.fault for verdict in report.verdicts.values() if verdict.fault is not None]
    assert min(fault.index for fault in faults if fault.index is not None) == tampered.index
    signer = report.verdicts[Question.SIGNER].fault
    assert signer is not None
    assert (signer.index, signer.seq) == (tampered.index, tampered.seq)


def test_only_one_line_differs_and_the_file_is_a_sound_zip(tmp_path: Path) -> None:
    pack, _ = made(tmp_path)
    altered = tmp_path / "altered.zip"
    change_one_character(pack, altered)
    with zipfile.ZipFile(pack) as before, zipfile.ZipFile(altered) as after:
        assert after.testzip() is None
        assert before.namelist() == after.namelist()
        pairs = zip(
            before.read(RECEIPTS_FILE).splitlines(), after.read(RECEIPTS_FILE).splitlines(), strict=True
        )
        assert sum(one != other for one, other in pairs) == 1
        assert [n for n in before.namelist() if before.read(n) != after.read(n)] == [RECEIPTS_FILE]


def test_a_pack_without_work_is_refused(tmp_path: Path) -> None:
    pack = packs.write(packs.export(story.tenant()), tmp_path / "evidence.zip")
    with pytest.raises(InvalidInputError):
        change_one_character(pack, tmp_path / "altered.zip")
