"""The notifier: an instance of its own that tells people, and can do nothing else.

It makes its key, gets a lease that its parent delegates, and sends each notice as an action of its own
session. What is not in that lease is denied in its process and by the control plane. Never raises for a
channel that fails: what failed is on the record, and the other channels are told all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, Protocol, TypeVar

import msgspec

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, InvalidInputError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import MESSAGE, new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.node.playbook.channel import LINE_BYTES_MAX, Handed, Hello, Notice, Order, Report, Told
from dragons.sdk.authority import read_now, span_since
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import ActionDenied
from dragons.sdk.instance import Instance, Place
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import Session, working

DELIVERED, FAILED, DENIED = "delivered", "failed", "denied"
# Before the second and the third attempt.
PAUSES_SECONDS = (1.0, 3.0)

_Line = TypeVar("_Line", Order, Handed)


class Sent(NamedTuple):
    """How an attempt ended. `detail` names no address and no secret; `digest` is SHA-256 of what was sent."""

    delivered: bool
    detail: str
    digest: str


class Sender(Protocol):
    """The channels that are configured."""

    def send(self, notice: Notice, message_id: str, tenant_id: str, created_ms: int) -> Sent:
        """Tell one; InvalidInputError when there is no such channel of this kind."""
        ...


class Senders(Protocol):
    """Opens the channels of a configuration file, whose secrets only the notifier reads."""

    def __call__(self, path: Path, clock: Clock) -> Sender: ...


class UndeliveredError(DragonsError):
    """The receiver did not take the notice."""

    status = 502

    def __init__(self, detail: str) -> None:
        super().__init__("undelivered", f"It was not delivered: {detail}.", fix="Check the channel.")


def notify_main(source: IO[bytes], target: IO[bytes], senders: Senders, clock: Clock) -> int:
    """Carry out the order that stands in `source`; the exit code is 0 when everyone was told."""
    try:
        report = _carry_out(source, target, senders, clock)
    except DragonsError as error:
        report = Report(error=f"{error.code}: {error.message}")
    _write(target, report)
    good = not report.error and all(one.outcome == DELIVERED for one in report.told)
    return 0 if good else 1


def tell(session: Session, sender: Sender, notice: Notice, tenant_id: str, clock: Clock) -> Told:
    """Send one notice, a few times where a receiver does not take it; each attempt is an action."""
    now_ms = clock.now_ms()
    message_id = new_id(MESSAGE, now_ms)

    def send() -> Sent:
        return sender.send(notice, message_id, tenant_id, now_ms)

    told = _attempt(session, notice, message_id, send)
    for pause_seconds in PAUSES_SECONDS:
        if told.outcome != FAILED:
            break
        time.sleep(pause_seconds)
        told = _attempt(session, notice, message_id, send)
    return told


def _attempt(session: Session, notice: Notice, message_id: str, send: Callable[[], Sent]) -> Told:
    """One action: its receipt has the digests of the text and of what was sent."""
    arguments = {"channel": f"{notice.kind}/{notice.name}", "subject": notice.subject}
    outcome, detail = DELIVERED, ""
    try:
        with session.action(notice.capability, resource=notice.name, arguments=arguments) as act:
            act.add_evidence("text", notice.text.encode())
            sent = send()
            detail = sent.detail
            act.set_result({"detail": detail, "message_id": message_id, "sent_sha256": sent.digest})
            if not sent.delivered:
                raise UndeliveredError(detail)
    except ActionDenied as denied:
        outcome, detail = DENIED, denied.reason
    except DragonsError as error:
        outcome, detail = FAILED, error.message
    return Told(kind=notice.kind, name=notice.name, outcome=outcome, detail=detail)


def _carry_out(source: IO[bytes], target: IO[bytes], senders: Senders, clock: Clock) -> Report:
    order = _read(source, Order)
    sender = senders(Path(order.notifiers), clock)
    with LocalStore(Path(order.store)) as store:
        instance = _become(source, target, Place(order.url, store, clock))
        core = SessionCore(instance, order.goal, scope=order.scope, parent_session_id=order.parent_session_id)
        with working(core) as session:
            told = [tell(session, sender, one, order.tenant_id, clock) for one in order.notices]
            session_id = session.session_id
        return Report(session_id=session_id, told=told, waiting=store.waiting(instance.instance_id))


def _become(source: IO[bytes], target: IO[bytes], place: Place) -> Instance:
    """An instance under the lease that the runner delegates to a key which never leaves this process."""
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    instance_id = uuid7_hex(place.clock.now_ms())
    sent = read_now(place.clock)
    _write(target, Hello(instance_id=instance_id, key=signer.public_key.raw))
    handed = _read(source, Handed)
    instance = Instance(instance_id, signer, place, keeps=True)
    instance.accept(handed.granted, span_since(sent, place.clock))
    return instance


def _read(source: IO[bytes], kind: type[_Line]) -> _Line:
    line = source.readline(LINE_BYTES_MAX)
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            "order_malformed",
            f"The runner sent no {kind.__name__}: {sha256_hex(line)[:16]} ({error}).",
            fix="The notifier is started by `dragons playbook run`, never by hand.",
        ) from error


def _write(target: IO[bytes], value: Hello | Report) -> None:
    target.write(msgspec.json.encode(value) + b"\n")
    target.flush()
