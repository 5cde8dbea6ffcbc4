"""What a run does when others fail: the control plane is away at the worst moment, and a model is asked."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.plane import ControlPlane
from tests.functional.playbook.conftest import SECONDS_MAX, Project
from tests.functional.playbook.test_incident import receipts, result_of, verify, work
from tests.functional.playbook.test_life import plain
from tests.support.receivers import HttpReceiver, MailServer
from tests.unit.node.playbook.test_model import Server

# Crashes as soon as a file says so.
ON_DEMAND = """
import sys, time
from pathlib import Path
print("up", flush=True)
while not Path(__file__).with_name("data").joinpath("crash").exists():
    time.sleep(0.05)
sys.exit("connection refused")
"""


@pytest.fixture
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """For one test, which may kill it."""
    made = ControlPlane(tmp_path_factory.mktemp("own"), heartbeat_seconds=1, sweep_seconds=0.5)
    made.start()
    yield made
    made.kill()


def told(process: subprocess.Popen[str], text: str) -> list[str]:
    """What the run says up to the line with `text`."""
    assert process.stderr is not None
    seen: list[str] = []
    until = time.monotonic() + SECONDS_MAX
    while not seen or text not in seen[-1]:
        assert time.monotonic() < until, seen
        seen.append(process.stderr.readline())
        assert seen[-1], seen
    return seen


def test_a_crash_while_the_control_plane_is_away_waits_for_it(
    project: Project, plane: ControlPlane, mail: MailServer, tmp_path: Path
) -> None:
    plain(project, ON_DEMAND, attempts=1)
    process = project.start()
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    plane.kill()
    # Older than its view of the revocations may be.
    time.sleep(6)
    (project.folder / "data" / "crash").touch()
    told(process, "authority_stale")
    plane.start()
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 1, errors
    with plane.client() as client:
        (session,) = client.sessions(project.agent).sessions
    done = [one for one in work(plane, session.session_id) if one[1] != "denied"]
    crash = [("run:service", "failed"), ("read:logs", "completed"), ("diagnose:failure", "completed")]
    assert done == [
        *crash, ("restart:service", "completed"), *crash,
        ("write:postmortem", "completed"), ("write:postmortem", "completed"),
    ]  # fmt: skip
    assert len(mail.mails) == 1
    verify(plane, session.session_id, tmp_path)


def test_a_model_s_advice_is_in_the_postmortem_and_no_secret_leaves(
    project: Project, plane: ControlPlane, slack: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain(project, "import sys\nprint('token=abcdef123456')\nsys.exit('connection refused')\n", attempts=0)
    described = project.folder / "agent.yaml"
    described.write_text(described.read_text().replace("  - read:logs", "  - read:logs\n  - ask:model"))
    monkeypatch.setenv("MODEL_KEY", "sesame-open-1")
    server = Server()
    server.answer = json.dumps({"content": [{"type": "text", "text": "Start the database first."}]}).encode()
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    model = {"provider": "anthropic", "url": server.url, "model": "small", "key_env": "MODEL_KEY"}
    project.change(lambda book: book["on_crash"].update(model=model))  # type: ignore[attr-defined]
    try:
        result = result_of(project.run("-o", "json").stderr)
    finally:
        server.http.shutdown()
        server.http.server_close()
    ((path, headers, body),) = server.asked
    assert (path, headers["x-api-key"]) == ("/v1/messages", "sesame-open-1")
    assert "connection refused" in body["messages"][0]["content"]
    assert "abcdef123456" not in json.dumps(body)
    text = Path(result["postmortem"]).read_text()
    assert "Start the database first." in text
    assert "abcdef123456" not in text
    assert "sesame" not in json.dumps([one.header for one in receipts(plane, result["session_id"])])
    assert ("ask:model", "completed") in work(plane, result["session_id"])
    assert slack.posts
