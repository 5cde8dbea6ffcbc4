from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from dragons.core.errors import DragonsError
from dragons.identity.measure import measure_directory
from dragons.node.options import RunOptions
from dragons.node.program import RUN_CAPABILITY, find_program, measure
from tests.functional.plane import make_agent


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "their_script.py"
    path.write_text("print(1)\n")
    return path


def options(*command: object, **more: object) -> RunOptions:
    return RunOptions(goal="g", agent="mine", command=tuple(map(str, command)), **more)  # type: ignore[arg-type]


def test_a_single_program_is_what_the_command_starts(script: Path) -> None:
    measured = measure(options("python", script, "--day", "1"))
    assert [file.path for file in measured.manifest.code] == ["their_script.py"]
    assert measured.manifest.entrypoint == ["python", "their_script.py"]
    assert measured.manifest.capabilities == [RUN_CAPABILITY]
    assert (measured.command, measured.folder) == (("python", str(script), "--day", "1"), None)


def test_identity_is_the_program_and_how_it_is_started_not_its_input(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = measure(options("python", script, "--day", "1")).manifest.hash()
    assert measure(options("python", script, "--day", "2")).manifest.hash() == one
    monkeypatch.chdir(script.parent)
    assert measure(options("python", script.name)).manifest.hash() == one
    assert measure(options(sys.executable, script)).manifest.entrypoint[0] == Path(sys.executable).name
    assert measure(options("python", "-O", script)).manifest.hash() != one
    script.write_text("print(2)\n")
    assert measure(options("python", script)).manifest.hash() != one


def test_what_it_declares(script: Path) -> None:
    declared = measure(options("python", script, capabilities=("b:b", "a:a"), scope=("a:a",)))
    assert declared.manifest.capabilities == ["a:a", "b:b"]
    assert measure(options("python", script, scope=("a:a",))).manifest.capabilities == ["a:a"]


def test_a_script_is_its_own_code_and_a_shell_is_what_it_is_told(script: Path, tmp_path: Path) -> None:
    script.write_text("#!/usr/bin/env python3\nprint(1)\n")
    script.chmod(0o755)
    assert measure(options(script, "--day", "1")).manifest.entrypoint == ["their_script.py"]
    told = measure(options("sh", "-c", "exit 0")).manifest
    assert told.entrypoint == ["sh", "-c", "exit 0"]
    assert measure(options("sh", "-c", "exit 1")).manifest.hash() != told.hash()
    assert measure(options(sys.executable, "-c", "1")).manifest.entrypoint[1:] == ["-c", "1"]
    link = tmp_path / "link"
    link.symlink_to(shutil.which("sh") or "")
    assert measure(options(link, "-c", "x")).manifest.entrypoint == ["link", "-c", "x"]


def test_a_link_is_what_it_leads_to(script: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "agent"
    link.symlink_to(script)
    assert find_program(["python", str(link)]) == (1, script)
    assert measure(options("python", link)).manifest == measure(options("python", script)).manifest


def test_a_described_folder_is_measured_whole(tmp_path: Path) -> None:
    folder = make_agent(tmp_path / "agent", "reconciler", ["read:payments"])
    (folder / "more.py").write_text("")
    whole = measure_directory(folder)
    beside = measure(RunOptions(goal="g", command=("python", str(folder / "agent.py"))))
    assert (beside.manifest, beside.folder) == (whole, None)
    named = measure(RunOptions(goal="g", agent_dir=folder))
    assert (named.manifest, named.command, named.folder) == (whole, ("python", "agent.py"), folder)
    other = measure(RunOptions(goal="g", agent_dir=folder, command=("python", "x.py"), agent="reconciler"))
    assert (other.manifest, other.command, other.folder) == (whole, ("python", "x.py"), None)
    single = measure(options("python", folder / "agent.py"))
    assert (single.manifest.agent, len(single.manifest.code)) == ("mine", 1)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (RunOptions(goal="g", agent="mine"), "command_missing"),
        (options("no-such-program-here"), "program_missing"),
        (RunOptions(goal="g", command=("sh",)), "agent_missing"),
    ],
)
def test_what_cannot_be_measured_is_refused(given: RunOptions, code: str) -> None:
    with pytest.raises(DragonsError) as caught:
        measure(given)
    assert caught.value.code == code


def test_the_name_must_be_the_described_one(tmp_path: Path) -> None:
    folder = make_agent(tmp_path / "agent", "reconciler", ["read:payments"])
    with pytest.raises(DragonsError, match="reconciler"):
        measure(RunOptions(goal="g", agent="other", agent_dir=folder))
