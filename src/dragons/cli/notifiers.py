"""`dragons notifiers`: whom escalations reach, and whether they did."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import typer

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.cli.values import moment, parse_duration

if TYPE_CHECKING:
    from dragons.wire.notifiers import MessageView

_ASK_EVERY_SECONDS = 0.25
_PAGE = 500
_WAITING, _DELIVERED = "waiting", "delivered"


def register(app: typer.Typer) -> None:
    """Add `dragons notifiers …`."""
    inner = group(app, "notifiers", "Notifiers: the channels that tell people.", panel=GOVERN)
    command(inner, "list", example="dragons notifiers list")(list_notifiers)
    command(inner, "test", example="dragons notifiers test oncall")(send_test)
    command(
        inner,
        "messages",
        example="dragons notifiers messages --incident inc_019e5f80a1f37cc28d0000000000000a",
    )(messages)


def list_notifiers(cli: Cli) -> None:
    """List the channels: what is routed to them, where they lead, and their last delivery."""
    found = cli.client.notifiers()
    cli.printer.rows(
        found,
        ("channel", "type", "where", "topics", "waiting", "last", "at", "detail"),
        [
            (n.name, n.type, n.where, n.topics, n.waiting, n.last_outcome, moment(n.last_at), n.last_detail)
            for n in found.notifiers
        ],
        empty="There is no channel: write control/notifiers.yaml in the control plane's home.",
    )


def send_test(
    cli: Cli,
    *,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's name.")],
    wait: Annotated[str, typer.Option("--wait", help="How long to wait for its delivery: 30s, 2m.")] = "30s",
) -> int:
    """Send a test message and wait for its delivery; exit code 1 when it was not delivered in time."""
    seconds = parse_duration(wait)
    message_id = cli.client.send_test(channel).message_id
    view = _settled(cli, message_id, seconds)
    cli.printer.facts(
        view,
        [
            ("message", view.message_id),
            ("channel", view.channel),
            ("status", view.status),
            ("attempts", view.attempts),
            ("detail", view.detail),
            ("next attempt", moment(view.next_at)),
        ],
    )
    if view.status == _DELIVERED:
        return Exit.OK
    cli.printer.note("It was not delivered. What the receiver answered is under detail.")
    return Exit.NO


def messages(
    cli: Cli,
    *,
    incident: Annotated[
        str, typer.Option("--incident", metavar="ID", help="Only of this incident, inc_….")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=_PAGE, help="At most this many.")] = 50,
) -> None:
    """List messages, the newest first, and what became of them."""
    found = cli.client.messages(incident, limit=limit)
    cli.printer.rows(
        found,
        ("message", "topic", "agent", "channel", "status", "attempts", "created", "ended", "detail"),
        [
            (
                m.message_id,
                m.topic,
                m.agent,
                m.channel,
                m.status,
                m.attempts,
                moment(m.created_at),
                moment(m.done_at),
                m.detail,
            )
            for m in found.messages
        ],
        empty="There is no such message.",
    )


def _settled(cli: Cli, message_id: str, seconds: int) -> MessageView:
    """The message once an attempt has ended, or as it is after `seconds`."""
    until_ms = cli.clock.boot_ms() + seconds * 1000
    waiting = threading.Event()
    while True:
        view = cli.client.message(message_id)
        tried = view.status != _WAITING or bool(view.detail)
        if tried or cli.clock.boot_ms() >= until_ms:
            return view
        waiting.wait(_ASK_EVERY_SECONDS)
