from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from dragons.core.errors import NotFoundError
from dragons.node import watching
from dragons.node.watching import Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    (made / "old").write_text("before")
    return made


def total(files: Files) -> int:
    return files.look().total


def test_what_was_there_is_no_progress_and_what_is_new_is(folder: Path) -> None:
    files = Files([folder])
    assert total(files) == 0
    (folder / "new").write_text("one")
    (folder / "below").mkdir()
    (folder / "below" / "deep").write_text("two")
    assert total(files) == 2
    assert total(files) == 2
    (folder / "new").write_text("three")
    assert total(files) == 3
    assert len(files.look().digest) == 64


def test_the_same_contents_again_are_no_progress(folder: Path) -> None:
    files, times = Files([folder]), itertools.count(1)
    total(files)
    for text in ("a", "b", "a", "b"):
        (folder / "file").write_text(text)
        os.utime(folder / "file", ns=(1, next(times)))
        files.look()
    assert total(files) == 2
    # Touched, copied, removed, and what it held before we looked.
    os.utime(folder / "file", ns=(1, 1))
    (folder / "copy").write_text("a")
    (folder / "old").unlink()
    (folder / "again").write_text("before")
    assert total(files) == 2


def test_one_file_may_be_watched_before_it_exists(tmp_path: Path) -> None:
    files = Files([tmp_path / "report"])
    (tmp_path / "other").write_text("x")
    assert total(files) == 0
    (tmp_path / "report").write_text("x")
    assert total(files) == 1


def test_a_path_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Files([tmp_path / "no" / "report"])
    assert caught.value.code == "watch_missing"


def test_what_is_left_out_and_what_is_no_file_counts_nothing(folder: Path, tmp_path: Path) -> None:
    home = folder / "home"
    home.mkdir()
    files = Files([folder], [home])
    (home / "store").write_text("changes all the time")
    (tmp_path / "outside").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "pipe")
    unreadable = folder / "unreadable"
    unreadable.write_text("secret")
    unreadable.chmod(0)
    files.look()
    assert total(files) == (1 if os.access(unreadable, os.R_OK) else 0)


def test_what_exceeds_a_look_has_its_turn_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_BYTES_MAX", 10)
    files = Files([folder])
    for number in range(5):
        (folder / f"new-{number}").write_text(f"text {number}")
    assert [total(files) for _ in range(6)] == [1, 2, 3, 4, 5, 5]


def test_of_a_long_file_both_ends_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FILE_BYTES_MAX", 8)
    files = Files([folder])
    long = folder / "long"
    for number, text in enumerate(["aaaa-bbbb", "aaaa-bbbc", "aaaa-bbbc", "baaa-bbbc", "baaa--bbbc"]):
        long.write_text(text)
        os.utime(long, ns=(number, number))
        files.look()
    assert total(files) == 4


def test_only_so_many_files_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FILES_MAX", 3)
    files = Files([folder])
    for number in range(5):
        (folder / f"a{number}").write_text(str(number))
    assert total(files) == 3


def test_a_file_that_is_not_changed_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    digest = watching._digest
    monkeypatch.setattr(watching, "_digest", lambda name, size: read.append(name) or digest(name, size))
    files = Files([folder])
    for _ in range(3):
        files.look()
    assert read == [str(folder / "old")]
