from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from dragons.authority.decide import Deny
from dragons.core.clock import SystemClock
from dragons.core.vocabulary import Reason
from dragons.node.lines import Lines
from dragons.node.playbook.book import Book, open_book
from dragons.node.playbook.machine import Ending, Phase
from dragons.node.playbook.runner import Runner
from dragons.node.playbook.steps import Office
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import Session, working
from tests.unit.node.playbook.conftest import PLAYBOOK, RUNNER, write_book
from tests.unit.node.playbook.facts import Readable
from tests.unit.node.playbook.test_steps import actions, payloads
from tests.unit.sdk.kit import Plane

CLOCK = SystemClock()
CRASHED = [("run:service", "failed"), ("read:logs", "completed"), ("diagnose:failure", "completed")]
WAITS = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"
SLOW = PLAYBOOK.replace("attempts: 1", "attempts: 0")


def runner(session: Session, book: Book, told: list[str] | None = None, lines: Lines | None = None) -> Runner:
    client: Any = Readable()
    tell = (told if told is not None else []).append
    return Runner(Office(book, client, CLOCK, tell), session, lines or Lines())


def book_of(tmp_path: Path, playbook: str = PLAYBOOK, service: str = "raise SystemExit(3)") -> Book:
    return open_book(write_book(tmp_path / "made", playbook, service))


def test_a_crash_is_restarted_then_reported(session: Session, plane: Plane, book: Book) -> None:
    one = runner(session, book)
    state = one.run()
    assert (state.phase, state.ending, state.starts) == (Phase.ENDED, Ending.FAILED, 2)
    assert actions(session, plane) == [
        *CRASHED, ("restart:service", "completed"), *CRASHED, ("write:postmortem", "completed"),
    ]  # fmt: skip
    ran = payloads(session, plane)[0]
    assert ran["outcome"]["result"]["exit_status"] == 3
    assert ran["action"]["arguments"] == {"attempt": 0, "command": ["python3", "service.py"]}
    restarted = payloads(session, plane)[3]["action"]["arguments"]
    assert restarted == {"attempt": 1, "of": 1, "waited_ms": 50}
    assert one.last is not None
    assert one.last.exit_status == 3


def test_a_good_end_is_all_there_is(session: Session, plane: Plane, tmp_path: Path) -> None:
    lines = Lines()
    state = runner(session, book_of(tmp_path, service="print('done')"), lines=lines).run()
    assert state.ending is Ending.COMPLETED
    assert actions(session, plane) == [("run:service", "completed")]
    # What it prints counts as progress.
    assert lines.look().digest


def test_a_program_that_is_not_there_is_diagnosed(session: Session, plane: Plane, tmp_path: Path) -> None:
    playbook = PLAYBOOK.replace("[python3, service.py]", "[no-such-program]")
    state = runner(session, book_of(tmp_path, playbook)).run()
    assert (state.ending, state.why) == (Ending.FAILED, "a restart can't help")
    assert actions(session, plane)[:3] == CRASHED
    assert payloads(session, plane)[2]["outcome"]["result"]["rule"] == "file_missing"


def test_a_denied_start_ends_the_run(plane: Plane, store: LocalStore, book: Book) -> None:
    with working(SessionCore(plane.instance(store, scope=["read:logs"]), "g")) as session:
        state = runner(session, book).run()
        assert actions(session, plane) == [("run:service", "denied")]
    assert (state.ending, state.why) == (Ending.UNAUTHORIZED, "capability_not_leased")


def test_a_denied_restart_is_reported(plane: Plane, store: LocalStore, book: Book) -> None:
    scope = sorted(set(RUNNER) - {"restart:service"})
    with working(SessionCore(plane.instance(store, scope=scope), "g")) as session:
        state = runner(session, book).run()
        assert actions(session, plane) == [
            *CRASHED, ("restart:service", "denied"), ("write:postmortem", "completed"),
        ]  # fmt: skip
    assert state.why == "the restart was denied: capability_not_leased"


class Signalled(Runner):
    """Gets a signal as soon as its service has said something."""

    number = signal.SIGTERM

    def _wait(self) -> Any:
        found = super()._wait()
        if self._running is not None and self._running.tail.data and not self._running.is_stopping:
            os.kill(os.getpid(), self.number)
        return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_service_and_run(
    session: Session, plane: Plane, tmp_path: Path, number: signal.Signals
) -> None:
    client: Any = Readable()
    one = Signalled(Office(book_of(tmp_path, service=WAITS), client, CLOCK, lambda _: None), session, Lines())
    one.number = number
    state = one.run()
    assert (state.ending, state.why) == (Ending.STOPPED, number.name)
    assert actions(session, plane) == [("run:service", "completed")]
    result = payloads(session, plane)[0]["outcome"]["result"]
    assert (result["signal"], result["stopped_because"]) == ("SIGTERM", number.name)


def test_a_change_of_the_window_s_size_ends_nothing(session: Session, tmp_path: Path) -> None:
    service = "import time\nprint('up', flush=True)\ntime.sleep(0.6)\n"
    client: Any = Readable()
    one = Signalled(
        Office(book_of(tmp_path, service=service), client, CLOCK, lambda _: None), session, Lines()
    )
    one.number = signal.SIGWINCH
    assert one.run().ending is Ending.COMPLETED


def test_lost_authority_ends_the_service(
    session: Session, plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    one = runner(session, book_of(tmp_path, service=WAITS), told)
    authority = session.instance.authority
    gone = Deny(Reason.REVOKED_LEASE, "lse_1")
    monkeypatch.setattr(authority, "over", lambda: gone if one._running and one._running.tail.data else None)
    state = one.run()
    assert (state.ending, state.why) == (Ending.UNAUTHORIZED, "lease_revoked")
    assert any("no authority" in line for line in told)
    assert one._running is None


def test_a_lapsed_lease_holds_the_service_until_it_is_renewed(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    one = runner(
        session, book_of(tmp_path, service="import time\nprint('up', flush=True)\ntime.sleep(0.5)\n"), told
    )
    lapsed = Deny(Reason.LEASE_EXPIRED, "lse_1")
    asked: list[int] = []

    def over() -> Deny | None:
        running = one._running is not None and bool(one._running.tail.data)
        asked.append(1) if running else None
        return lapsed if running and len(asked) <= 3 else None

    monkeypatch.setattr(session.instance.authority, "over", over)
    assert one.run().ending is Ending.COMPLETED
    assert "the lease lapsed: the service is held" in told
    assert "the lease was renewed" in told


def test_one_that_never_gets_ready_is_ended_and_counts_as_crashed(
    session: Session, plane: Plane, tmp_path: Path
) -> None:
    playbook = SLOW.replace("stop_grace", "ready: {tcp: '127.0.0.1:9', timeout_seconds: 0.2}, stop_grace")
    state = runner(session, book_of(tmp_path, playbook, WAITS)).run()
    assert state.ending is Ending.FAILED
    assert actions(session, plane)[:3] == CRASHED
    assert payloads(session, plane)[2]["outcome"]["result"]["rule"] == "not_ready"


def test_a_recovery_is_recorded(session: Session, plane: Plane, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    service = (
        "import sys, time\nfrom pathlib import Path\n"
        f"mark = Path({str(mark)!r})\n"
        "if not mark.exists():\n    mark.write_text('')\n    sys.exit(1)\ntime.sleep(1.5)\n"
    )
    # Forgotten at once: how long its first start took does not matter, because it had no restart before.
    playbook = PLAYBOOK.replace("reset_after_seconds: 60", "reset_after_seconds: 0.01")
    state = runner(session, book_of(tmp_path, playbook, service)).run()
    assert (state.ending, state.attempts) == (Ending.COMPLETED, 0)
    assert ("watch:service", "completed") in actions(session, plane)


def test_while_it_waits_it_says_so(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[object] = []
    begin = session.instance.waits.begin
    monkeypatch.setattr(session.instance.waits, "begin", lambda one: waits.append(one) or begin(one))
    told: list[str] = []
    runner(session, book_of(tmp_path), told).run()
    assert [getattr(one, "reason", "") for one in waits] == ["schedule"], told[:12]
    assert session.instance.waits.now(session.instance.authority.plane_ms()) is None


def test_a_fault_of_the_runner_ends_the_service_too(
    session: Session, plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = runner(session, book_of(tmp_path, service=WAITS))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(one, "_probe", broken)
    with pytest.raises(ZeroDivisionError):
        one.run()
    assert one._running is None
    assert actions(session, plane) == [("run:service", "failed")]


def test_a_changed_service_is_not_restarted(session: Session, plane: Plane, tmp_path: Path) -> None:
    service = "from pathlib import Path\nPath(__file__).write_text('print(2)')\nraise SystemExit(1)\n"
    told: list[str] = []
    state = runner(session, book_of(tmp_path, service=service), told).run()
    assert (state.starts, state.why) == (1, "the restart was denied: manifest_mismatch")
    assert actions(session, plane)[3:] == [
        ("run:service", "failed"), ("restart:service", "failed"), ("write:postmortem", "completed"),
    ]  # fmt: skip
    assert any("changed service.py" in line for line in told)


def test_what_a_moment_may_end_is_tried_again(
    session: Session, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = runner(session, book)
    done: list[str] = []

    def first_fails(name: str) -> None:
        work = getattr(one.helper, name)

        def tried(*given: Any) -> Any:
            done.append(name)
            if done.count(name) == 1:
                raise ControlPlaneUnreachable("http://x", "it is away", maybe_recorded=False)
            return work(*given)

        monkeypatch.setattr(one.helper, name, tried)

    for name in ("diagnose", "write_postmortem"):
        first_fails(name)
    assert one.run().ending is Ending.FAILED
    assert done == ["diagnose"] * 3 + ["write_postmortem"] * 2


def test_a_postmortem_that_can_t_be_written_ends_nothing(session: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    book = book_of(tmp_path, PLAYBOOK + f"postmortem: {{path: {tmp_path}/file/p.md}}\n")
    told: list[str] = []
    assert runner(session, book, told).run().ending is Ending.FAILED
    assert any("can't be written" in line for line in told)
