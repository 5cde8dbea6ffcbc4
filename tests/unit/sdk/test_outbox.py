from __future__ import annotations

from typing import Any, Self

import msgspec
import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    StorageError,
    UnauthenticatedError,
)
from dragons.core.vocabulary import Outcome, Reason
from dragons.sdk import outbox
from dragons.sdk.errors import ControlPlaneUnreachable, UnexpectedAnswerError
from dragons.sdk.instance import Instance
from dragons.sdk.localstore import Entry, LocalStore
from dragons.sdk.outbox import BATCH_BYTES_MAX, Drained, drain_outbox, drain_steps
from dragons.sdk.statements import Cycle
from dragons.wire.base import BATCH_MAX
from dragons.wire.evidence import ClaimResults, Claims
from tests.unit.sdk.kit import READ, WRITE, Plane

SESSION_ID = "ses_" + "0" * 32


def queue(instance: Instance, count: int, action: str = READ, size: int = 0) -> list[Entry]:
    entries = []
    for _ in range(count):
        cycle = Cycle(action, "r", {}, 1, 2, 1, Outcome.COMPLETED, {}, reason="x" * min(size, 400))
        made = instance.stating.claim(SESSION_ID, "goal", cycle)
        instance.place.store.commit([made.payload], [made.entry])
        entries.append(made.entry)
    return entries


def close(instance: Instance) -> Entry:
    made = instance.stating.closing(SESSION_ID, {"goal": "g"}, Outcome.COMPLETED, [], 1)
    instance.place.store.commit([made.payload], [made.entry])
    return made.entry


def drain(plane: Plane, instance: Instance) -> Drained:
    found: Drained = plane.run(instance.drain_steps())
    return found


def paths(plane: Plane) -> list[str]:
    return [call.path for call in plane.calls]


def test_everything_is_sent_in_order_and_in_batches(plane: Plane, instance: Instance) -> None:
    entries = queue(instance, BATCH_MAX + 3)
    closing = close(instance)
    assert drain(plane, instance) == Drained(sent=BATCH_MAX + 4)
    assert paths(plane) == ["/v1/receipts", "/v1/receipts", "/v1/sessions/closings"]
    assert [claim.claim_id for claim in plane.claims] == [entry.name for entry in entries]
    assert instance.place.store.receipt(closing.name) is not None
    assert drain(plane, instance) == Drained()
    assert len(plane.calls) == 3


def test_a_batch_fits_a_request(plane: Plane, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = queue(instance, 5)
    one = len(entries[0].statement.payload)
    monkeypatch.setattr(outbox, "BATCH_BYTES_MAX", 2 * one + 10)
    drain(plane, instance)
    assert paths(plane) == ["/v1/receipts"] * 3
    assert BATCH_BYTES_MAX < 2_000_000


def test_nothing_leaves_while_the_control_plane_is_away(plane: Plane, instance: Instance) -> None:
    queue(instance, 3)
    plane.away = True
    drained = drain(plane, instance)
    assert (drained.sent, drained.waiting) == (0, 3)
    assert isinstance(drained.error, ControlPlaneUnreachable)
    plane.away = False
    assert drain(plane, instance).sent == 3
    assert len(plane.claims) == 3


def test_an_answer_that_was_lost_doubles_nothing(plane: Plane, instance: Instance) -> None:
    queue(instance, 3)
    answered = plane._posted

    def lost(call: Any) -> Any:
        answered(call)
        raise ControlPlaneUnreachable("u", "lost", maybe_recorded=True)

    plane._posted = lost  # type: ignore[method-assign]
    assert drain(plane, instance).waiting == 3
    plane._posted = answered  # type: ignore[method-assign]
    assert drain(plane, instance).sent == 3
    assert len(plane.claims) == 3
    assert instance.place.store.waiting() == 0


def test_a_refused_claim_does_not_hold_up_the_others(plane: Plane, instance: Instance) -> None:
    queue(instance, 2)
    queue(instance, 1, WRITE)
    queue(instance, 1)
    plane.refused_claims[WRITE] = Reason.REVOKED_LEASE
    assert drain(plane, instance) == Drained(sent=3, refused=1)
    assert [one.code for one in instance.place.store.refused()] == ["lease_revoked"]


def test_one_bad_entry_in_a_batch_is_found_alone(plane: Plane, instance: Instance) -> None:
    entries = queue(instance, 3)
    answered = plane._posted

    def picky(call: Any) -> Any:
        if entries[1].name.encode() in _payloads(call):
            raise InvalidInputError("statement_malformed", "bad")
        return answered(call)

    plane._posted = picky  # type: ignore[method-assign]
    drained = drain(plane, instance)
    assert (drained.sent, drained.refused, drained.waiting) == (2, 1, 0)
    assert [one.entry.name for one in instance.place.store.refused()] == [entries[1].name]


def _payloads(call: Any) -> bytes:
    return b"".join(one.payload for one in msgspec.json.decode(call.body, type=Claims).claims)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ConflictError(Reason.SESSION_CLOSED, ""), True),
        (UnauthenticatedError("token_expired", ""), True),
        (ForbiddenError(Reason.LEASE_MISSING, ""), True),
        (ForbiddenError("role_forbidden", ""), False),
        (StorageError("down", ""), False),
    ],
)
def test_a_closing_that_comes_too_late_is_set_aside(
    plane: Plane, instance: Instance, error: Any, *, final: bool
) -> None:
    close(instance)
    plane.errors["/v1/sessions/closings"] = error
    drained = drain(plane, instance)
    assert (drained.refused, drained.waiting) == ((1, 0) if final else (0, 1))


@pytest.mark.parametrize(
    "error", [UnauthenticatedError("token_invalid", ""), ForbiddenError("role_forbidden", "")]
)
def test_claims_wait_for_a_credential_that_works(plane: Plane, instance: Instance, error: Any) -> None:
    queue(instance, 1)
    plane.errors["/v1/receipts"] = error
    assert drain(plane, instance).waiting == 1
    plane.errors.clear()
    assert drain(plane, instance).sent == 1


def test_an_answer_of_another_length_settles_nothing(plane: Plane, instance: Instance) -> None:
    queue(instance, 2)
    plane._posted = lambda _: ClaimResults(results=[])  # type: ignore[method-assign]
    drained = drain(plane, instance)
    assert isinstance(drained.error, UnexpectedAnswerError)
    assert drained.waiting == 2


def test_only_one_sends_at_a_time(
    plane: Plane, instance: Instance, store: LocalStore, clock: ManualClock
) -> None:
    queue(instance, 2)
    store.take_turn(instance.instance_id, "1-other", clock.now_ms())
    assert drain(plane, instance) == Drained(waiting=2)
    assert plane.calls == []
    assert plane.run(drain_steps(store, instance.instance_id, "1-me", clock, alone=True)).sent == 2


def test_leftovers_are_sent_and_keys_destroyed(
    plane: Plane, instance: Instance, store: LocalStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(instance, 2)
    used: list[tuple[str, str, str]] = []

    class Client:
        def __init__(self, url: str, credential: Any, **_: object) -> None:
            used.append((url, credential.token, credential.signer.key_id))
            self.transport = plane

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return

    monkeypatch.setattr(outbox, "InstanceClient", Client)
    results = drain_outbox(store, clock, url="http://moved")
    assert results == {instance.instance_id: Drained(sent=2)}
    assert used == [("http://moved", "token", instance.signer.key_id)]
    # Its process may live on: the key stays until the lease is over.
    assert len(store.holders()) == 1
    clock.advance(900_000)
    assert drain_outbox(store, clock) == {}
    assert store.holders() == []
