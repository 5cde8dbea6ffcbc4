"""The benchmark as its users start it: `python -m bench`, in a process of its own.

Promises: every figure is measured, has a ratio to something of the same run, and the exit code says what the
report says. Never judges how fast this machine is.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_PEERS = ("append", "http", "authorize", "verify", "growth", "storage")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode in {0, 1}, done.stderr
    return json.loads(done.stdout)


def compared(line: dict[str, Any]) -> bool:
    """The line has two sides whose ratio lies within the range of its rounds."""
    ratio = line["ratio"]
    return ratio["low"] <= ratio["median"] <= ratio["high"] and line["theirs"]["low"] > 0


def test_one_measurement_as_a_table() -> None:
    done = bench("--quick", "--only", "authorize")
    assert done.returncode == 0, done.stderr
    assert "decision in the SDK" in done.stdout
    assert "≤ 0.1" in done.stdout
    assert done.stderr == "measuring: authorize\n"


def test_the_exit_code_says_what_the_report_says() -> None:
    done = bench("--quick", "--only", "authorize", "--check", "-o", "json")
    report = report_of(done)
    assert done.returncode == (0 if report["met"] else 1)


def test_wrong_options_are_told() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "choose from" in done.stderr


@pytest.mark.deep
def test_all_measurements_without_peers() -> None:
    done = bench("--quick", *(word for name in WITHOUT_PEERS for word in ("--only", name)), "-o", "json")
    assert done.returncode == 0, done.stderr
    found = report_of(done)["found"]
    assert list(found) == list(WITHOUT_PEERS)
    lines = [line for one in found.values() for line in one["lines"]]
    assert not [one["missing"] for one in found.values() if one["missing"]]
    assert all(line["ours"]["low"] > 0 for line in lines)
    # Bytes and megabytes stand for themselves; whatever has a rate or a time is compared.
    assert {line["unit"] for line in lines if line["ratio"] is None} == {"bytes", "MB"}
    assert all(compared(line) for line in lines if line["ratio"] is not None)
    assert all(line["met"] is not None for line in lines if line["unit"] != "bytes")
