"""docs/sdk.md is true: every program in it runs against a real control plane and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from dragons.evidence.receipt import EVIDENCE_MAX
from dragons.identity.measure import measure_directory
from dragons.sdk.action import ARGUMENTS_BYTES_MAX, RESULT_BYTES_MAX, TEXT_LENGTH_MAX
from dragons.sdk.core import DENIALS_TOGETHER_MS
from dragons.sdk.errors import FIXES
from tests.functional.plane import ControlPlane, make_agent

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "sdk.md").read_text("utf-8")
SECONDS_MAX = 120


class Block(NamedTuple):
    """A fenced block of the guide."""

    kind: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
PROGRAMS = [place for place, block in enumerate(BLOCKS) if block.kind == "python"]


def ready(plane: ControlPlane, folder: Path) -> None:
    """Register, activate and dock what lies in a folder."""
    manifest = measure_directory(folder)
    with plane.client() as client:
        operator = plane.operator(client)
        registered = operator.register_manifest(manifest)
        operator.activate(manifest.agent, registered.version)
        operator.dock(manifest.agent, scope=manifest.capabilities, instances_max=20)


@pytest.mark.parametrize("place", PROGRAMS, ids=lambda place: f"block-{place}")
def test_a_program_of_the_guide(plane: ControlPlane, tmp_path: Path, place: int) -> None:
    folder = tmp_path / "reconciler"
    folder.mkdir()
    (description,) = (block.text for block in BLOCKS if block.kind == "yaml")
    (folder / "agent.yaml").write_text(description)
    (folder / "agent.py").write_text(BLOCKS[place].text)
    (folder / "payments.csv").write_text("id,cents\n1,1200\n")
    ready(plane, folder)
    ready(plane, make_agent(tmp_path / "notifier", "notifier", ["read:payments", "write:ledger"]))
    own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "agent.py"],
        cwd=folder,
        env=own | {"DRAGONS_HOME": str(plane.home.folder)},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = BLOCKS[place + 1]
    assert said.kind == "text", "a program is followed by what it prints"
    assert done.stdout == said.text
    with plane.client() as client:
        opened = client.sessions("reconciler").sessions
    assert opened
    assert {view.outcome for view in opened} == {"completed"}


def test_every_reason_has_its_line() -> None:
    assert PROGRAMS
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", TEXT[TEXT.index("| reason |") :], re.MULTILINE))
    assert rows == {str(reason): fix for reason, fix in FIXES.items()}


def test_the_limits_are_those_of_the_code() -> None:
    for limit in (
        f"arguments of an action | {ARGUMENTS_BYTES_MAX:,} bytes",
        f"result | {RESULT_BYTES_MAX:,} bytes",
        f"goal, resource | {TEXT_LENGTH_MAX:,} characters",
        f"evidence | {EVIDENCE_MAX} digests",
        f"counted within {DENIALS_TOGETHER_MS // 1000} s",
    ):
        assert limit in TEXT
