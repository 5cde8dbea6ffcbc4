from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.cli.main import run
from dragons.identity.measure import measure_directory


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "agent.yaml").write_text(
        "agent: clerk\nentrypoint: [python, main.py]\ncapabilities: [read:payments]\nconfig: [config.json]\n"
    )
    (folder / "main.py").write_text("print('hello')\n")
    (folder / "config.json").write_text("{}")
    return folder


def test_a_folder_is_measured(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["manifests", "measure", str(agent)]) == 0
    out = capsys.readouterr().out
    assert measure_directory(agent).hash() in out
    lines = [line.split()[:2] for line in out.splitlines()]
    assert ["main.py", "code"] in lines
    assert ["config.json", "config"] in lines


def test_as_json_the_manifest_is_whole(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["manifests", "measure", str(agent), "-o", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    manifest = measure_directory(agent)
    assert value["manifest_hash"] == manifest.hash()
    assert [file["sha256"] for file in value["manifest"]["code"]] == [file.sha256 for file in manifest.code]


def test_a_single_program_needs_a_name(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = str(agent / "main.py")
    assert run(["manifests", "measure", program]) == 2
    assert "--agent NAME" in capsys.readouterr().err
    assert (
        run(
            [
                "manifests",
                "measure",
                program,
                "--agent",
                "clerk",
                "--capability",
                "read:payments",
                "-o",
                "json",
            ]
        )
        == 0
    )
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert manifest["entrypoint"] == [program]
    assert manifest["capabilities"] == ["read:payments"]


def test_a_folder_without_a_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["manifests", "measure", str(tmp_path)]) == 3
    assert "agent.yaml" in capsys.readouterr().err


def test_the_example_is_measured_without_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "reconciler"
    assert run(["manifests", "measure", str(example), "-o", "json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    paths = {file["path"] for file in manifest["code"]}
    assert {"agent.py", "agent.yaml", "rules.py"} <= paths
    assert not {path for path in paths if path.startswith(("data/", "out/"))}
    assert [file["path"] for file in manifest["config"]] == ["config.json"]
    assert manifest["capabilities"] == ["read:payments", "read:statement", "write:ledger", "write:report"]
