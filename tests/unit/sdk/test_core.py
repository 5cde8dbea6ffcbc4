from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, StorageError
from dragons.core.vocabulary import Outcome, Reason
from dragons.evidence.receipt import Claim, Closing
from dragons.sdk import core as core_module
from dragons.sdk.action import Action
from dragons.sdk.core import CATCH_UP_PAUSE_MS, DENIALS_TOGETHER_MS, SessionCore
from dragons.sdk.errors import ActionDenied, ControlPlaneUnreachable, SessionStateError
from dragons.sdk.instance import Instance
from dragons.sdk.statements import Evidence
from dragons.wire.authority import Authorized
from tests.unit.sdk.kit import MONEY, READ, WRITE, Plane


@pytest.fixture
def core(plane: Plane, instance: Instance) -> SessionCore:
    made = SessionCore(instance, "the goal")
    plane.run(made.open_steps())
    return made


def act(plane: Plane, core: SessionCore, capability: str = READ, **given: Any) -> Action:
    action = core.prepare(capability, given.get("resource", ""), given.get("arguments"))
    plane.run(core.begin_steps(action))
    return action


def denied(plane: Plane, core: SessionCore, capability: str, resource: str = "") -> str:
    with pytest.raises(ActionDenied) as caught:
        act(plane, core, capability, resource=resource)
    return caught.value.reason


def sent(plane: Plane, core: SessionCore) -> list[Claim]:
    plane.run(core.instance.drain_steps())
    return plane.claims


def payload(core: SessionCore, found: Claim | Closing) -> dict[str, Any]:
    kept = core.instance.place.store.payload(found.payload_hash)
    assert kept is not None
    value: dict[str, Any] = msgspec.json.decode(kept.body)
    return value


def test_the_goal_is_committed_before_anything_else(plane: Plane, core: SessionCore) -> None:
    assert [call.path for call in plane.calls] == ["/v1/revocations", "/v1/sessions"]
    assert core.session_id == plane.sessions[0].session_id
    assert plane.sessions[0].scope == core.instance.authority.lease.scope
    assert core.instance.place.store.receipt(core.session_id) is not None


def test_a_lost_answer_to_the_opening_is_no_failure(plane: Plane, instance: Instance) -> None:
    core = SessionCore(instance, "g")
    plane.errors["/v1/sessions"] = ConflictError("session_exists", "")
    plane.run(core.open_steps())
    act(plane, core)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ForbiddenError(Reason.REVOKED_LEASE, "no"), ActionDenied),
        (ForbiddenError("role_forbidden", "no"), ForbiddenError),
        (StorageError("down", "no"), StorageError),
    ],
)
def test_a_session_that_is_refused_is_not_open(
    plane: Plane, instance: Instance, error: Any, raised: Any
) -> None:
    core = SessionCore(instance, "g")
    plane.errors["/v1/sessions"] = error
    with pytest.raises(raised):
        plane.run(core.open_steps())
    with pytest.raises(SessionStateError):
        core.prepare(READ, "", None)
    core.close(None)
    assert instance.place.store.waiting() == 0


def test_a_goal_is_needed(instance: Instance) -> None:
    for goal in ("", "x" * 5_000):
        with pytest.raises(InvalidInputError):
            SessionCore(instance, goal)


def test_an_action_is_committed_when_it_ends(plane: Plane, core: SessionCore, clock: ManualClock) -> None:
    action = act(plane, core, resource="db", arguments={"day": "1"})
    action.add_evidence("rows", b"abc")
    action.set_result({"n": 1})
    clock.advance(250)
    core.finish(action, None)
    (claim,) = sent(plane, core)
    assert (claim.elapsed_ms, claim.outcome, claim.session_id) == (250, Outcome.COMPLETED, core.session_id)
    assert payload(core, claim)["outcome"] == {"status": "completed", "result": {"n": 1}}
    assert core.operations == {READ: 1}


def test_time_is_measured_where_the_wall_clock_jumps(
    plane: Plane, core: SessionCore, clock: ManualClock
) -> None:
    action = act(plane, core)
    clock.advance(40)
    clock.jump(-3_600_000)
    core.finish(action, None)
    (claim,) = sent(plane, core)
    assert claim.elapsed_ms == 40
    assert claim.started_at < claim.ended_at


def test_a_failure_is_told_in_the_payload_only(plane: Plane, core: SessionCore) -> None:
    core.finish(act(plane, core), ValueError("a secret"))
    (claim,) = sent(plane, core)
    assert claim.outcome is Outcome.FAILED
    assert claim.reason is msgspec.UNSET
    assert payload(core, claim)["outcome"]["error"] == {"type": "ValueError", "message": "a secret"}


def test_equal_denials_within_a_minute_are_two_claims(
    plane: Plane, core: SessionCore, clock: ManualClock
) -> None:
    for _ in range(5):
        clock.advance(100)
        assert denied(plane, core, "write:other") == Reason.CAPABILITY_NOT_LEASED
    assert [claim.count for claim in sent(plane, core)] == [msgspec.UNSET]
    clock.advance(DENIALS_TOGETHER_MS)
    core.flush_denials()
    first, rest = sent(plane, core)
    assert (first.outcome, first.reason) == (Outcome.DENIED, "capability_not_leased")
    assert rest.count == 4
    assert rest.started_at < rest.ended_at
    plane.run(core.instance.refresh_steps())
    denied(plane, core, "write:other")
    assert len(sent(plane, core)) == 3
    assert core.denied == {"write:other": "capability_not_leased"}


def test_different_denials_are_told_apart(plane: Plane, core: SessionCore) -> None:
    for resource in ("a", "b", "a"):
        denied(plane, core, "write:other", resource)
    denied(plane, core, "write:another", "a")
    assert len(sent(plane, core)) == 3
    core.close(None)
    assert [claim.count for claim in sent(plane, core)][3:] == [msgspec.UNSET]


def test_invented_resources_cannot_flood_the_ledger(
    plane: Plane, core: SessionCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_module, "DENIALS_KEPT_MAX", 20)
    for number in range(70):
        denied(plane, core, "write:other", str(number))
    core.close(None)
    assert len(sent(plane, core)) == 22
    assert plane.claims[-1].count == 49


def test_the_session_may_be_narrower_than_the_lease(plane: Plane, instance: Instance) -> None:
    core = SessionCore(instance, "g", scope=[READ])
    plane.run(core.open_steps())
    assert plane.sessions[0].scope == [READ]
    act(plane, core)
    assert denied(plane, core, WRITE) == Reason.SCOPE_EXCEEDED
    assert denied(plane, core, MONEY) == Reason.SCOPE_EXCEEDED
    assert "/v1/decisions" not in [call.path for call in plane.calls]


def test_high_risk_is_asked_every_time_and_cited(plane: Plane, core: SessionCore) -> None:
    for _ in range(2):
        core.finish(act(plane, core, MONEY), None)
    assert [call.path for call in plane.calls].count("/v1/decisions") == 2
    assert {claim.decision_id for claim in sent(plane, core)} == {plane.answer_decision.decision_id}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Authorized(allowed=False, reason="lease_revoked", detail="d"), Reason.REVOKED_LEASE),
        (Authorized(allowed=False, reason="unheard_of"), Reason.ONLINE_CHECK_REQUIRED),
        (Authorized(allowed=True), Reason.ONLINE_CHECK_REQUIRED),
        (ControlPlaneUnreachable("u", "away", maybe_recorded=True), Reason.AUTHORITY_STALE),
        (ForbiddenError(Reason.ORGANISM_STOPPED, ""), Reason.ORGANISM_STOPPED),
        (ForbiddenError("role_forbidden", ""), Reason.AUTHORITY_STALE),
    ],
)
def test_without_a_clear_yes_it_is_no(plane: Plane, core: SessionCore, answer: Any, reason: Reason) -> None:
    if isinstance(answer, Authorized):
        plane.answer_decision = answer
    else:
        plane.errors["/v1/decisions"] = answer
    assert denied(plane, core, MONEY) == reason
    assert sent(plane, core)[0].reason == reason


def test_a_process_that_only_slept_catches_up(plane: Plane, core: SessionCore, clock: ManualClock) -> None:
    clock.advance(6_000)
    act(plane, core)


def test_a_denied_action_does_not_ask_again_and_again(
    plane: Plane, core: SessionCore, clock: ManualClock
) -> None:
    clock.advance(6_000)
    plane.away = True
    for _ in range(3):
        assert denied(plane, core, READ) == Reason.AUTHORITY_STALE
    assert [call.path for call in plane.calls].count("/v1/revocations") == 2
    plane.away = False
    clock.advance(CATCH_UP_PAUSE_MS)
    act(plane, core)


def test_what_cannot_be_recorded_stops_the_session(plane: Plane, core: SessionCore) -> None:
    action = act(plane, core)
    core.instance.place.store.close()
    with pytest.raises(StorageError):
        core.finish(action, None)
    with pytest.raises(SessionStateError):
        core.prepare(READ, "", None)
    core.close(ValueError())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "completed"),
        (SystemExit(0), "completed"),
        (SystemExit(), "completed"),
        (SystemExit(2), "failed"),
        (KeyboardInterrupt(), "failed"),
        (ValueError("x"), "failed"),
    ],
)
def test_the_closing_says_how_it_ended(plane: Plane, core: SessionCore, error: Any, outcome: str) -> None:
    core.close(error)
    plane.run(core.instance.drain_steps())
    (closing,) = plane.closings
    assert closing.outcome.value == outcome
    told = payload(core, closing)
    assert told["goal"] == "the goal"
    assert ("error" in told["outcome"]) is (outcome == "failed")
    core.close(None)
    assert core.instance.place.store.waiting() == 0


def test_a_closing_may_carry_a_summary(plane: Plane, core: SessionCore) -> None:
    evidence = [Evidence("stdout", "ab" * 32, 3)]
    core.close(None, outcome=Outcome.FAILED, summary={"exit_status": 3}, evidence=evidence)
    plane.run(core.instance.drain_steps())
    (closing,) = plane.closings
    assert (closing.outcome, closing.evidence) == (Outcome.FAILED, ["ab" * 32])
    assert payload(core, closing)["summary"] == {"exit_status": 3}


def test_a_shared_session_is_the_launchers_to_close(plane: Plane, instance: Instance) -> None:
    core = SessionCore(instance, "g", shared_session_id="ses_" + "1" * 32)
    plane.run(core.open_steps())
    core.finish(act(plane, core), None)
    denied(plane, core, "write:other")
    denied(plane, core, "write:other")
    core.close(None)
    assert [claim.session_id for claim in sent(plane, core)] == ["ses_" + "1" * 32] * 3
    assert (plane.sessions, plane.closings) == ([], [])
