"""The fleet, MTBOI and incidents from the command line, around an agent that an operator lays hand on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from dragons.wire.fleet import Fleet, MtboiView
from dragons.wire.incidents import IncidentDetail
from tests.functional.cli.conftest import PROGRAM, Plane, Program

WAIT_SECONDS = 60
AGENT = "watched"
WORK = "import time\nfor n in range(3000):\n    print(n, flush=True)\n    time.sleep(0.2)\n"


def until(found: Callable[[], Any]) -> Any:
    """The first true result."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
    return result


@pytest.fixture(scope="module")
def running(plane: Plane, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An agent at work; its instance's id."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "work.py").write_text(WORK)
    words = ["run", "--agent", AGENT, "--goal", "count", "--", sys.executable, "work.py"]
    process = subprocess.Popen(
        [*PROGRAM, "--home", str(program.home), *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        (member,) = until(lambda: fleet(program).members)
        yield member.instance_id
    finally:
        process.terminate()
        process.wait(30)


def fleet(program: Program, *words: str) -> Fleet:
    return msgspec.convert(program.json("fleet", "--agent", AGENT, *words), Fleet)


def test_an_agent_from_its_start_to_its_release(program: Program, running: str, tmp_path: Path) -> None:
    (member,) = fleet(program).members
    assert (member.state, member.lease_status, member.epoch) == ("running", "valid", 1)
    out = program.run("fleet", "--agent", AGENT).stdout
    assert f"{AGENT}@v1" in out
    assert "fleet MTBOI" in out
    done = program.json("agents", "quarantine", AGENT, "--instance", running[-12:], "--reason", "odd")
    assert [(one["before"], one["after"]) for one in done["touched"]] == [("running", "quarantined")]
    (member,) = fleet(program, "--state", "quarantined").members
    assert member.state_reason == "quarantined by an operator: odd"
    shown = program.json("agents", "show", AGENT)
    assert [one["state"] for one in shown["instances"]] == ["quarantined"]
    assert "quarantined by an operator: odd" in program.run("agents", "show", AGENT).stdout
    (incident,) = program.json("incidents", "list", "--agent", AGENT, "--open")["incidents"]
    assert (
        program.error("agents", "redispatch", AGENT, "--reason", "x", expected=1)["code"]
        == "nothing_to_redispatch"
    )
    told = program.run("agents", "release", AGENT, "--reason", "mended").stdout
    assert "clean count of restarts" in told
    assert fleet(program).members == []
    _check_mtboi(program, running)
    _check_incident(program, incident["incident_id"], tmp_path)


def _check_mtboi(program: Program, instance_id: str) -> None:
    found = msgspec.convert(program.json("mtboi", AGENT, "--expand"), MtboiView)
    (span,) = found.spans
    assert (span.instance_id, found.interventions) == (instance_id, 2)
    assert found.running_ms == span.counted_ms
    assert found.mtboi_seconds == span.counted_ms // 1000 // 2
    assert [hand.action for hand in found.hands] == ["quarantine", "release"]
    out = program.run("mtboi", AGENT, "--expand").stdout
    for name in (span.began_by, span.ended_by, found.hands[0].receipt_id, "mended"):
        assert name in out
    assert program.json("mtboi")["interventions"] >= 2
    assert program.error("mtboi", "nobody", expected=3)["code"] == "agent_missing"


def _check_incident(program: Program, incident_id: str, folder: Path) -> None:
    found = msgspec.convert(program.json("incidents", "show", incident_id), IncidentDetail)
    assert found.view.resolution == "released_by_operator"
    assert {"manifest.registered", "lease.issued", "session.opened", "state.changed", "intervention"} <= {
        line.kind for line in found.lines
    }
    pack = folder / "incident.zip"
    done = program.run("incidents", "show", incident_id, "--payloads", "--pack", str(pack))
    assert '"goal":"count"' in done.stdout
    (command,) = [line for line in done.stderr.splitlines() if "dragons verify" in line]
    program.run(*command.partition("dragons ")[2].split())
    assert program.error("incidents", "show", f"inc_{0:032x}", expected=3)["code"] == "incident_missing"


def test_the_metrics_of_a_tenant(plane: Plane, program: Program) -> None:
    token = Path(plane.told["token_file"]).read_text().strip()
    reply = httpx2.get(
        f"{plane.told['url']}/metrics", headers={"authorization": f"Bearer {token}"}, trust_env=False
    )
    assert reply.status_code == 200
    assert "dragons_receipts_total " in reply.text
    assert httpx2.get(f"{plane.told['url']}/metrics", trust_env=False).status_code == 401


def test_what_needs_a_reason_says_so(program: Program) -> None:
    for action in ("quarantine", "release", "redispatch"):
        assert program.error("agents", action, AGENT, expected=2)["code"] == "usage"
