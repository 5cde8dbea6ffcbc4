"""Steps that happen once, as a session asks for them: new, done, in doubt, resolved, unanswered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.core.errors import ConflictError, InvalidInputError
from dragons.core.vocabulary import Outcome, Reason
from dragons.evidence.step import STEP_HAPPENED, STEP_NOT_HAPPENED, agent_step_key, dispatch_step_key
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import (
    ActionDenied,
    ControlPlaneUnreachable,
    SessionStateError,
    StepCompleted,
    StepInDoubt,
)
from dragons.sdk.instance import Instance
from dragons.sdk.once import AGENT, Step, earlier, plain_result, returned
from dragons.wire.authority import Authorize, Authorized, StepView
from tests.support.expect import fails
from tests.unit.sdk.kit import READ, WRITE, Plane

BEGUN = StepView(instance_id="i", epoch=1, begun_at="t", decision_id="dcn_" + "1" * 32)


@pytest.fixture
def core(plane: Plane, instance: Instance) -> SessionCore:
    made = SessionCore(instance, "the goal")
    plane.run(made.open_steps())
    return made


def begin(plane: Plane, core: SessionCore, capability: str = WRITE, scope: str = "dispatch") -> Step:
    step = core.prepare_step(capability, core.step_name("may", "post-17", scope), "journal", {"entry": 17})
    plane.run(core.begin_steps(step))
    return step


def resolve(plane: Plane, core: SessionCore, *, happened: bool, **given: Any) -> Step:
    name = core.step_name("may", "post-17", "dispatch")
    step = core.prepare_resolution(name, happened, given.get("evidence", {}), given.get("result"))
    plane.run(core.begin_steps(step))
    core.finish(step, None)
    return step


def asked(plane: Plane) -> list[Authorize]:
    return [
        msgspec.json.decode(call.body, type=Authorize) for call in plane.calls if call.path == "/v1/decisions"
    ]


def stands(plane: Plane, reason: Reason, **changes: object) -> None:
    step = msgspec.structs.replace(BEGUN, **changes)
    plane.answer_decision = Authorized(allowed=False, reason=reason.value, detail="why", step=step)


def payload(core: SessionCore, payload_hash: str) -> dict[str, Any]:
    kept = core.instance.place.store.payload(payload_hash)
    assert kept is not None
    value: dict[str, Any] = msgspec.json.decode(kept.body)
    return value


def test_a_step_is_asked_for_whatever_its_risk_and_cites_its_decision(
    plane: Plane, core: SessionCore
) -> None:
    allowed = plane.answer_decision
    step = begin(plane, core, READ)
    step.set_result({"posted": 1})
    core.finish(step, None)
    plane.run(core.instance.drain_steps())
    (question,), (claim,) = asked(plane), plane.claims
    key = dispatch_step_key(core.instance.authority.lease.dispatch_id, "may", "post-17")
    assert (question.step_key, question.resolves, len(question.attempt)) == (key, "", 32)
    assert (claim.step_key, claim.decision_id, claim.outcome) == (key, allowed.decision_id, Outcome.COMPLETED)
    assert claim.reason is msgspec.UNSET
    told = payload(core, claim.payload_hash)
    assert (told["action"]["task"], told["action"]["step"]) == ("may", "post-17")
    assert told["outcome"]["result"] == {"posted": 1}


def test_a_task_may_be_the_agents(plane: Plane, core: SessionCore) -> None:
    begin(plane, core, scope=AGENT)
    assert asked(plane)[0].step_key == agent_step_key("reconciler", "may", "post-17")
    with fails(InvalidInputError, "step_malformed"):
        begin(plane, core, scope="tenant")


def test_what_may_not_happen_is_not_asked_for(plane: Plane, core: SessionCore) -> None:
    with pytest.raises(ActionDenied) as caught:
        begin(plane, core, "write:other")
    assert caught.value.reason == Reason.CAPABILITY_NOT_LEASED
    assert not asked(plane)


def test_a_step_that_is_done_is_told_with_its_result(plane: Plane, core: SessionCore) -> None:
    step = begin(plane, core)
    step.set_result({"posted": 1})
    core.finish(step, None)
    plane.run(core.instance.drain_steps())
    stands(
        plane,
        Reason.STEP_COMPLETED,
        receipt_id="rcp_x",
        completed_at="then",
        payload_hash=plane.claims[0].payload_hash,
    )
    with pytest.raises(StepCompleted) as caught:
        begin(plane, core)
    done = caught.value
    assert (done.receipt_id, done.completed_at, done.result, done.result_known) == (
        "rcp_x",
        "then",
        {"posted": 1},
        True,
    )
    assert earlier(done) == {"posted": 1}
    # Nothing was denied, so nothing goes on the record.
    plane.run(core.instance.drain_steps())
    assert len(plane.claims) == 1


def test_a_result_that_is_not_on_this_machine_is_not_made_up(plane: Plane, core: SessionCore) -> None:
    stands(plane, Reason.STEP_COMPLETED, receipt_id="rcp_x", payload_hash="ab" * 32)
    with pytest.raises(StepCompleted) as caught:
        begin(plane, core)
    assert (caught.value.result, caught.value.result_known) == (None, False)
    with pytest.raises(StepCompleted):
        earlier(caught.value)


def test_a_payload_that_was_changed_is_no_result(plane: Plane, core: SessionCore) -> None:
    step = begin(plane, core)
    core.finish(step, None)
    plane.run(core.instance.drain_steps())
    payload_hash = plane.claims[0].payload_hash
    core.instance.place.store._db.execute("UPDATE payload SET body = X'7b7d'")
    stands(plane, Reason.STEP_COMPLETED, receipt_id="rcp_x", payload_hash=payload_hash)
    with pytest.raises(StepCompleted) as caught:
        begin(plane, core)
    assert not caught.value.result_known


def test_a_claim_that_waits_here_answers_for_the_control_plane(plane: Plane, core: SessionCore) -> None:
    step = begin(plane, core)
    step.set_result({"posted": 1})
    core.finish(step, None)
    stands(plane, Reason.STEP_IN_DOUBT, running=True)
    with pytest.raises(StepCompleted) as caught:
        begin(plane, core)
    assert (caught.value.result, caught.value.receipt_id) == ({"posted": 1}, "")


def test_a_step_in_doubt_is_a_denial_on_the_record(plane: Plane, core: SessionCore) -> None:
    stands(plane, Reason.STEP_IN_DOUBT)
    with pytest.raises(StepInDoubt) as caught:
        begin(plane, core)
    assert (caught.value.reason, caught.value.detail, caught.value.running) == ("step_in_doubt", "why", False)
    assert "resolve_step" in caught.value.fix
    plane.run(core.instance.drain_steps())
    (claim,) = plane.claims
    assert (claim.outcome, claim.reason, claim.step_key) == (
        Outcome.DENIED,
        "step_in_doubt",
        msgspec.UNSET,
    )


def test_another_thread_may_be_at_it(plane: Plane, core: SessionCore) -> None:
    stands(plane, Reason.STEP_IN_DOUBT, running=True)
    with pytest.raises(StepInDoubt) as caught:
        begin(plane, core)
    assert caught.value.running


@pytest.mark.parametrize("happened", [True, False])
def test_a_doubt_is_resolved_by_its_name(plane: Plane, core: SessionCore, *, happened: bool) -> None:
    allowed = plane.answer_decision
    stands(plane, Reason.STEP_IN_DOUBT)
    with pytest.raises(StepInDoubt):
        begin(plane, core)
    plane.answer_decision = allowed
    resolve(plane, core, happened=happened, evidence={"bank": b"statement"}, result={"n": 1})
    assert asked(plane)[-1].resolves == BEGUN.decision_id
    plane.run(core.instance.drain_steps())
    claim = plane.claims[-1]
    assert (claim.outcome, claim.reason, claim.decision_id, len(claim.evidence)) == (
        Outcome.COMPLETED if happened else Outcome.FAILED,
        STEP_HAPPENED if happened else STEP_NOT_HAPPENED,
        allowed.decision_id,
        1,
    )
    outcome = payload(core, claim.payload_hash)["outcome"]
    assert (outcome["reason"], outcome["result"]) == (claim.reason, {"n": 1})
    # Said once.
    with fails(SessionStateError, "step_not_in_doubt"):
        resolve(plane, core, happened=happened)


def test_a_body_that_failed_leaves_a_doubt_to_resolve(plane: Plane, core: SessionCore) -> None:
    step = begin(plane, core)
    core.finish(step, ValueError("the line went dead"))
    resolve(plane, core, happened=False)
    assert asked(plane)[-1].resolves == step.decision_id


def test_only_a_doubt_that_was_met_is_resolved(plane: Plane, core: SessionCore, tmp_path: Path) -> None:
    with fails(SessionStateError, "step_not_in_doubt"):
        resolve(plane, core, happened=True)
    core.finish(begin(plane, core), ValueError())
    before = len(asked(plane))
    with pytest.raises(FileNotFoundError):
        resolve(plane, core, happened=True, evidence={"bank": tmp_path / "missing"})
    assert len(asked(plane)) == before


def test_a_question_without_an_answer_is_asked_again(plane: Plane, core: SessionCore) -> None:
    plane.errors["/v1/decisions"] = ControlPlaneUnreachable("u", "away", maybe_recorded=True)
    with pytest.raises(ActionDenied) as caught:
        begin(plane, core)
    assert caught.value.reason == Reason.AUTHORITY_STALE
    plane.errors.clear()
    begin(plane, core)
    begin(plane, core)
    first, again, other = [question.attempt for question in asked(plane)]
    assert first == again
    assert other != first
    assert all(call.again for call in plane.calls if call.path == "/v1/decisions")


def test_an_unanswered_resolution_is_never_taken_for_a_beginning(plane: Plane, core: SessionCore) -> None:
    core.finish(begin(plane, core), ValueError())
    plane.errors["/v1/decisions"] = ControlPlaneUnreachable("u", "away", maybe_recorded=True)
    with pytest.raises(ActionDenied):
        resolve(plane, core, happened=False)
    plane.errors.clear()
    begin(plane, core)
    resolve(plane, core, happened=False)
    _, unanswered, begun, resolved = asked(plane)
    assert begun.attempt != unanswered.attempt
    assert resolved.attempt == unanswered.attempt


def test_a_conflict_is_told_as_it_is(plane: Plane, core: SessionCore) -> None:
    core.finish(begin(plane, core), ValueError())
    plane.errors["/v1/decisions"] = ConflictError("step_not_in_doubt", "no")
    with fails(ConflictError, "step_not_in_doubt"):
        resolve(plane, core, happened=True)


@pytest.mark.parametrize(
    ("result", "value"), [(None, None), ({"returned": 3}, 3), ({"a": 1}, {"a": 1}), ({}, {})]
)
def test_what_a_function_returned_comes_back(result: dict[str, Any] | None, value: object) -> None:
    assert returned(result) == value
    assert earlier(StepCompleted(READ, result=result, result_known=True)) == value


def test_work_that_was_not_done_yet_is_no_result() -> None:
    async def later() -> None: ...

    waiting = later()
    for value in (waiting, (number for number in (1, 2))):
        with fails(InvalidInputError, "function_deferred"):
            plain_result(value)
    waiting.close()
    assert plain_result({"a": 1}) == {"a": 1}
    assert plain_result(object()) is None


def test_a_claim_that_was_sent_while_the_answer_came_is_not_forgotten(
    plane: Plane, core: SessionCore, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = begin(plane, core)
    core.finish(step, None)
    # It waits when the question is asked, and has its receipt when the answer is there.
    waiting, before = instance.place.store.waiting_step(step.name.key), len(asked(plane))
    assert waiting is not None
    monkeypatch.setattr(
        instance.place.store, "waiting_step", lambda _: waiting if len(asked(plane)) == before else None
    )
    stands(plane, Reason.STEP_IN_DOUBT, running=True)
    with pytest.raises(StepCompleted):
        begin(plane, core)
