"""Heartbeats: many small signed signals become one write; only changes of state become receipts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from dragons.control.caller import Caller
from dragons.control.organism import advance
from dragons.control.policies import policy_of
from dragons.control.ports import Reader, Transaction
from dragons.control.progress import RECEIPTS
from dragons.control.rows import InstanceRow
from dragons.control.standing import ended, standing_of
from dragons.control.statements import DATE_SKEW_MS
from dragons.core.canonical import encode
from dragons.core.clock import parse_time
from dragons.core.errors import DragonsError, ForbiddenError, InvalidInputError
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import Envelope, is_signed_by
from dragons.core.vocabulary import Reason, Role
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress
from dragons.liveness.organism import Beat
from dragons.liveness.progress import observe


@dataclass(slots=True)
class Beats:
    """What became of a batch: how many were accepted, and by position the code of the others."""

    accepted: int = 0
    refused: dict[int, str] = field(default_factory=dict)


class CheckedBeat(NamedTuple):
    """A heartbeat whose signature by `key` was checked outside the writer, whose time is everybody's.

    `fault` is why it can't count, None when it may.
    """

    body: Heartbeat | None
    statement: Envelope
    key: bytes
    fault: DragonsError | None = None


def check_heartbeats(key_of: Callable[[str], bytes | None], batch: list[Envelope]) -> list[CheckedBeat]:
    """Each heartbeat's form and signature; `key_of` gives the public key of an instance of the tenant."""
    return [_checked(key_of, envelope) for envelope in batch]


def accept_heartbeats(tx: Transaction, issuer: Signer, caller: Caller, batch: list[CheckedBeat]) -> Beats:
    """Take in a batch; each heartbeat stands for itself, by its instance's own signature."""
    result = Beats()
    for position, beat in enumerate(batch):
        try:
            _accept(tx, issuer, caller, beat)
        except DragonsError as error:
            result.refused[position] = error.code
        else:
            result.accepted += 1
    return result


def _checked(key_of: Callable[[str], bytes | None], envelope: Envelope) -> CheckedBeat:
    try:
        body = envelope.body(HEARTBEAT, Heartbeat)
    except DragonsError as error:
        return CheckedBeat(None, envelope, b"", error)
    raw = key_of(body.instance_id)
    if raw is None:
        return CheckedBeat(body, envelope, b"", _unknown())
    key = PublicKey(raw)
    if len(envelope.signatures) != 1 or not is_signed_by(envelope, envelope.signatures[0].keyid, key):
        fault = ForbiddenError("signature_invalid", "The heartbeat is not signed by its instance.")
        return CheckedBeat(body, envelope, raw, fault)
    return CheckedBeat(body, envelope, raw)


def _accept(tx: Transaction, issuer: Signer, caller: Caller, beat: CheckedBeat) -> None:
    body = beat.body
    if body is None or beat.fault is not None:
        raise beat.fault or _unknown()
    instance = _instance(tx, caller, body)
    if instance.public_key != beat.key:
        raise ForbiddenError("signature_invalid", "The heartbeat is not signed by its instance.")
    if abs(parse_time(body.sent_at) - tx.now_ms) > DATE_SKEW_MS:
        raise InvalidInputError("date_implausible", "The heartbeat's time is far from the control plane's.")
    if body.sequence <= instance.beat_sequence:
        raise InvalidInputError("heartbeat_old", f"Heartbeat {instance.beat_sequence} was seen already.")
    over = ended(tx, standing_of(tx, caller.tenant_id, body.instance_id), tx.now_ms)
    if over is not None:
        raise ForbiddenError(over.reason, "The instance has no authority; its heartbeat does not count.")
    waiting = body.waiting
    changes: dict[str, object] = {
        "pulse_ms": tx.now_ms,
        "beat_sequence": body.sequence,
        "beats": instance.beats + 1,
        "last_beat": encode(beat.statement),
        "waiting_for": "" if isinstance(waiting, msgspec.UnsetType) else waiting.reason,
    }
    progressed = not isinstance(body.progress, msgspec.UnsetType) and _progress(
        tx, instance, body.progress, changes
    )
    until_ms = 0 if isinstance(waiting, msgspec.UnsetType) else parse_time(waiting.until)
    advance(tx, issuer, instance, Beat(progressed, until_ms), changes)


def _progress(tx: Transaction, instance: InstanceRow, seen: Progress, changes: dict[str, object]) -> bool:
    """Add what the heartbeat says of progress to `changes`; whether that counts as verified.

    Receipts count when they are appended, by the ledger itself; a claim never counts, and nothing counts
    that was seen lately.
    """
    if seen.sequence <= instance.progress_sequence:
        return False
    changes["progress_sequence"] = seen.sequence
    sources = policy_of(tx, instance.tenant_id, instance.agent).progress_sources
    if seen.source == RECEIPTS or seen.source not in sources:
        return False
    changes["seen_work"], novel = observe(instance.seen_work, seen.digest)
    if not novel:
        return False
    changes["progress_ms"] = tx.now_ms
    changes["progress_source"], changes["progress_digest"] = seen.source, seen.digest
    return True


def _unknown() -> ForbiddenError:
    return ForbiddenError(Reason.INSTANCE_MISMATCH, "There is no such instance in this tenant.")


def _instance(reader: Reader, caller: Caller, body: Heartbeat) -> InstanceRow:
    instance = reader.instance(caller.tenant_id, body.instance_id)
    if body.tenant_id != caller.tenant_id or instance is None:
        raise _unknown()
    if caller.role is Role.INSTANCE and caller.instance_id != body.instance_id:
        raise ForbiddenError(Reason.INSTANCE_MISMATCH, "An instance sends its own heartbeats only.")
    if (body.lease_id, body.epoch) != (instance.lease_id, instance.epoch):
        raise ForbiddenError(Reason.EPOCH_STALE, "The heartbeat is of another lease or epoch.")
    return instance
