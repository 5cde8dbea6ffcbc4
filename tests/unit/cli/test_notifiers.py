from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.cli import notifiers
from dragons.cli.exits import Exit
from dragons.cli.output import Format
from dragons.core.errors import InvalidInputError
from dragons.wire.notifiers import Messages, MessageView, Notifiers, NotifierView, Queued
from tests.unit.cli.answers import cli_with

CHANNEL = NotifierView(
    name="oncall", type="slack", where="https://hooks.slack.com", topics=["quarantined", "test"], waiting=2,
    last_outcome="failed", last_at="2026-11-20T19:44:03.123Z", last_detail="answered 404",
)  # fmt: skip
WAITING = MessageView(
    message_id="msg_1", channel="oncall", topic="test", agent="", incident_id="", status="waiting", attempts=0,
    detail="", created_at="2026-11-20T19:44:03.123Z", done_at="", next_at="2026-11-20T19:44:03.123Z",
)  # fmt: skip


def view(**changes: Any) -> MessageView:
    return msgspec.structs.replace(WAITING, **changes)


DELIVERED = view(
    status="delivered", attempts=1, detail="answered 200", done_at="2026-11-20T19:44:04.000Z", next_at=""
)


def test_channels_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, notifiers=Notifiers(notifiers=[CHANNEL]))
    notifiers.list_notifiers(cli)
    shown = capsys.readouterr().out
    for text in (
        "oncall",
        "slack",
        "https://hooks.slack.com",
        "quarantined · test",
        "2026-11-20 19:44:03Z",
        "404",
    ):
        assert text in shown
    cli, _ = cli_with(tmp_path, notifiers=Notifiers(notifiers=[]))
    notifiers.list_notifiers(cli)
    assert "notifiers.yaml" in capsys.readouterr().err


class Turns:
    """A client whose message changes with every look."""

    def __init__(self, *views: MessageView) -> None:
        self.views: Iterator[MessageView] = iter(views)

    def send_test(self, channel: str) -> Queued:
        assert channel == "oncall"
        return Queued(message_id="msg_1")

    def message(self, message_id: str) -> MessageView:
        assert message_id == "msg_1"
        return next(self.views)


@pytest.mark.parametrize(
    ("views", "code"),
    [
        ([WAITING, view(attempts=1), DELIVERED], Exit.OK),
        ([WAITING, view(attempts=1, detail="answered 500")], Exit.NO),
        ([view(status="failed", attempts=20, detail="could not connect")], Exit.NO),
    ],
)
def test_a_test_waits_for_the_end_of_an_attempt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], views: list[MessageView], code: Exit
) -> None:
    cli, _ = cli_with(tmp_path, Format.JSON)
    cli.__dict__["client"] = Turns(*views)
    assert notifiers.send_test(cli, channel="oncall") == code
    assert json.loads(capsys.readouterr().out)["status"] == views[-1].status


def test_a_test_does_not_wait_for_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, send_test=Queued(message_id="msg_1"), message=WAITING)
    assert notifiers.send_test(cli, channel="oncall", wait="1s") == Exit.NO
    assert asked.asked[0] == ("send_test", ("oncall",), {})
    assert "not delivered" in capsys.readouterr().err
    with pytest.raises(InvalidInputError):
        notifiers.send_test(cli, channel="oncall", wait="soon")


def test_messages_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, messages=Messages(messages=[DELIVERED]))
    notifiers.messages(cli, incident="inc_1", limit=5)
    assert asked.asked == [("messages", ("inc_1",), {"limit": 5})]
    shown = capsys.readouterr().out
    for text in ("msg_1", "test", "oncall", "delivered", "answered 200"):
        assert text in shown
