from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from dragons.core.errors import InvalidInputError
from dragons.node.command import (
    is_file,
    is_interpreter,
    named_files,
    own_file,
    program_place,
    script_place,
    waits_for_code,
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script, data and another folder."""
    for name in ("a.py", "data.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "folder").mkdir()
    shutil.copy(shutil.which("true") or "", tmp_path / "binary")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("python a.py", 1),
        ("python3.11 a.py data.csv", 1),
        (f"{sys.executable} a.py", 1),
        ("python -u -bb a.py -m x", 3),
        ("python -W data.csv a.py", 3),
        ("python -Wdata.csv a.py", 2),
        ("python -uX data.csv a.py", 3),
        ("python -- a.py", 2),
        ("sh a.py", 1),
        ("bash -eux a.py", 2),
        ("bash -euo pipefail a.py", 3),
        ("bash +o posix --norc a.py", 4),
        ("node a.py --x", 1),
        ("./run data.csv", 0),
        # Unclear: everything counts.
        ("python -c 1 a.py", None),
        ("python -uc 1", None),
        ("python --check-hash-based-pycs always a.py", None),
        ("python -Z a.py", None),
        ("sh -c 1 a.py", None),
        ("bash --rcfile data.csv a.py", None),
        ("node -r data.csv a.py", None),
        ("env python a.py", None),
        ("./binary data.csv", None),
        ("true", None),
    ],
)
def test_where_the_program_is(line: str, place: int | None) -> None:
    assert program_place(line.split()) == place


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("python -m a", "program_unmeasured"),
        ("python -Im a a.py", "program_unmeasured"),
        ("python -W data.csv -m a", "program_unmeasured"),
        ("python", "program_unmeasured"),
        ("python -u", "program_unmeasured"),
        ("python -u --", "program_unmeasured"),
        ("python - a.py", "program_unmeasured"),
        ("sh -s a.py", "program_unmeasured"),
        ("bash -es a.py", "program_unmeasured"),
        ("node", "program_unmeasured"),
        ("python folder", "program_missing"),
        ("python gone.py a.py", "program_missing"),
        ("./gone", "program_missing"),
        ("python " + "x" * 5_000, "program_missing"),
    ],
)
def test_what_nobody_can_see_is_refused(line: str, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        program_place(line.split())
    assert caught.value.code == code
    assert caught.value.fix


def test_a_script_that_calls_itself_python_is_a_script(here: Path) -> None:
    shutil.copy(here / "run", here / "python3")
    assert program_place(["./python3", "a.py"]) == 0


def test_the_own_file_is_what_will_be_started(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_file(["./run"]) == here / "run"
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}{os.environ['PATH']}")
    assert own_file(["run"]) == here / "run"


def test_the_files_that_are_named(here: Path) -> None:
    assert named_files(["run", "a.py", "gone", "folder", "data.csv"]) == [here / "a.py", here / "data.csv"]


def test_a_word_may_be_too_long_for_a_file(here: Path) -> None:
    assert [is_file(here / word) for word in ("a.py", "folder", "gone", "x" * 5_000)] == [
        True,
        False,
        False,
        False,
    ]


def test_by_the_words_alone() -> None:
    assert script_place(["python", "-u", "gone.py"]) == 2
    assert script_place(["python", "-c", "1"]) is script_place(["env", "a.py"]) is None
    assert (is_interpreter(["/x/bash"]), is_interpreter(["env"])) == (True, False)


@pytest.mark.parametrize(
    ("line", "waits"),
    [("python", True), ("python -u", True), ("sh -c", True), ("python -m", True), ("python -", True),
     ("python a.py", False), ("python -m a", False), ("sh -c 1", False), ("env", False)],
)  # fmt: skip
def test_who_waits_for_code(line: str, *, waits: bool) -> None:
    assert waits_for_code(line.split()) is waits
