from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragons.node.playbook.collect import FILES_MAX, TAIL_BYTES_MAX, collect, find_files, last_lines


def test_the_output_comes_last_and_is_cut_to_its_lines(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("one\ntwo\nthree\n")
    found = collect(b"x\ny\nz\n", ["logs/*.log"], tmp_path, 2)
    assert [(one.name, one.text, one.lines) for one in found.sources] == [
        ("a.log", "two\nthree", 2),
        ("output", "y\nz", 2),
    ]
    assert found.text == "==> a.log <==\ntwo\nthree\n==> output <==\ny\nz\n"
    assert found.missing == ()


def test_what_gives_nothing_is_named(tmp_path: Path) -> None:
    found = collect(b"", ["none-*.log", "absent.txt"], tmp_path, 5)
    assert found.missing == ("none-*.log: no such file", "absent.txt: no such file")


def test_an_absolute_path_and_the_newest_last(tmp_path: Path) -> None:
    for number, name in enumerate(("b.log", "a.log")):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (number, number))
    assert [path.name for path in find_files(tmp_path / "elsewhere", f"{tmp_path}/*.log")] == [
        "b.log",
        "a.log",
    ]
    assert [path.name for path in find_files(tmp_path, f"{tmp_path}/a.log")] == ["a.log"]


def test_links_that_leave_folders_and_pipes_are_not_read(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "secret").write_text("s")
    (logs / "out.log").symlink_to(tmp_path / "secret")
    (logs / "sub.log").mkdir()
    os.mkfifo(logs / "pipe.log")
    assert find_files(tmp_path, "logs/*.log") == []
    assert find_files(tmp_path, "logs/out.log") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x")
    (tmp_path / "a.log").chmod(0)
    assert collect(b"", ["a.log"], tmp_path, 1).missing == ("a.log: Permission denied",)


def test_amounts_are_bounded(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 2):
        (tmp_path / f"{number:03}.log").write_text("x")
    found = collect(b"", ["*.log"], tmp_path, 1)
    assert len(found.sources) == FILES_MAX + 1
    assert len(found.missing) == 2
    (tmp_path / "big").write_bytes(b"a" * (TAIL_BYTES_MAX + 10) + b"\nend")
    big = collect(b"", ["big"], tmp_path, 5).sources[0]
    assert len(big.text) <= TAIL_BYTES_MAX
    assert big.text.endswith("\nend")


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert last_lines(b"\xff\nok", 2) == "\ufffd\nok"
