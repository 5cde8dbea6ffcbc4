from __future__ import annotations

import io
import os
from pathlib import Path
from threading import Thread
from typing import IO, Any

import msgspec
import pytest

from dragons.core.clock import Clock, SystemClock
from dragons.core.errors import InvalidInputError
from dragons.core.keys import PublicKey
from dragons.core.vocabulary import Outcome
from dragons.node.playbook import notices
from dragons.node.playbook.channel import Handed, Hello, Notice, Order, Report
from dragons.node.playbook.notices import Sent, notify_main, tell
from dragons.sdk.core import SessionCore
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import Session, working
from tests.unit.sdk.kit import URL, Plane

CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(notices, "PAUSES_SECONDS", (0.0, 0.0))


class Channels:
    """Takes what it is told; answers what the test says."""

    def __init__(self, _path: Path | None = None, _clock: Clock | None = None) -> None:
        self.sent: list[Notice] = []
        self.answer = Sent(delivered=True, detail="taken", digest="ab" * 32)

    def send(self, notice: Notice, message_id: str, tenant_id: str, created_ms: int) -> Sent:
        assert message_id.startswith("msg_")
        assert tenant_id
        assert created_ms
        if notice.name == "unknown":
            raise InvalidInputError("channel_missing", "There is no channel 'unknown'.")
        self.sent.append(notice)
        return self.answer


def notice(kind: str = "slack", name: str = "ops") -> Notice:
    return Notice(kind=kind, name=name, subject="It crashed", text="why")


def pipes() -> tuple[IO[bytes], IO[bytes], IO[bytes], IO[bytes]]:
    ours, theirs = os.pipe(), os.pipe()
    return (os.fdopen(ours[0], "rb"), os.fdopen(ours[1], "wb", 0),
            os.fdopen(theirs[0], "rb"), os.fdopen(theirs[1], "wb", 0))  # fmt: skip


def test_a_notifier_makes_its_key_and_works_under_what_it_was_given(
    plane: Plane, store: LocalStore, tmp_path: Path
) -> None:
    source, orders, answers, target = pipes()
    channels, codes = Channels(), list[int]()

    def notifier() -> None:
        codes.append(notify_main(source, target, lambda *_: channels, CLOCK))

    thread = Thread(target=notifier)
    thread.start()
    order = Order(
        url=URL, tenant_id=plane.tenant_id, store=str(tmp_path / "local.db"), notifiers="n.yaml",
        parent_session_id="ses_" + "0" * 32, goal="tell", scope=["notify:slack"],
        notices=[notice(), notice("email"), notice(name="unknown")],
    )  # fmt: skip
    orders.write(msgspec.json.encode(order) + b"\n")
    hello = msgspec.json.decode(answers.readline(), type=Hello)
    lease = plane.lease(hello.instance_id, PublicKey(hello.key), scope=["notify:slack"])
    orders.write(msgspec.json.encode(Handed(granted=plane.granted(lease))) + b"\n")
    report = msgspec.json.decode(answers.readline(), type=Report)
    thread.join()
    for pipe in (source, orders, answers, target):
        pipe.close()
    assert codes == [1]
    assert [(one.kind, one.outcome) for one in report.told] == [
        ("slack", "delivered"), ("email", "denied"), ("slack", "failed"),
    ]  # fmt: skip
    assert report.told[1].detail == "capability_not_leased"
    assert [one.kind for one in channels.sent] == ["slack"]
    assert [(one.action, one.outcome) for one in plane.claims] == [
        ("notify:slack", Outcome.COMPLETED), ("notify:email", Outcome.DENIED),
        *[("notify:slack", Outcome.FAILED)] * 3,
    ]  # fmt: skip
    assert plane.sessions[-1].parent_session_id == order.parent_session_id
    assert plane.sessions[-1].instance_id == hello.instance_id


@pytest.mark.parametrize("line", [b"", b"{}\n", b"not json\n"])
def test_what_is_no_order_is_reported(line: bytes) -> None:
    target = io.BytesIO()
    assert notify_main(io.BytesIO(line), target, Channels, CLOCK) == 1
    report = msgspec.json.decode(target.getvalue(), type=Report)
    assert report.error.startswith("order_malformed")


def test_channels_that_can_t_be_opened_are_reported(tmp_path: Path) -> None:
    def broken(*_: Any) -> Channels:
        raise InvalidInputError("notifiers_invalid", "it is not YAML")

    order = Order(
        url=URL, tenant_id="t", store=str(tmp_path / "s"), notifiers="n", parent_session_id="", goal="g",
        scope=[], notices=[],
    )  # fmt: skip
    target = io.BytesIO()
    assert notify_main(io.BytesIO(msgspec.json.encode(order) + b"\n"), target, broken, CLOCK) == 1
    assert b"notifiers_invalid" in target.getvalue()
    assert not (tmp_path / "s").exists()


def test_what_is_not_taken_is_a_failed_action(session: Session, plane: Plane) -> None:
    # This session may not notify, so the answer is a denial and nothing is sent.
    channels = Channels()
    assert tell(session, channels, notice(), "t", CLOCK).outcome == "denied"
    assert channels.sent == []


def test_an_undelivered_notice_is_told_as_failed(plane: Plane, store: LocalStore) -> None:
    channels = Channels()
    channels.answer = Sent(delivered=False, detail="answered 500", digest="cd" * 32)
    instance = plane.instance(store, scope=["notify:slack"])
    with working(SessionCore(instance, "tell")) as session:
        told = tell(session, channels, notice(), "tnt", CLOCK)
    assert (told.outcome, told.detail) == ("failed", "It was not delivered: answered 500.")
    assert [one.outcome for one in plane.claims] == [Outcome.FAILED] * 3


def test_a_receiver_gets_another_chance(plane: Plane, store: LocalStore) -> None:
    class Recovering(Channels):
        def send(self, *given: Any) -> Sent:
            found = super().send(*given)
            return found if len(self.sent) > 1 else found._replace(delivered=False, detail="answered 503")

    channels = Recovering()
    with working(SessionCore(plane.instance(store, scope=["notify:slack"]), "tell")) as session:
        assert tell(session, channels, notice(), "tnt", CLOCK).outcome == "delivered"
    assert [one.outcome for one in plane.claims] == [Outcome.FAILED, Outcome.COMPLETED]
