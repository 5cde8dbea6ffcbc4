from __future__ import annotations

import itertools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from dragons.authority.lease import RELEASE, Release
from dragons.core.clock import SystemClock
from dragons.core.errors import ForbiddenError, NotFoundError
from dragons.core.keys import PublicKey
from dragons.core.vocabulary import Outcome, Reason
from dragons.identity.manifest import Manifest
from dragons.liveness.heartbeat import Waiting
from dragons.node import launcher as launching
from dragons.node.launcher import Launcher, run_governed
from dragons.node.options import RunOptions
from dragons.node.program import Measured
from dragons.sdk import session as sessions
from dragons.sdk.errors import ActionDenied
from dragons.sdk.home import Home, write_secret
from dragons.sdk.localstore import LocalStore
from dragons.wire.authority import Granted, Launch
from dragons.wire.base import Statement
from tests.unit.sdk.kit import READ, URL, Plane

CLOCK: Any = SystemClock()


class Client:
    """Grants what is asked for."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.transport = self.exchange = self
        self.url = URL
        self.asked: list[Launch] = []

    def launch(self, request: Launch, _: object) -> Granted:
        self.asked.append(request)
        return self.plane.granted(self.plane.lease(request.instance_id, PublicKey(request.instance_key)))


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Plane:
    made = Plane(CLOCK)

    class Wire:
        def __init__(self, *_: object, **__: object) -> None:
            self.send = made.send

        def close(self) -> None: ...

    monkeypatch.setattr(sessions, "Transport", Wire)
    monkeypatch.setattr(sessions, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(launching, "prepare", lambda *_: None)
    monkeypatch.setattr(launching, "send_leftovers", lambda *_: None)
    return made


@pytest.fixture
def launcher(plane: Plane, tmp_path: Path) -> Launcher:
    config = {"url": URL, "tenant_id": plane.tenant_id, "root_fingerprint": "f"}
    write_secret(tmp_path / "home" / "config.json", msgspec.json.encode(config))
    return Launcher(Home(tmp_path / "home"), Client(plane), CLOCK, lambda _: None)  # type: ignore[arg-type]


def options(program: str, **more: Any) -> RunOptions:
    return RunOptions(
        goal="the goal", agent="mine", command=(sys.executable, "-c", program), replay=False, **more
    )


def released(plane: Plane) -> Release:
    """How the lease was given back."""
    assert plane.calls[-1].path == "/v1/leases/releases"
    return msgspec.json.decode(plane.calls[-1].body, type=Statement).statement.body(RELEASE, Release)


def summary(launcher: Launcher, plane: Plane) -> dict[str, Any]:
    with LocalStore(launcher.home.store_path(plane.tenant_id)) as store:
        payload = store.payload(plane.closings[-1].payload_hash)
    assert payload is not None
    found: dict[str, Any] = json.loads(payload.body)
    return found


def test_a_run_from_its_goal_to_its_closing(
    launcher: Launcher, plane: Plane, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run_governed(launcher, options("print('hello')"))
    assert capfd.readouterr().out == "hello\n"
    assert (result.exit_code, result.ended.outcome, result.replay) == (0, Outcome.COMPLETED, "not made")
    assert (result.version, result.goal, result.states) == ("reconciler@v1", "the goal", ("running",))
    assert result.receipt_id
    assert result.chain_root
    assert result.sessions == (result.session_id,)
    assert result.heartbeat_age_ms >= 0
    (closing,) = plane.closings
    assert closing.evidence == [result.ended.stdout_sha256, result.ended.stderr_sha256]
    told = summary(launcher, plane)
    assert told["goal"] == "the goal"
    assert told["summary"]["command"] == list(options("print('hello')").command)
    assert told["summary"]["exit_status"] == 0
    assert told["summary"]["stdout"] == {"sha256": result.ended.stdout_sha256, "bytes": 6}
    assert (released(plane).outcome, released(plane).detail) == (Outcome.COMPLETED, "exit status 0")
    assert result.progress == ("output",)


def test_a_program_that_fails_is_failed_with_its_signal(launcher: Launcher, plane: Plane) -> None:
    result = run_governed(launcher, options("import os; os.kill(os.getpid(), 15)"))
    assert result.exit_code == 143
    assert plane.closings[0].outcome is Outcome.FAILED
    told = summary(launcher, plane)["summary"]
    assert told["signal"] == "SIGTERM"
    assert "exit_status" not in told
    assert (released(plane).outcome, released(plane).detail) == (Outcome.FAILED, "killed by SIGTERM")


def test_the_program_is_given_its_instance_and_nothing_else(
    launcher: Launcher, plane: Plane, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGONS_TOKEN", "dgt_secret")
    result = run_governed(
        launcher,
        options(
            "import json, os; given = {k: v for k, v in os.environ.items() if k.startswith('DRAGONS_')}\n"
            "print(json.dumps([given, json.load(open(given['DRAGONS_INSTANCE']))]))"
        ),
    )
    given, attachment = json.loads(capfd.readouterr().out)
    path = Path(given.pop("DRAGONS_INSTANCE"))
    assert given == {"DRAGONS_AGENT": "reconciler", "DRAGONS_SESSION": result.session_id}
    assert not path.exists()
    assert (attachment["session_id"], attachment["goal"]) == (result.session_id, "the goal")
    assert attachment["instance_id"] == result.instance_id
    assert attachment["url"] == URL
    assert plane.sessions[0].session_id == result.session_id


def test_revoked_authority_stops_the_program(launcher: Launcher, plane: Plane) -> None:
    plane.state = "stopped"
    result = run_governed(launcher, options("import time; time.sleep(60)"))
    assert result.ended.stopped_because == Reason.ORGANISM_STOPPED
    assert result.exit_code == 143
    assert summary(launcher, plane)["summary"]["stopped_because"] == "organism_stopped"
    assert released(plane).detail == "stopped because of organism_stopped: killed by SIGTERM"


def test_a_thread_may_run_it_and_another_may_stop_it(
    launcher: Launcher, plane: Plane, tmp_path: Path
) -> None:
    stop, results = Event(), []
    supervised = replace(launcher, stop=stop)
    program = f"import time; open({str(tmp_path / 'runs')!r}, 'w'); time.sleep(60)"
    thread = Thread(
        target=lambda: results.append(run_governed(supervised, options(program, supervised=True)))
    )
    thread.start()
    until = time.monotonic() + 60
    while not (tmp_path / "runs").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    stop.set()
    thread.join(60)
    (result,) = results
    assert (result.ended.stopped_because, result.ended.signal) == ("stopped", "SIGTERM")
    assert released(plane).outcome is Outcome.FAILED


def test_what_nobody_sits_at_reads_nothing(launcher: Launcher, capfd: pytest.CaptureFixture[str]) -> None:
    run_governed(launcher, options("import sys; print(repr(sys.stdin.read()))", supervised=True))
    assert capfd.readouterr().out == "''\n"


def test_the_order_s_epoch_is_asked_for(launcher: Launcher) -> None:
    run_governed(launcher, options("pass", dispatch_id="dsp", epoch=7))
    (asked,) = launcher.client.asked  # type: ignore[attr-defined]
    assert (asked.dispatch_id, asked.epoch) == ("dsp", 7)


def test_a_handover_is_given_to_the_program_and_gone_with_it(
    launcher: Launcher, capfd: pytest.CaptureFixture[str]
) -> None:
    program = (
        "import os; from dragons.sdk.attachment import read_handover\n"
        "print(os.environ['DRAGONS_HANDOVER'], read_handover())"
    )
    run_governed(launcher, options(program, handover={"epoch": 3}))
    path, _, told = capfd.readouterr().out.partition(" ")
    assert told == "{'epoch': 3}\n"
    assert not list(Path(path).parent.iterdir())


def test_what_programs_wait_for_is_in_the_launcher_s_heartbeats(launcher: Launcher, plane: Plane) -> None:
    program = (
        "import os, time; from pathlib import Path; from dragons.sdk.waiting import announcer, waiting_of\n"
        "announce = announcer(Path(os.environ['DRAGONS_INSTANCE']))\n"
        "announce(waiting_of('approval', 4_000_000_000_000, 0)); time.sleep(2.5); announce(None); time.sleep(2.5)\n"
    )
    run_governed(launcher, options(program))
    said = [beat.waiting.reason if isinstance(beat.waiting, Waiting) else "" for beat in plane.beats]
    # Heartbeats come every 10 s: these came because something had changed.
    assert [reason for reason, _ in itertools.groupby(said)] == ["", "approval", ""]


def test_watched_files_are_a_source_of_progress(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result = run_governed(
        launcher, options(f"open({str(tmp_path / 'out' / 'x')!r}, 'w')", watch=(tmp_path / "out",))
    )
    assert result.progress == ("files",)


def test_what_cannot_be_watched_is_refused_before_anything_is_asked_for(
    launcher: Launcher, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError):
        run_governed(launcher, options("pass", watch=(tmp_path / "no" / "x",)))
    assert launcher.client.asked == []  # type: ignore[attr-defined]


def test_without_a_session_nothing_runs(launcher: Launcher, plane: Plane, tmp_path: Path) -> None:
    plane.errors["/v1/sessions"] = ForbiddenError(Reason.REVOKED_AGENT, "")
    with pytest.raises(ActionDenied):
        run_governed(launcher, options(f"open({str(tmp_path / 'ran')!r}, 'w')"))
    assert not (tmp_path / "ran").exists()
    assert plane.calls[-1].path == "/v1/leases/releases"


def test_what_cannot_start_is_closed_as_failed(
    launcher: Launcher, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(_: RunOptions) -> Any:
        manifest = Manifest(agent="mine", code=[], config=[], capabilities=[READ], entrypoint=["x"])
        return Measured(manifest, ("no-such-program-here",), None)

    monkeypatch.setattr(launching, "measure", measured)
    with pytest.raises(Exception, match="can't be started"):
        run_governed(launcher, options(""))
    assert plane.closings[0].outcome is Outcome.FAILED
    assert released(plane).detail == "the program could not be run: program_unstartable"


def test_what_waits_is_told(launcher: Launcher, plane: Plane) -> None:
    plane.errors["/v1/sessions/closings"] = ForbiddenError("role_forbidden", "")
    result = run_governed(launcher, options("pass"))
    assert (result.waiting, result.receipt_id, result.chain_root) == (1, "", "")


def test_a_renewal_is_handed_on(launcher: Launcher, plane: Plane, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "local.db")
    instance = plane.instance(store)
    runtime = sessions.Runtime(instance)
    handed: list[int] = []
    launching._after_renewal(runtime, lambda: handed.append(instance.authority.lease.serial))
    (chore,) = (chore for chore in runtime.upkeep.chores if chore.name == "renew")
    plane.run(chore.steps())
    assert handed == [1]
    runtime.close()
    store.close()


def test_a_node_launches_in_its_name_and_keeps_the_output(
    launcher: Launcher, plane: Plane, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    kept: list[bytes] = []
    node = replace(launcher, node="n1", launched=seen.append, sink=kept.append)
    folder = tmp_path / "folder"
    folder.mkdir()
    program = "import os, sys\nprint(os.getcwd(), sorted(os.environ))\nprint('wrong', file=sys.stderr)"
    given = options(program, supervised=True, folder=folder, environment={"PATH": "/bin", "DRAGONS_X": "1"})
    result = run_governed(node, given)
    (asked,) = launcher.client.asked  # type: ignore[attr-defined]
    assert asked.node == "n1"
    assert seen == [result.instance_id]
    assert capfd.readouterr() == ("", "")
    written = b"".join(kept).decode()
    assert f"{folder} ['DRAGONS_AGENT', 'DRAGONS_INSTANCE', 'DRAGONS_SESSION'" in written
    assert "'PATH'" in written
    assert "DRAGONS_X" not in written
    assert "'HOME'" not in written
    assert "wrong\n" in written
    assert result.ended.stdout_bytes + result.ended.stderr_bytes == len(written)
