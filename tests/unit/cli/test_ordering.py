from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dragons.cli.ordering import (
    Wanted,
    absolute_words,
    check_active,
    order_of,
    parse_environment,
    specify,
)
from dragons.core.errors import DragonsError, ForbiddenError, InvalidInputError
from dragons.evidence.payload import commit
from dragons.identity.manifest import FileDigest, Manifest
from dragons.node.options import RunOptions
from dragons.wire.identity import History, VersionView
from tests.unit.cli.answers import Answers

NOW_MS = 1_800_000_000_000
MANIFEST = Manifest(
    agent="clerk", code=[FileDigest(path="a.py", sha256="0" * 64, bytes=1)], config=[], capabilities=["a:b"],
    entrypoint=["python", "a.py"],
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("agent.py", "input.csv"):
        (tmp_path / name).write_text("print(1)\n")
    return tmp_path


def test_a_program_is_named_absolutely_and_its_input_is_not(folder: Path) -> None:
    words = absolute_words(["python3", "-u", "agent.py", "input.csv", "--fast"])
    assert words == ["python3", "-u", str(folder / "agent.py"), "input.csv", "--fast"]


def test_where_it_is_unclear_every_file_counts(folder: Path) -> None:
    assert absolute_words(["cat", "input.csv", "missing"]) == ["cat", str(folder / "input.csv"), "missing"]


def test_a_program_by_its_path(folder: Path) -> None:
    assert absolute_words([os.path.relpath(sys.executable), "agent.py"])[0].startswith("/")
    script = folder / "run"
    script.write_text("#!/bin/sh\necho 1\n")
    script.chmod(0o755)
    assert absolute_words(["./run", "agent.py"]) == [str(script), "agent.py"]


def test_no_words_are_no_words() -> None:
    assert absolute_words([]) == []


def test_the_environment_is_values_and_names() -> None:
    assert parse_environment(["B", "A=1", "C=x=y", "B"]) == ({"A": "1", "C": "x=y"}, ["B"])


@pytest.mark.parametrize("one", ["", "=1", "A B=1", "DRAGONS_HOME=x", "DRAGONS_HOME", "1A", "A=\0"])
def test_what_can_not_be_given_is_refused(one: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_environment([one])
    assert caught.value.code == "environment_malformed"


def wanted(**changes: Any) -> Wanted:
    options: dict[str, Any] = {
        "goal": "g", "command": ("python3", "/a.py"), "scope": ("b:c", "a:b"), "capabilities": ("a:b",),
        "watch": (Path("out"),), "folder": Path("sub"), "agent_dir": Path("agent"), **changes,
    }  # fmt: skip
    return Wanted(RunOptions(**options), ["A=1", "LANG"], "process", "n1")


def test_a_specification_is_complete_and_absolute(folder: Path) -> None:
    made = specify(wanted(), "clerk", NOW_MS)
    assert made.folder == str(folder / "sub")
    assert made.agent_dir == str(folder / "agent")
    assert made.watch == [str(folder / "out")]
    assert (made.scope, made.capabilities) == (["a:b", "b:c"], ["a:b"])
    assert (made.environment["A"], made.inherited) == ("1", ["LANG"])
    assert made.environment["PATH"] == os.environ["PATH"]
    assert made.salt != specify(wanted(), "clerk", NOW_MS).salt


def test_the_path_may_be_the_node_s_own() -> None:
    own = wanted()._replace(environment=["PATH"])
    made = specify(own, "clerk", NOW_MS)
    assert (made.environment, made.inherited) == ({}, ["PATH"])


def test_an_order_commits_to_the_specification() -> None:
    made = specify(wanted(), "clerk", NOW_MS)
    order = order_of(wanted(), made, "tnt_" + "0" * 32, NOW_MS)
    assert (order.dispatch_id, order.agent, order.target) == (made.dispatch_id, "clerk", "n1")
    assert (order.spec_hash, order.scope, order.ttl_seconds) == (made.hash(), made.scope, 900)
    assert order.goal_hash == commit({"goal": "g"}, salt=made.salt).payload_hash


@pytest.mark.parametrize(
    ("active", "manifest_hash", "code"),
    [
        (True, MANIFEST.hash(), ""),
        (False, MANIFEST.hash(), "version_inactive"),
        (True, "0" * 64, "manifest_unrecorded"),
    ],
)
def test_only_what_may_be_launched_is_dispatched(*, active: bool, manifest_hash: str, code: str) -> None:
    view = VersionView(
        name="clerk@v1", agent="clerk", version=1, manifest_hash=manifest_hash, registered_at="t",
        registered_by="opk", active=active, files=1, capabilities=[],
    )  # fmt: skip
    client: Any = Answers(agent=History(agent="clerk", versions=[view], activations=[]))
    if not code:
        check_active(client, MANIFEST)
        return
    with pytest.raises(DragonsError) as caught:
        check_active(client, MANIFEST)
    assert isinstance(caught.value, ForbiddenError)
    assert caught.value.code == code
