from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dragons.cli.stage import Stage, Surprise


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "home", steps=2)


def test_a_command_is_shown_with_its_real_output(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    done = stage.dragons("--version")
    out = capsys.readouterr().out
    assert done.stdout.startswith("dragons ")
    assert "  $ dragons --version\n" in out
    assert f"  {done.stdout}" in out


def test_steps_are_numbered(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.title("First")
    stage.title("Second")
    assert [line for line in capsys.readouterr().out.splitlines() if line] == ["1/2  First", "2/2  Second"]


def test_another_exit_code_is_a_surprise(stage: Stage) -> None:
    with pytest.raises(Surprise, match="exit code 3, not 0"):
        stage.dragons("agents", "list")
    assert stage.dragons("agents", "list", expected=3).returncode == 3


def test_what_is_not_as_expected_is_a_surprise(stage: Stage) -> None:
    stage.expect(True, "never")
    with pytest.raises(Surprise, match="the sky is green"):
        stage.expect(False, "the sky is green")


def test_the_users_own_settings_stay_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRAGONS_TOKEN_FILE", "/nonexistent")
    clean = Stage(tmp_path / "other", steps=1)
    code = "import os; print(sorted((k, v) for k, v in os.environ.items() if k.startswith('DRAGONS_')))"
    done = clean.program("python", "-c", code, cwd=tmp_path)
    assert "DRAGONS_TOKEN_FILE" not in done.stdout
    assert str(tmp_path / "other") in done.stdout


def test_programs_run_in_the_same_environment(stage: Stage, tmp_path: Path) -> None:
    done = stage.program("python", "-c", "import sys, os; print(sys.executable, os.getcwd())", cwd=tmp_path)
    found, folder = done.stdout.split()
    assert Path(found).parent == Path(sys.executable).parent
    assert Path(folder) == Path(os.path.realpath(tmp_path))


def test_long_commands_are_shown_as_they_can_be_pasted(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "agents",
        "list",
        *(word for n in range(20) for word in ("--scope", f"read:resource-{n}")),
        "a b",
    ]
    stage.dragons(*words, expected=2)
    shown = capsys.readouterr().out.split("  $ ")[1].split("\n  error")[0]
    lines = shown.splitlines()
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert " ".join(shown.replace("\\\n", " ").split()) == "dragons " + " ".join(words[:-1]) + " 'a b'"


def test_a_control_plane_that_does_not_start_is_a_surprise(tmp_path: Path) -> None:
    # The home can't be made: its place is taken by a file.
    (tmp_path / "home").write_text("")
    stage = Stage(tmp_path / "home", steps=1)
    with pytest.raises(Surprise, match="did not start"):
        stage.start()
    stage.close()


def test_lines_that_are_not_shown_are_counted(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    done = stage.dragons("--help", shows=lambda line: "Usage" in line)
    out = capsys.readouterr().out
    assert "Usage" in out
    assert f"  ({len(done.stdout.splitlines()) - 1} more lines)\n" in out
    assert "receipts" in done.stdout
    assert "receipts" not in out


def test_what_is_waited_for_may_come_later_or_never(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragons.cli.stage._LOOK_SECONDS", 0.0)
    looks = iter([False, False, True])
    stage.until(lambda: next(looks), "it never came")
    with pytest.raises(Surprise, match="it never came"):
        stage.until(lambda: False, "it never came")


def test_without_a_control_plane_there_is_nobody_to_ask(stage: Stage) -> None:
    with pytest.raises(Surprise, match="no control plane"):
        stage.client()


def test_a_control_plane_is_started_asked_and_stopped(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        stage.start({"DRAGONS_SWEEP_SECONDS": "1"})
        assert "  $ DRAGONS_SWEEP_SECONDS=1 dragons up --port 0\n" in capsys.readouterr().out
        assert stage.client().fleet().members == []
        stage.stop()
        with pytest.raises(Surprise, match="no control plane"):
            stage.client()
    finally:
        stage.close()
