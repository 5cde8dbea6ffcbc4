from __future__ import annotations

import json
import subprocess
import sys

import pytest

import dragons
from dragons.cli.main import run

# What a command that needs none of it must not wait for.
HEAVY = (
    "httpx2",
    "fastapi",
    "sqlalchemy",
    "sqlite3",
    "uvicorn",
    "pydantic_settings",
    "structlog",
    "dragons.compose",
)


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["agents", "--help"], ["run", "--help"], ["--version"]])
def test_help_imports_no_server_and_no_http(arguments: list[str]) -> None:
    loaded = loaded_by(f"from dragons.cli.main import run\nassert run({arguments!r}) == 0")
    assert not loaded & set(HEAVY)
    assert "dragons.cli.verify" in loaded
    assert "dragons.audit.verify" not in loaded


def test_verify_imports_no_server_and_no_http() -> None:
    loaded = loaded_by(
        "from dragons.cli.main import run\nassert run(['verify', 'none.zip', '--root', 'a' * 64]) == 3"
    )
    assert not loaded & set(HEAVY)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"dragons {dragons.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "dragons demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["agents", "nothing"], ["agents", "show"], ["verify", "x", "--nothing"]]
)
def test_usage_errors_are_two_lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("fix: See `dragons")


@pytest.mark.parametrize("form", [["-o", "json"], ["-ojson"], ["--output=json"], ["--output", "json"]])
def test_usage_errors_are_json_when_asked(form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agents", "show", *form]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_a_programs_own_arguments_choose_no_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agents", "show", "--", "a", "b", "-o", "json"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_closed_pipe_is_no_error() -> None:
    program = f"{sys.executable} -m dragons.cli --help | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
