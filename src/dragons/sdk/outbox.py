"""Sending what waits in the local store: in order, in batches, exactly once by the claims' ids.

An entry leaves the store when the control plane has answered for it. What the control plane refuses
for good is set aside with its reason and never holds up what follows. Never drops anything else.
"""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from dragons.core.clock import Clock
from dragons.core.errors import (
    ConflictError,
    DragonsError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Reason
from dragons.evidence.receipt import CLAIM
from dragons.sdk import calls
from dragons.sdk.client import InstanceClient
from dragons.sdk.errors import UnexpectedAnswerError
from dragons.sdk.localstore import LocalStore, Queued, new_owner
from dragons.sdk.steps import Steps, run
from dragons.sdk.transport import Possession, Retries
from dragons.wire.base import BATCH_MAX
from dragons.wire.evidence import ClaimResult

# Base64 and JSON make a statement about half as long again; a request holds 4,000,000 bytes.
BATCH_BYTES_MAX = 1_500_000
_FOR_GOOD = (ConflictError, NotFoundError, InvalidInputError)


class Drained(NamedTuple):
    """What one run did; `waiting` entries could not be sent, because of `error` or another sender."""

    sent: int = 0
    refused: int = 0
    waiting: int = 0
    error: DragonsError | None = None


def drain_steps(
    store: LocalStore, instance_id: str, owner: str, clock: Clock, *, alone: bool = False
) -> Steps[Drained]:
    """Send everything that waits for one instance; stops at the first failure that may pass.

    `alone` says that every other sender of this instance has ended, whatever the store says.
    """
    if not store.waiting(instance_id):
        return Drained()
    if not store.take_turn(instance_id, owner, clock.now_ms(), force=alone):
        return Drained(waiting=store.waiting(instance_id))
    sent = refused = 0
    try:
        while batch := _batch(store.head(instance_id, BATCH_MAX)):
            one_sent, one_refused = yield from _send(store, instance_id, batch)
            sent += one_sent
            refused += one_refused
            store.take_turn(instance_id, owner, clock.now_ms())
    except DragonsError as error:
        return Drained(sent, refused, store.waiting(instance_id), error)
    finally:
        store.end_turn(instance_id, owner)
    return Drained(sent, refused)


def drain_outbox(store: LocalStore, clock: Clock, *, url: str = "") -> dict[str, Drained]:
    """Send what ended processes left behind, with the keys they left; by instance.

    An instance's key is destroyed when nothing of it waits any more. `url` goes where the control
    plane is now, if it has moved since.
    """
    results = {}
    for holder in store.holders():
        signer = LocalSigner.from_seed(holder.seed, KeyRole.INSTANCE)
        credential = Possession(holder.token, signer)
        with InstanceClient(
            url or holder.url, credential, clock=clock, retries=Retries(attempts=1)
        ) as client:
            steps = drain_steps(store, holder.instance_id, new_owner(), clock)
            drained = run(steps, client.transport.send)
        if holder.ended or holder.expires_ms <= clock.now_ms():
            store.end_holder(holder.instance_id)
        if drained.sent or drained.refused or drained.waiting:
            results[holder.instance_id] = drained
    return results


def _batch(head: list[Queued]) -> list[Queued]:
    """The next entries that fit one request: claims together, anything else alone."""
    if not head or head[0].entry.kind != CLAIM or head[0].attempts:
        # After a failure one at a time, so that one bad entry can't hold up its neighbours.
        return head[:1]
    batch: list[Queued] = []
    size = 0
    for queued in takewhile(lambda one: one.entry.kind == CLAIM, head):
        size += len(queued.entry.statement.payload)
        if batch and size > BATCH_BYTES_MAX:
            break
        batch.append(queued)
    return batch


def _send(store: LocalStore, instance_id: str, batch: list[Queued]) -> Steps[tuple[int, int]]:
    """Send one batch and settle it; returns how many were taken and how many refused."""
    ids = [queued.id for queued in batch]
    first = batch[0].entry
    try:
        if first.kind == CLAIM:
            answer = yield calls.append([queued.entry.statement for queued in batch])
            return _settle(store, instance_id, batch, answer.results)
        recorded = yield calls.record("/v1/sessions/closings", first.statement)
    except DragonsError as error:
        store.failed(ids, error.code)
        if len(ids) > 1 and isinstance(error, _FOR_GOOD):
            return 0, 0
        if _is_final(first.kind, error):
            store.refuse([(ids[0], error.code, error.message)])
            return 0, 1
        raise
    store.acknowledge(instance_id, [(first, recorded)])
    return 1, 0


def _settle(
    store: LocalStore, instance_id: str, batch: list[Queued], results: list[ClaimResult]
) -> tuple[int, int]:
    if len(results) != len(batch):
        raise UnexpectedAnswerError("The control plane", f"{len(results)} results for {len(batch)} claims")
    pairs = list(zip(batch, results, strict=True))
    taken = [(one.entry, result.receipt) for one, result in pairs if result.receipt is not None]
    refused = [(one.id, result.code, result.detail) for one, result in pairs if result.receipt is None]
    store.acknowledge(instance_id, taken)
    if refused:
        store.refuse(refused)
    return len(taken), len(refused)


def _is_final(kind: str, error: DragonsError) -> bool:
    if isinstance(error, _FOR_GOOD):
        return True
    # Only claims may be reported after the token has expired; the control plane ends the session itself.
    return kind != CLAIM and (
        isinstance(error, UnauthenticatedError)
        or (isinstance(error, ForbiddenError) and error.code in set(Reason))
    )
