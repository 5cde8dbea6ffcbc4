"""What else becomes of a service: it ends well, recovers, is stopped, changes, or loses its authority."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from dragons.authority.revocation import Target
from tests.functional.plane import ControlPlane
from tests.functional.playbook.conftest import SECONDS_MAX, Project
from tests.functional.playbook.test_incident import receipts, result_of, work
from tests.functional.run.record import wait_until_gone
from tests.support.receivers import HttpReceiver, MailServer

GOOD = "order,article,price\n1,bolt,0.12\n"
# Crashes at its first start, then runs until it is told to end.
ONCE = """
import sys, time
from pathlib import Path
mark = Path(__file__).with_name("data") / "mark"
print("pid", __import__("os").getpid(), flush=True)
if not mark.exists():
    mark.write_text("")
    sys.exit("connection refused")
while True:
    time.sleep(0.1)
"""


def plain(project: Project, program: str = ONCE, **restart: Any) -> None:
    """Replace the example's service by another one, without an address."""
    (project.folder / "service.py").write_text(program)
    project.change(lambda book: book["service"].pop("ready"))  # type: ignore[attr-defined]
    project.change(lambda book: book["restart"].update(restart))  # type: ignore[attr-defined]


def wait_for(plane: ControlPlane, process: subprocess.Popen[str], agent: str, action: str) -> str:
    """The session in which `action` came on the record."""
    until = time.monotonic() + SECONDS_MAX
    while time.monotonic() < until:
        with plane.client() as client:
            for session in client.sessions(agent).sessions:
                if action in [name for name, _ in work(plane, session.session_id)]:
                    return session.session_id
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError(action)


def test_a_service_that_ends_well_tells_nobody(
    project: Project, plane: ControlPlane, slack: HttpReceiver, mail: MailServer
) -> None:
    (project.folder / "data" / "orders.csv").write_text(GOOD)
    done = project.run("-o", "json")
    assert done.returncode == 0, done.stderr
    result = result_of(done.stderr)
    assert (result["ending"], result["postmortem"]) == ("completed", "")
    assert work(plane, result["session_id"]) == [("run:service", "completed")]
    assert not slack.posts
    assert not mail.mails
    assert not (project.folder / "postmortems").exists()
    with plane.client() as client:
        assert client.session(result["session_id"]).outcome == "completed"


def test_a_recovery_is_on_the_record_and_a_stop_is_no_crash(project: Project, plane: ControlPlane) -> None:
    plain(project, reset_after_seconds=0.5)
    process = project.start("-o", "json")
    session_id = wait_for(plane, process, project.agent, "watch:service")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, errors
    result = result_of(errors)
    assert (result["ending"], result["why"], result["session_id"]) == ("stopped", "SIGTERM", session_id)
    assert work(plane, session_id) == [
        ("run:service", "failed"), ("read:logs", "completed"), ("diagnose:failure", "completed"),
        ("restart:service", "completed"), ("watch:service", "completed"), ("run:service", "completed"),
    ]  # fmt: skip


def test_a_changed_playbook_is_another_version(project: Project) -> None:
    (project.folder / "data" / "orders.csv").write_text(GOOD)
    assert project.run().returncode == 0
    project.change(lambda book: book["restart"].update(attempts=1))  # type: ignore[attr-defined]
    refused = project.run()
    assert refused.returncode == 7, refused.stderr
    assert "[manifest_unrecorded]" in refused.stderr
    assert "playbook.yaml" in refused.stderr
    taken = project.run("--register", "-o", "json")
    assert taken.returncode == 0, taken.stderr
    assert result_of(taken.stderr)["agent"] == f"{project.agent}@v2"


def test_a_revoked_run_ends_its_service_and_tells_nobody(
    project: Project, plane: ControlPlane, slack: HttpReceiver
) -> None:
    plain(project)
    (project.folder / "data" / "mark").write_text("")
    process = project.start("-o", "json")
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[1])
    with plane.client() as client:
        (instance,) = client.instances(project.agent, live=True).instances
        plane.operator(client).revoke(Target.INSTANCE, instance.instance_id, reason="enough")
    _, errors = process.communicate(timeout=SECONDS_MAX)
    wait_until_gone(pid)
    result = result_of(errors)
    assert process.returncode != 0
    # Whichever of the two it hears of first: the revocation, or that the control plane stopped it.
    assert result["ending"] == "unauthorized"
    assert result["why"] in {"instance_revoked", "organism_stopped"}
    assert not slack.posts


def test_the_service_does_not_outlive_its_runner(project: Project) -> None:
    plain(project)
    (project.folder / "data" / "mark").write_text("")
    process = project.start()
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[1])
    assert Path(f"/proc/{pid}").exists()
    process.kill()
    process.wait()
    wait_until_gone(pid)


def test_the_service_sees_nothing_of_dragons(project: Project, plane: ControlPlane) -> None:
    plain(project, "import os\nprint(sorted(name for name in os.environ if 'DRAGONS' in name), flush=True)\n")
    done = project.run("-o", "json")
    assert done.stdout == "[]\n"
    assert receipts(plane, result_of(done.stderr)["session_id"])
