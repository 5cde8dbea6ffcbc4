"""Heartbeats: many small signed signals become one write; only changes of state become receipts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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


@dataclass(slots=True)
class Beats:
    """What became of a batch: how many were accepted, and by position the code of the others."""

    accepted: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def accept_heartbeats(tx: Transaction, issuer: Signer, caller: Caller, batch: list[Envelope]) -> Beats:
    """Take in a batch; each heartbeat stands for itself, by its instance's own signature."""
    result = Beats()
    for position, envelope in enumerate(batch):
        try:
            _accept(tx, issuer, caller, envelope)
        except DragonsError as error:
            result.refused[position] = error.code
        else:
            result.accepted += 1
    return result


def _accept(tx: Transaction, issuer: Signer, caller: Caller, envelope: Envelope) -> None:
    body = envelope.body(HEARTBEAT, Heartbeat)
    instance = _instance(tx, caller, body)
    key = PublicKey(instance.public_key)
    if len(envelope.signatures) != 1 or not is_signed_by(envelope, envelope.signatures[0].keyid, key):
        raise ForbiddenError("signature_invalid", "The heartbeat is not signed by its instance.")
    if abs(parse_time(body.sent_at) - tx.now_ms) > DATE_SKEW_MS:
        raise InvalidInputError("date_implausible", "The heartbeat's time is far from the control plane's.")
    if body.sequence <= instance.beat_sequence:
        raise InvalidInputError("heartbeat_old", f"Heartbeat {instance.beat_sequence} was seen already.")
    over = ended(tx, standing_of(tx, caller.tenant_id, body.instance_id), tx.now_ms)
    if over is not None:
        raise ForbiddenError(over.reason, "The instance has no authority; its heartbeat does not count.")
    waiting = body.waiting
    after = replace(
        instance,
        pulse_ms=tx.now_ms,
        beat_sequence=body.sequence,
        beats=instance.beats + 1,
        last_beat=encode(envelope),
        waiting_for="" if isinstance(waiting, msgspec.UnsetType) else waiting.reason,
    )
    progressed = False
    if not isinstance(body.progress, msgspec.UnsetType):
        after, progressed = _progress(tx, after, body.progress)
    tx.put_instance(after)
    until_ms = 0 if isinstance(waiting, msgspec.UnsetType) else parse_time(waiting.until)
    advance(tx, issuer, after, Beat(progressed, until_ms))


def _progress(tx: Transaction, instance: InstanceRow, seen: Progress) -> tuple[InstanceRow, bool]:
    """The instance with what it says of its progress, and whether that counts as verified.

    Receipts count when they are appended, by the ledger itself; a claim never counts.
    """
    if seen.sequence <= instance.progress_sequence:
        return instance, False
    after = replace(instance, progress_sequence=seen.sequence)
    counts = (
        seen.source != RECEIPTS
        and seen.source in policy_of(tx, instance.tenant_id, instance.agent).progress_sources
    )
    if not counts or seen.digest == instance.progress_digest:
        return after, False
    return replace(
        after, progress_ms=tx.now_ms, progress_source=seen.source, progress_digest=seen.digest
    ), True


def _instance(reader: Reader, caller: Caller, body: Heartbeat) -> InstanceRow:
    instance = reader.instance(caller.tenant_id, body.instance_id)
    if body.tenant_id != caller.tenant_id or instance is None:
        raise ForbiddenError(Reason.INSTANCE_MISMATCH, "There is no such instance in this tenant.")
    if caller.role is Role.INSTANCE and caller.instance_id != body.instance_id:
        raise ForbiddenError(Reason.INSTANCE_MISMATCH, "An instance sends its own heartbeats only.")
    if (body.lease_id, body.epoch) != (instance.lease_id, instance.epoch):
        raise ForbiddenError(Reason.EPOCH_STALE, "The heartbeat is of another lease or epoch.")
    return instance
