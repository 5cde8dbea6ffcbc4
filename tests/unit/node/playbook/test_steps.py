from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import StorageError
from dragons.node.playbook import steps as subject
from dragons.node.playbook.book import Book, open_book
from dragons.node.playbook.channel import Order, Report, Told
from dragons.node.playbook.diagnosis import Crash
from dragons.node.playbook.model import ModelError
from dragons.node.playbook.notifying import NotifierError, NotifierProgram
from dragons.node.playbook.steps import Helper, Office, write_file
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import ActionDenied
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import Session, working
from tests.unit.node.playbook.conftest import PLAYBOOK, RUNNER, write_book
from tests.unit.node.playbook.facts import Readable, view
from tests.unit.sdk.kit import Plane
from tests.unit.sdk.test_operator import MANIFEST

CLOCK = SystemClock()
CRASH = Crash(1, "", 1200)
OUTPUT = b"starting\npassword=hunter2222\nconnection refused\n"
MODEL = PLAYBOOK + (
    'on_crash: {model: {provider: openai, url: "http://m.example", model: small, key_env: MODEL_KEY}}\n'
)
NOTIFIER = NotifierProgram(MANIFEST, ("true",), Path("n.yaml"))


def helper(session: Session, book: Book, *, told: list[str] | None = None, **office: Any) -> Helper:
    tell = (told if told is not None else []).append
    client: Any = Readable(view(1, session_id=session.session_id, agent="reconciler@v1"))
    return Helper(Office(book, client, CLOCK, tell, **office), session)


def payloads(session: Session, plane: Plane) -> list[Any]:
    store = session.instance.place.store
    session.flush(0)
    found = [store.payload(one.payload_hash) for one in plane.claims]
    return [json.loads(one.body) for one in found if one is not None]


def actions(session: Session, plane: Plane) -> list[tuple[str, str]]:
    session._runtime.run(session.instance.drain_steps())
    return [(one.action, one.outcome.value) for one in plane.claims]


def test_a_diagnosis_leaves_its_receipts(session: Session, plane: Plane, book: Book) -> None:
    found = helper(session, book).diagnose(CRASH, OUTPUT)
    assert (found.rule, found.retry) == ("connection_refused", True)
    assert actions(session, plane) == [("read:logs", "completed"), ("diagnose:failure", "completed")]
    collected, diagnosed = payloads(session, plane)
    assert plane.claims[0].evidence == [sha256(OUTPUT.rstrip()).hexdigest()]
    assert collected["outcome"]["result"] == {"lines": ["output: 3"], "missing": []}
    assert diagnosed["outcome"]["result"]["line"] == "connection refused"


@pytest.mark.parametrize("missing", ["read:logs", "diagnose:failure"])
def test_a_denied_step_is_done_without(plane: Plane, store: LocalStore, book: Book, missing: str) -> None:
    told: list[str] = []
    scope = sorted(set(RUNNER) - {missing})
    with working(SessionCore(plane.instance(store, scope=scope), "keep it up")) as session:
        found = helper(session, book, told=told).diagnose(CRASH, OUTPUT)
        assert (missing, "denied") in actions(session, plane)
    assert found.rule == "unknown"
    assert found.retry
    assert "capability_not_leased" in told[0]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What a model was asked, which answers `Check the database.`"""
    found: list[tuple[str, str]] = []

    def ask(_model: object, key: str, question: str, _clock: object) -> str:
        found.append((key, question))
        return "Check the database."

    monkeypatch.setattr(subject, "ask_model", ask)
    monkeypatch.setenv("MODEL_KEY", "sesame-open")
    return found


@pytest.fixture
def advised(tmp_path: Path) -> Book:
    return open_book(write_book(tmp_path / "advised", MODEL, more=("ask:model",)))


def test_a_model_gives_advice_and_decides_nothing(
    session: Session, plane: Plane, advised: Book, asked: list[tuple[str, str]]
) -> None:
    found = helper(session, advised).diagnose(CRASH, OUTPUT + b"\nkey sesame-open\n")
    assert found.rule == "connection_refused"
    ((key, question),) = asked
    assert key == "sesame-open"
    assert "connection refused" in question
    assert "hunter2222" not in question
    assert "sesame-open" not in question
    assert actions(session, plane)[-1] == ("ask:model", "completed")
    said = payloads(session, plane)[-1]
    assert said["outcome"]["result"] == {"advice": "Check the database."}
    assert said["action"]["arguments"]["redacted"] >= 2
    assert plane.claims[-1].evidence == [sha256(question.encode()).hexdigest()]
    assert "sesame" not in json.dumps(payloads(session, plane))


def test_a_model_that_fails_changes_nothing(
    session: Session, plane: Plane, advised: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ModelError("HTTP status 500")

    monkeypatch.setattr(subject, "ask_model", fail)
    monkeypatch.setenv("MODEL_KEY", "k")
    assert helper(session, advised).diagnose(CRASH, OUTPUT).rule == "connection_refused"
    assert actions(session, plane)[-1] == ("ask:model", "failed")
    monkeypatch.delenv("MODEL_KEY")
    assert helper(session, advised).diagnose(CRASH, OUTPUT).rule == "connection_refused"


def test_a_model_that_may_not_be_asked_gets_nothing(
    plane: Plane, store: LocalStore, advised: Book, asked: list[tuple[str, str]]
) -> None:
    with working(SessionCore(plane.instance(store, scope=sorted(RUNNER)), "keep it up")) as session:
        helper(session, advised).diagnose(CRASH, OUTPUT)
        assert actions(session, plane)[-1] == ("ask:model", "denied")
    assert asked == []


def test_a_recovery_is_an_action(session: Session, plane: Plane, book: Book) -> None:
    helper(session, book).note_recovery(2)
    assert actions(session, plane) == [("watch:service", "completed")]
    assert payloads(session, plane)[0]["action"]["arguments"] == {"attempts": 2, "ran_well_ms": 60_000}


def test_a_postmortem_is_written_and_its_digest_recorded(session: Session, plane: Plane, book: Book) -> None:
    one = helper(session, book)
    one.write_postmortem("1 restarts did not help")
    assert one.written == book.postmortem_path(session.session_id)
    data = one.written.read_bytes()
    assert data.startswith(b"# Postmortem: reconciler@v1 could not be kept up")
    assert actions(session, plane) == [("write:postmortem", "completed")]
    assert plane.claims[0].evidence == [sha256(data).hexdigest()]


def test_a_postmortem_that_may_not_be_written_is_not(plane: Plane, store: LocalStore, book: Book) -> None:
    with working(SessionCore(plane.instance(store, scope=["run:service"]), "keep it up")) as session:
        with pytest.raises(ActionDenied):
            helper(session, book).write_postmortem("why")
        assert not book.postmortem_path(session.session_id).exists()


@pytest.fixture
def telling(tmp_path: Path) -> Book:
    notify = PLAYBOOK + "notify: [{channel: slack}, {channel: email, name: on-call}]\n"
    return open_book(write_book(tmp_path / "telling", notify, more=("notify:slack", "notify:email")))


def test_people_are_told_and_the_postmortem_says_so(
    session: Session, telling: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[Order] = []

    def send(_program: object, _session: object, order: Order, _clock: object) -> Report:
        orders.append(order)
        return Report(session_id="ses_2", told=[Told(kind="slack", name="slack", outcome="delivered")])

    monkeypatch.setattr(subject, "send_notices", send)
    one = helper(session, telling, notifier=NOTIFIER)
    one.notify("1 restarts did not help")
    (order,) = orders
    assert [(notice.kind, notice.name) for notice in order.notices] == [
        ("slack", "slack"),
        ("email", "on-call"),
    ]
    assert order.notices[0].subject == "reconciler@v1 could not be kept up"
    assert "1 restarts did not help" in order.notices[0].text
    assert session.session_id in order.notices[0].text
    assert order.notices[0].facts["agent"] == "reconciler"
    assert one.report is not None
    assert one.written is not None


def test_a_notifier_that_fails_is_told_and_ends_nothing(
    session: Session, telling: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Report:
        raise NotifierError("it took too long")

    monkeypatch.setattr(subject, "send_notices", fail)
    told: list[str] = []
    one = helper(session, telling, told=told, notifier=NOTIFIER)
    one.notify("why")
    assert told[0].startswith("nobody was told: The notifier failed: it took too long")
    assert one.report == Report(error="notifier_failed")
    without = helper(session, telling, told=told)
    without.notify("why")
    assert without.report is None


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    write_file(tmp_path / "new" / "p.md", b"one")
    write_file(tmp_path / "new" / "p.md", b"two")
    assert (tmp_path / "new" / "p.md").read_bytes() == b"two"
    assert len(list((tmp_path / "new").iterdir())) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        write_file(tmp_path / "file" / "p.md", b"x")
    assert caught.value.code == "postmortem_unwritable"
