"""Ending what runs: stopping an agent, revoking its lease or its dock, while its program is at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.functional.cli.conftest import PROGRAM, Program

SECONDS_MAX = 40


@pytest.fixture(scope="module")
def sleeper(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents") / "sleeper"
    folder.mkdir()
    (folder / "agent.yaml").write_text(
        "agent: sleeper\nentrypoint: [python, main.py]\ncapabilities: [read:nothing]\n"
    )
    (folder / "main.py").write_text("import time\nprint('at work', flush=True)\ntime.sleep(120)\n")
    catalogue = folder.parent / "catalogue.yaml"
    catalogue.write_text("capabilities:\n  read:nothing: {description: Read nothing}\n")
    program.json("capabilities", "publish", str(catalogue))
    program.json("manifests", "register", str(folder), "--activate")
    return folder


@pytest.mark.parametrize("way", ["stop", "lease", "dock"])
def test_a_program_ends_with_its_authority(program: Program, sleeper: Path, way: str, tmp_path: Path) -> None:
    dock = program.json("docks", "create", "--agent", "sleeper", "--scope", "read:nothing", "--ttl", "5m")
    file = tmp_path / "receipt.json"
    words = ["run", "--agent", "sleeper", "--goal", "sleep", "--ttl", "2m", "--receipt", str(file), "--", sys.executable, str(sleeper / "main.py")]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
    running = subprocess.Popen(
        [*PROGRAM, *words],
        env={**clean, "DRAGONS_HOME": str(program.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        first = running.stdout.readline()
        assert first == "at work\n", running.communicate(timeout=SECONDS_MAX)[1]
        instance = program.json("agents", "show", "sleeper")["instances"][0]
        assert instance["instance_id"] in program.run("agents", "show", "sleeper").stdout
        started = time.monotonic()
        if way == "stop":
            touched = program.json("agents", "stop", "sleeper", "--reason", "enough")["touched"]
            assert [one["name"] for one in touched] == [instance["instance_id"]]
        elif way == "lease":
            program.json("leases", "revoke", instance["lease_id"], "--reason", "enough")
        else:
            program.json("docks", "revoke", dock["dock_id"], "--reason", "enough")
        _, err = running.communicate(timeout=SECONDS_MAX)
        assert time.monotonic() - started < SECONDS_MAX
    finally:
        running.kill()
        for pipe in (running.stdout, running.stderr):
            if pipe is not None:
                pipe.close()
        running.wait()
    assert running.returncode not in {0, None}
    assert "Traceback" not in err
    assert json.loads(file.read_text())["outcome"] == "failed"
    assert not program.json("agents", "show", "sleeper").get("instances")
    if way != "dock":
        program.json("docks", "revoke", dock["dock_id"], "--reason", "test is over")
