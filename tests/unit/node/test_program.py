from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from dragons.core.errors import DragonsError
from dragons.identity.measure import measure_directory
from dragons.node.options import RunOptions
from dragons.node.program import RUN_CAPABILITY, Measured, measure
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


def test_identity_is_the_program_and_how_it_is_started_not_its_input(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_is_told_may_be_longer_than_a_file_s_name(script: Path, folder: Path) -> None:
    told = "print(1)  # " + "x" * 5_000
    assert measure(options("python", "-c", told)).manifest.entrypoint == ["python", "-c", told]
    assert measure(options("python", script, told)).manifest.entrypoint == ["python", "their_script.py"]
    described(folder, f"[python, -c, '{told}']")
    assert within(folder, "python", "-c", told).manifest == measure_directory(folder)


def test_a_link_is_what_it_leads_to(script: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "agent"
    link.symlink_to(script)
    assert measure(options("python", link)).manifest == measure(options("python", script)).manifest


def test_a_program_that_takes_a_file_is_measured_with_it(script: Path, tmp_path: Path) -> None:
    # Neither may hide behind the other: not a binary behind its data, not a program behind its runner.
    own = tmp_path / "own"
    shutil.copy(shutil.which("true") or "", own)
    data = tmp_path / "data.csv"
    data.write_text("1")
    one = measure(options(own, data)).manifest
    assert [file.path for file in one.code] == ["data.csv", "own"]
    own.write_bytes(own.read_bytes() + b"x")
    assert measure(options(own, data)).manifest.hash() != one.hash()
    run = measure(options("env", "python", script)).manifest
    assert "their_script.py" in [file.path for file in run.code]
    script.write_text("print(2)\n")
    assert measure(options("env", "python", script)).manifest.hash() != run.hash()
    same = tmp_path / "more" / "own"
    same.parent.mkdir()
    same.write_text("")
    with pytest.raises(DragonsError) as caught:
        measure(options(own, same))
    assert caught.value.code == "names_equal"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_agent(tmp_path / "agent", "reconciler", ["read:payments"])
    (made / "more.py").write_text("")
    return made


def described(folder: Path, entrypoint: str) -> Path:
    text = (folder / "agent.yaml").read_text()
    (folder / "agent.yaml").write_text(text.replace("[python, agent.py]", entrypoint))
    return folder


def within(folder: Path, *command: object) -> Measured:
    return measure(RunOptions(goal="g", agent_dir=folder, command=tuple(map(str, command))))


def test_what_its_author_watches_is_relative_to_the_folder(folder: Path, tmp_path: Path) -> None:
    assert within(folder).watch == ()
    path = folder / "agent.yaml"
    path.write_text(path.read_text() + f"watch: [out, {tmp_path / 'results'}]\n")
    expected = (folder / "out", tmp_path / "results")
    assert within(folder).watch == expected
    assert measure(RunOptions(goal="g", command=("python", str(folder / "agent.py")))).watch == expected
    # A single program is nobody's folder.
    assert measure(options("python", folder / "agent.py")).watch == ()


def test_a_described_folder_is_measured_whole(folder: Path) -> None:
    whole = measure_directory(folder)
    beside = measure(RunOptions(goal="g", command=("python", str(folder / "agent.py"))))
    assert (beside.manifest, beside.folder) == (whole, None)
    named = within(folder)
    assert (named.manifest, named.command, named.folder) == (whole, ("python", "agent.py"), folder)
    with_input = within(folder, "python", folder / "agent.py", "--day", "1")
    assert (with_input.manifest, with_input.folder) == (whole, None)
    assert with_input.command[-2:] == ("--day", "1")
    single = measure(options("python", folder / "agent.py"))
    assert (single.manifest.agent, len(single.manifest.code)) == ("mine", 1)


def test_another_way_of_starting_it_is_another_identity(folder: Path) -> None:
    whole = measure_directory(folder)
    for command, entrypoint in [
        (("python", folder / "more.py"), ["python", "more.py"]),
        (("python", "-O", folder / "agent.py"), ["python", "-O", "agent.py"]),
        (("bash", folder / "agent.py", "x"), ["bash", "agent.py"]),
    ]:
        found = within(folder, *command).manifest
        assert found.entrypoint == entrypoint
        assert (found.code, found.hash() == whole.hash()) == (whole.code, False)


@pytest.mark.parametrize(
    "command",
    [
        ("python", "{out}"),
        ("python", "{out}", "{in}"),
        ("python", "-W", "{in}", "{out}"),
        ("python", "-c", "import evil", "{in}"),
        ("python", "-m", "evil", "{in}"),
        ("python", "-Im", "evil"),
        ("python", "-"),
        ("python",),
        ("sh", "-c", "python {out}", "{in}"),
        ("sh", "-s", "{in}"),
        ("env", "python", "{out}"),
        ("{out}",),
        ("env", "python", "{in}"),
    ],
)
def test_what_is_not_measured_is_not_run(folder: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    out = tmp_path / "evil.py"
    out.write_text("#!/bin/sh\n")
    out.chmod(0o755)
    words = [word.format(**{"in": folder / "agent.py", "out": out}) for word in command]
    with pytest.raises(DragonsError) as caught:
        within(folder, *words)
    assert caught.value.code == "program_unmeasured"
    assert caught.value.fix


def test_a_file_of_the_same_name_elsewhere_is_not_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.py").write_text("evil")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DragonsError) as caught:
        within(folder, "python", "agent.py")
    assert caught.value.code == "program_unmeasured"
    monkeypatch.chdir(folder)
    assert within(folder, "python", "agent.py").manifest == measure_directory(folder)


def test_what_is_excluded_is_outside(folder: Path) -> None:
    (folder / ".gitignore").write_text("more.py\n")
    with pytest.raises(DragonsError) as caught:
        within(folder, "python", folder / "more.py")
    assert caught.value.code == "program_unmeasured"


def test_a_module_runs_where_its_author_meant_it_to(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(folder, "[python, -m, agent]")
    (tmp_path / "agent.py").write_text("evil")
    monkeypatch.chdir(tmp_path)
    found = within(folder, "python", "-m", "agent", "--day", "1")
    assert (found.folder, found.command) == (folder, ("python", "-m", "agent", "--day", "1"))
    assert found.manifest == measure_directory(folder)


def test_a_runner_gets_the_author_s_own_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(folder, "[env, python, agent.py]")
    monkeypatch.chdir(folder.parent)
    found = within(folder, "env", "python", "agent/agent.py", "x")
    assert (found.folder, found.command) == (folder, ("env", "python", "agent.py", "x"))


@pytest.mark.parametrize(
    ("entrypoint", "more"),
    [("[env]", ("python", "{out}")), ("[timeout, '5']", ("{out}",)), ("[./start]", ("x",))],
)
def test_input_is_no_way_to_name_a_program(
    folder: Path, tmp_path: Path, entrypoint: str, more: tuple[str, ...]
) -> None:
    (tmp_path / "evil.py").write_text("")
    described(folder, entrypoint)
    words = entrypoint.strip("[]").replace("'", "").split(", ")
    if words == ["./start"]:
        shutil.copy(shutil.which("true") or "", folder / "start")
        assert within(folder, folder / "start", *more).manifest == measure_directory(folder)
        return
    assert within(folder, *words).folder == folder
    with pytest.raises(DragonsError) as caught:
        within(folder, *words, *(word.format(out=tmp_path / "evil.py") for word in more))
    assert caught.value.code == "program_unmeasured"


@pytest.mark.parametrize(
    "entrypoint", ["[python, ../evil.py]", "[python, ../evil]", "[env, python, ../evil.py]", "[../evil.py]",
                   "[python]", "[sh, -c]", "[sh, -s]", "[python, -m]", "[python, .venv/x.py]"]
)  # fmt: skip
def test_an_entrypoint_outside_is_refused(folder: Path, tmp_path: Path, entrypoint: str) -> None:
    (tmp_path / "evil.py").write_text("")
    (tmp_path / "evil").mkdir()
    (folder / ".venv").mkdir()
    (folder / ".venv" / "x.py").write_text("")
    with pytest.raises(DragonsError) as caught:
        within(described(folder, entrypoint))
    assert caught.value.code == "program_unmeasured"


@pytest.mark.parametrize(
    "entrypoint", ["[python, agent.py, /etc/hostname]", "[/usr/bin/python3, agent.py]", "[python, .]"]
)
def test_an_entrypoint_may_have_input_and_an_interpreter(folder: Path, entrypoint: str) -> None:
    assert within(described(folder, entrypoint)).folder == folder


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (RunOptions(goal="g", agent="mine"), "command_missing"),
        (options("no-such-program-here"), "program_missing"),
        (options("python", "no-such-file.py"), "program_missing"),
        (options("python", "-m", "http.server"), "program_unmeasured"),
        (options("sh"), "program_unmeasured"),
        (RunOptions(goal="g", command=("true",)), "agent_missing"),
    ],
)
def test_what_cannot_be_measured_is_refused(given: RunOptions, code: str) -> None:
    with pytest.raises(DragonsError) as caught:
        measure(given)
    assert caught.value.code == code


def test_the_name_must_be_the_described_one(folder: Path) -> None:
    with pytest.raises(DragonsError, match="reconciler"):
        measure(RunOptions(goal="g", agent="other", agent_dir=folder))


@pytest.mark.parametrize(
    ("file", "agent"),
    [("their_script.py", "their-script"), ("Pay  Bills (v2).py", "pay-bills-v2"), ("x.tar.py", "x-tar")],
)
def test_a_script_without_a_name_is_called_after_its_file(tmp_path: Path, file: str, agent: str) -> None:
    (tmp_path / file).write_text("print(1)\n")
    found = measure(RunOptions(goal="g", command=("python", str(tmp_path / file))))
    assert found.manifest.agent == agent


def test_a_file_name_that_is_no_agent_s_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "7.py").write_text("print(1)\n")
    with pytest.raises(DragonsError) as caught:
        measure(RunOptions(goal="g", command=("python", str(tmp_path / "7.py"))))
    assert caught.value.code == "agent_missing"
