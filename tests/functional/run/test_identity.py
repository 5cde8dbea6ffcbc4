"""What runs is what was measured and registered; what is not is refused, and the refusal is on the record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dragons.evidence.receipt import DENIAL, Denial
from tests.functional.plane import ControlPlane, make_agent
from tests.functional.run.conftest import Launch, Running
from tests.functional.run.record import newest


def refused(running: Running) -> dict[str, Any]:
    """A run that never began: its error."""
    assert running.wait() == 99
    assert running.output == b""
    return running.result


def denials(plane: ControlPlane, agent: str) -> list[Denial]:
    """What the ledger says was denied to an agent."""
    found = newest(plane, "denied", agent)
    assert [view.header["outcome"] for view in found] == ["denied"] * len(found)
    with plane.client() as client:
        records = [client.receipt(view.receipt_id).record for view in found]
    return [record.statement.body(DENIAL, Denial) for record in records]


def test_a_new_program_is_registered_once(launch: Launch) -> None:
    first = launch("print(1)\n")
    assert first.wait() == 0
    assert len(first.result["told"]) == 1
    assert first.result["version"].endswith("@v1")
    again = launch("")
    assert again.wait() == 0
    assert again.result["told"] == []
    # Arguments are input: they don't make it another agent.
    assert launch("", "--day", "2026-11-02").wait() == 0


def test_a_changed_one_is_refused_on_the_record(plane: ControlPlane, launch: Launch) -> None:
    assert launch("print(1)\n", agent="changing").wait() == 0
    assert denials(plane, "changing") == []
    error = refused(launch("print(2)\n", agent="changing"))
    assert error["code"] == "manifest_unrecorded"
    assert "it differs from changing@v1: changed program.py" in error["message"]
    assert "--register" in error["fix"]
    (denial,) = denials(plane, "changing")
    assert (denial.action, denial.reason) == ("launch", "manifest_unrecorded")
    assert "changed program.py" in denial.detail
    # The one who asks for it gets it, and an older version is none without asking either.
    asked = launch("print(2)\n", agent="changing", register=True)
    assert asked.wait() == 0
    assert asked.result["version"] == "changing@v2"
    error = refused(launch("print(1)\n", agent="changing"))
    assert error["code"] == "version_inactive"
    assert {denial.reason for denial in denials(plane, "changing")} == {
        "manifest_unrecorded",
        "version_inactive",
    }


def test_without_the_operators_key_nothing_is_registered(plane: ControlPlane, launch: Launch) -> None:
    error = refused(launch("print(1)\n", operator=False, agent="unknown"))
    assert error["code"] == "manifest_unrecorded"
    assert "Ask an operator" in error["fix"]
    assert [denial.reason for denial in denials(plane, "unknown")] == ["manifest_unrecorded"]


@pytest.mark.parametrize("words", [["{out}"], ["-m", "evil"], ["-c", "import evil"], ["-"]])
def test_what_lies_outside_of_the_folder_is_not_run_as_it(
    launch: Launch, tmp_path: Path, words: list[str]
) -> None:
    agent = make_agent(tmp_path / "agent", "inside", ["read:payments"])
    out = tmp_path / "evil.py"
    out.write_text("print('evil')\n")
    command = [sys.executable, *(word.format(out=out) for word in words)]
    error = refused(launch(agent_dir=str(agent), command=command))
    assert error["code"] == "program_unmeasured"
    assert error["fix"]


def test_a_file_of_the_folder_runs_from_anywhere(launch: Launch, tmp_path: Path) -> None:
    agent = make_agent(tmp_path / "agent", "anywhere", ["read:payments"], "import sys\nprint(sys.argv[1:])\n")
    by_path = launch(agent_dir=str(agent), command=["python", str(agent / "agent.py"), "--day", "1"])
    assert by_path.wait() == 0
    assert by_path.output == b"['--day', '1']\n"
    assert by_path.result["version"] == "anywhere@v1"
    # Another way of starting it is another identity.
    error = refused(launch(agent_dir=str(agent), command=["python", "-O", str(agent / "agent.py")]))
    assert error["code"] == "manifest_unrecorded"
    assert "changed the entrypoint" in error["message"]


def test_a_module_runs_beside_its_description(launch: Launch, tmp_path: Path) -> None:
    agent = make_agent(tmp_path / "agent", "module", ["read:payments"], "print('measured')\n")
    described = (agent / "agent.yaml").read_text().replace("[python, agent.py]", "[python, -m, agent]")
    (agent / "agent.yaml").write_text(described)
    (tmp_path / "agent.py").write_text("print('evil')\n")
    running = launch(agent_dir=str(agent), command=["python", "-m", "agent"], streams={"cwd": str(tmp_path)})
    assert running.wait() == 0
    assert running.output == b"measured\n"
