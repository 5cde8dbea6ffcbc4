"""`make demo`, from its first line to its last."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-m", "dragons.cli"]


@dataclass
class Shown:
    """What the demo printed and left."""

    text: str
    errors: str
    code: int
    out: Path


def step(shown: Shown, number: int) -> str:
    """What was printed in one step."""
    return shown.text.partition(f"\n{number}/19")[2].partition(f"\n{number + 1}/19")[0]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    out = tmp_path_factory.mktemp("demo") / "dragons-demo"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
    done = subprocess.run(
        [*PROGRAM, "demo", "--out", str(out)],
        env={**clean, "DRAGONS_HOME": str(out.parent / "never-made")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return Shown(done.stdout, done.stderr, done.returncode, out)


def test_it_comes_out_as_it_should(shown: Shown) -> None:
    assert shown.code == 0, f"{shown.text}\n{shown.errors}"
    assert "Every step came out as it should" in shown.text
    assert not shown.errors


def test_every_step_is_told_with_its_command(shown: Shown) -> None:
    for number in range(1, 20):
        assert f"\n{number}/19  " in shown.text
    for command in (
        "up", "keys fingerprint", "capabilities publish", "manifests register", "docks create", "run",
        "packs export", "verify", "policies set", "dispatch create", "fleet", "agents release", "incidents show",
    ):  # fmt: skip
        assert f"  $ dragons {command}" in shown.text


def test_the_email_is_denied_and_the_work_is_proven(shown: Shown) -> None:
    assert "denied: send:email (capability_not_leased)" in shown.text
    assert "45 ops" in shown.text
    assert "replay          pass · third-party verifiable" in shown.text
    assert "running → stopped" in shown.text


def test_the_changed_copy_is_refused_by_name(shown: Shown) -> None:
    refused = step(shown, 7)
    assert "changed rules.py" in refused
    assert "[manifest_unrecorded]" in refused
    assert "(exit code 7)" in refused
    assert "Activation Receipt" not in refused


def test_what_stalls_is_degraded_then_healed_with_the_next_epoch(shown: Shown) -> None:
    assert re.search(r"exporter@v1 +\w{12} +degraded +\d+s ", step(shown, 13))
    assert "no verified progress for 4 s" in step(shown, 13)
    assert re.search(r"exporter@v1 +\w{12} +running .* 2 +1 +- +local", step(shown, 15))


def test_what_crashes_again_and_again_is_quarantined_and_people_are_told(shown: Shown) -> None:
    assert re.search(r"importer@v1 +\w{12} +quarantined .* 3 +2 +held +local", step(shown, 15))
    assert "The webhook was called, signed: [Dragons] importer is quarantined" in step(shown, 15)
    assert "[organism_quarantined]" in step(shown, 16)
    assert "(exit code 1)" in step(shown, 16)


def test_only_its_release_lets_it_go_on(shown: Shown) -> None:
    assert re.search(r"dsp_\w{32} +held +open +released by an operator", step(shown, 17))
    assert "state     completed: exit status 0" in step(shown, 17)


def test_the_incident_is_told_from_the_ledger(shown: Shown) -> None:
    told = step(shown, 18)
    moments = ("autohealing → quarantined", "told of quarantined through phone: delivered", "denied: launch", "an operator's release", "the dispatch is completed")  # fmt: skip
    assert [told.find(moment) for moment in moments] == sorted(told.find(moment) for moment in moments)
    assert told.find(moments[0]) > 0
    assert "VALID" in step(shown, 19)


def test_the_pack_verifies_again_and_the_altered_one_does_not(shown: Shown) -> None:
    pin = next(
        word for word in shown.text.split() if len(word) == 64 and set(word) <= set("0123456789abcdef")
    )
    for name, code in (("evidence.zip", 0), ("evidence-altered.zip", 1), ("incident.zip", 0)):
        done = subprocess.run(
            [*PROGRAM, "verify", str(shown.out / name), "--root", pin],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout
    left = sorted(path.name for path in shown.out.iterdir())
    assert left == ["evidence-altered.zip", "evidence.zip", "incident.zip"]


def test_the_pack_brings_its_page(shown: Shown) -> None:
    with zipfile.ZipFile(shown.out / "evidence.zip") as archive:
        page = archive.read("verify.html").decode()
    assert "<html" in page.lower()


def test_the_users_own_home_is_left_alone(shown: Shown) -> None:
    assert not (shown.out.parent / "never-made").exists()


def test_nothing_is_left_running(shown: Shown) -> None:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "dragons-demo-" not in found
