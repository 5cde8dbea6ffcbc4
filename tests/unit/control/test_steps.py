"""A step that happens once: begun, reported, in doubt, resolved; by this instance, by a successor, late."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.control.append import ClaimReceipt
from dragons.control.authorize import Authorized
from dragons.control.rows import StepRow
from dragons.control.steps import Asker, StepStands, StepWish, Verdict, judge_step
from dragons.core.errors import ConflictError
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, Outcome, Reason
from dragons.evidence.receipt import Decision
from dragons.evidence.step import STEP_HAPPENED, STEP_NOT_HAPPENED, dispatch_step_key
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

WRITE, PAY = "write:ledger", "pay:supplier"
KEY = dispatch_step_key("dsp_" + "0" * 32, "may-2026", "post-entry-17")


@pytest.fixture
def first(acme: Tenancy) -> Agent:
    return acme.started(acme.ready(scope=[WRITE, PAY]))


def successor(acme: Tenancy, agent: Agent) -> Agent:
    """The next instance of the agent's dispatch; the one before is fenced by it."""
    row = acme.instance(agent)
    return acme.started(make_manifest(row.agent), dispatch_id=row.dispatch_id)


def ask(acme: Tenancy, agent: Agent, action: str = WRITE, **wish: str) -> Any:
    return acme.authorize(agent, action, wish=StepWish(**{"step_key": KEY, **wish}))


def begin(acme: Tenancy, agent: Agent, action: str = WRITE, **wish: str) -> str:
    found = ask(acme, agent, action, **wish)
    assert isinstance(found, Authorized), found
    return found.decision_id


def report(acme: Tenancy, agent: Agent, decision_id: str, action: str = WRITE, **changes: object) -> Any:
    return acme.work(agent, action, **{"decision_id": decision_id, "step_key": KEY, **changes})


def in_doubt(found: object, decision_id: str) -> bool:
    return (
        isinstance(found, StepStands)
        and found.refused is not None
        and found.refused.reason is Reason.STEP_IN_DOUBT
        and found.row.decision_id == decision_id
    )


def completed(acme: Tenancy) -> list[str]:
    return [one.receipt_id for one in acme.receipts(Kind.WORK) if one.outcome is Outcome.COMPLETED]


# --- the ordinary course ----------------------------------------------------------------------------


def test_a_new_step_begins_and_its_claim_completes_it(plane: Plane, acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first)
    assert acme.statements(Kind.ACTION_AUTHORIZED, Decision)[0].step_key == KEY
    done = report(acme, first, decision_id)
    assert isinstance(done, ClaimReceipt)
    row = plane.read(lambda reader: reader.step(acme.tenant_id, KEY))
    assert row is not None
    assert (row.receipt_id, row.completed_ms, row.decision_id) == (
        done.appended.receipt_id,
        plane.clock.now_ms(),
        decision_id,
    )
    assert_sound(plane, acme)


def test_a_completed_step_is_answered_with_its_receipt_and_leaves_no_other(
    plane: Plane, acme: Tenancy, first: Agent
) -> None:
    done = report(acme, first, begin(acme, first), payload_hash="ab" * 32)
    found = [ask(acme, first), ask(acme, successor(acme, first))]
    for one in found:
        assert isinstance(one, StepStands)
        assert (one.refused, one.row.receipt_id, one.payload_hash) == (
            None,
            done.appended.receipt_id,
            "ab" * 32,
        )
    assert not acme.denials()
    assert len(acme.receipts(Kind.ACTION_AUTHORIZED)) == 1


def test_a_question_that_is_asked_again_is_answered_as_before(acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first, attempt="one")
    assert begin(acme, first, attempt="one") == decision_id
    assert len(acme.receipts(Kind.ACTION_AUTHORIZED)) == 1
    found = ask(acme, first, attempt="two")
    assert in_doubt(found, decision_id)
    assert found.running
    report(acme, first, decision_id)
    assert ask(acme, first, attempt="one").refused is None


def test_the_same_claim_again_completes_nothing_twice(plane: Plane, acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first)
    claim = acme.claim(first, WRITE, decision_id=decision_id, step_key=KEY)
    done = acme.append(first, claim)
    again = acme.append(first, claim)
    assert isinstance(done, ClaimReceipt)
    assert again == done._replace(known=True)
    other = report(acme, first, decision_id)
    assert is_refused(other, Reason.STEP_COMPLETED, done.appended.receipt_id)
    assert [one.reason for one in acme.denials()] == ["step_completed"]
    assert len(completed(acme)) == 1
    assert_sound(plane, acme)


@pytest.mark.parametrize("agent_without", ["capability", "session"])
def test_without_authority_a_step_says_nothing(acme: Tenancy, first: Agent, agent_without: str) -> None:
    report(acme, first, begin(acme, first))
    if agent_without == "session":
        acme.close(first)
        assert is_refused(ask(acme, first), Reason.SESSION_CLOSED)
    else:
        assert is_refused(ask(acme, first, "send:email"), Reason.CAPABILITY_NOT_LEASED)


# --- in doubt ---------------------------------------------------------------------------------------


def test_a_step_that_its_begetter_never_reported_is_in_doubt(
    plane: Plane, acme: Tenancy, first: Agent
) -> None:
    decision_id = begin(acme, first)
    second = successor(acme, first)
    found = ask(acme, second)
    assert in_doubt(found, decision_id)
    assert not found.running
    assert first.instance_id in found.refused.detail
    assert "epoch 1" in found.refused.detail
    assert [one.reason for one in acme.denials()] == ["step_in_doubt"]
    assert_sound(plane, acme)


def test_a_failed_step_is_in_doubt_for_its_own_instance_too(acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first)
    assert isinstance(report(acme, first, decision_id, outcome=Outcome.FAILED), ClaimReceipt)
    found = ask(acme, first)
    assert in_doubt(found, decision_id)
    assert not found.running


def test_a_step_that_its_session_abandoned_is_in_doubt(acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first)
    acme.close(first)
    acme.open(first)
    assert in_doubt(ask(acme, first), decision_id)


@pytest.mark.parametrize("action", [WRITE, PAY])
def test_what_did_not_happen_may_begin_again(plane: Plane, acme: Tenancy, first: Agent, action: str) -> None:
    doubtful = begin(acme, first, action)
    second = successor(acme, first)
    resolving = begin(acme, second, action, resolves=doubtful)
    said = report(acme, second, resolving, action, outcome=Outcome.FAILED, reason=STEP_NOT_HAPPENED)
    assert isinstance(said, ClaimReceipt)
    assert isinstance(report(acme, second, begin(acme, second, action), action), ClaimReceipt)
    assert len(completed(acme)) == 1
    assert_sound(plane, acme)


@pytest.mark.parametrize("action", [WRITE, PAY])
def test_what_happened_is_completed_by_who_says_so(
    plane: Plane, acme: Tenancy, first: Agent, action: str
) -> None:
    doubtful = begin(acme, first, action)
    second = successor(acme, first)
    resolving = begin(acme, second, action, resolves=doubtful)
    said = report(acme, second, resolving, action, reason=STEP_HAPPENED)
    found = ask(acme, second, action)
    assert isinstance(found, StepStands)
    assert (found.refused, found.row.receipt_id) == (None, said.appended.receipt_id)
    assert_sound(plane, acme)


def test_a_doubt_is_resolved_once_and_by_its_name(acme: Tenancy, first: Agent) -> None:
    doubtful = begin(acme, first)
    second = successor(acme, first)
    with fails(ConflictError, "step_not_in_doubt"):
        ask(acme, second, resolves="dcn_" + "0" * 32)
    begin(acme, second, resolves=doubtful)
    with fails(ConflictError, "step_not_in_doubt"):
        ask(acme, second, resolves=doubtful)
    with fails(ConflictError, "step_not_in_doubt"):
        acme.authorize(second, WRITE, wish=StepWish("cd" * 32, resolves=doubtful))


def test_who_dies_while_resolving_leaves_the_doubt(acme: Tenancy, first: Agent) -> None:
    doubtful = begin(acme, first)
    second = successor(acme, first)
    resolving = begin(acme, second, resolves=doubtful)
    third = successor(acme, second)
    assert in_doubt(ask(acme, third), resolving)


def test_a_failed_report_alone_says_not_that_nothing_happened(acme: Tenancy, first: Agent) -> None:
    doubtful = begin(acme, first)
    report(acme, first, doubtful, outcome=Outcome.FAILED, reason="the connection was lost")
    assert in_doubt(ask(acme, first), doubtful)


def test_another_running_instance_is_not_overruled(acme: Tenancy, first: Agent) -> None:
    # A key of the agent, beyond one dispatch: both may act.
    doubtful = begin(acme, first)
    other = acme.started(make_manifest())
    assert in_doubt(ask(acme, other), doubtful)
    assert in_doubt(ask(acme, other, resolves=doubtful), doubtful)
    acme.release(first)
    begin(acme, other, resolves=doubtful)


def test_a_key_of_another_agent_is_refused(plane: Plane, acme: Tenancy, first: Agent) -> None:
    report(acme, first, begin(acme, first))
    stranger = acme.started(acme.ready("payer", scope=[WRITE]))
    found = ask(acme, stranger)
    assert is_refused(found, Reason.STEP_IN_DOUBT, "reconciler")
    assert is_refused(report(acme, stranger, "dcn_" + "0" * 32), Reason.STEP_COMPLETED)
    assert_sound(plane, acme)


def test_keys_are_per_tenant(acme: Tenancy, globex: Tenancy, first: Agent) -> None:
    report(acme, first, begin(acme, first))
    other = globex.started(globex.ready(scope=[WRITE]))
    report(globex, other, begin(globex, other))
    assert len(completed(globex)) == 1


# --- claims that don't fit --------------------------------------------------------------------------


def test_a_claim_with_a_key_needs_the_decision_that_began_the_step(
    plane: Plane, acme: Tenancy, first: Agent
) -> None:
    for outcome in (Outcome.COMPLETED, Outcome.FAILED):
        assert is_refused(
            acme.work(first, WRITE, step_key=KEY, outcome=outcome), Reason.ONLINE_CHECK_REQUIRED
        )
    plain = acme.authorize(first, WRITE)
    assert isinstance(plain, Authorized)
    assert is_refused(report(acme, first, plain.decision_id), Reason.ONLINE_CHECK_REQUIRED)
    decision_id = begin(acme, first)
    assert is_refused(report(acme, first, decision_id, step_key="cd" * 32), Reason.ONLINE_CHECK_REQUIRED)
    failed = report(acme, first, plain.decision_id, outcome=Outcome.FAILED)
    assert is_refused(failed, Reason.ONLINE_CHECK_REQUIRED)
    assert is_refused(report(acme, first, decision_id, PAY), Reason.ONLINE_CHECK_REQUIRED)
    assert not completed(acme)
    assert_sound(plane, acme)


def test_a_decision_for_a_step_allows_no_other_action(acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first, PAY)
    found = acme.work(first, PAY, decision_id=decision_id)
    assert is_refused(found, Reason.ONLINE_CHECK_REQUIRED)
    # One of lower risk needs no decision: it is recorded, and the step stays begun.
    other = begin(acme, first, step_key="cd" * 32)
    assert isinstance(acme.work(first, WRITE, decision_id=other), ClaimReceipt)
    found = ask(acme, first, step_key="cd" * 32)
    assert in_doubt(found, other)


# --- late claims ------------------------------------------------------------------------------------


def late_claim(plane: Plane, acme: Tenancy, agent: Agent, decision_id: str) -> Envelope:
    """A claim of work that ended before its instance was fenced, for later."""
    claim = acme.claim(agent, WRITE, decision_id=decision_id, step_key=KEY)
    plane.clock.advance(1_000)
    return claim


def test_a_late_claim_completes_what_nobody_began_anew(plane: Plane, acme: Tenancy, first: Agent) -> None:
    decision_id = begin(acme, first)
    claim = late_claim(plane, acme, first, decision_id)
    second = successor(acme, first)
    assert in_doubt(ask(acme, second), decision_id)
    done = acme.append(first, claim)
    assert isinstance(done, ClaimReceipt)
    assert done.late
    assert ask(acme, second).row.receipt_id == done.appended.receipt_id
    assert_sound(plane, acme)


@pytest.mark.parametrize("reported", [True, False])
def test_a_late_claim_for_what_was_begun_anew_is_a_denial(
    plane: Plane, acme: Tenancy, first: Agent, *, reported: bool
) -> None:
    doubtful = begin(acme, first)
    claim = late_claim(plane, acme, first, doubtful)
    second = successor(acme, first)
    resolving = begin(acme, second, resolves=doubtful)
    report(acme, second, resolving, outcome=Outcome.FAILED, reason=STEP_NOT_HAPPENED)
    again = begin(acme, second)
    if reported:
        report(acme, second, again)
    reason = Reason.STEP_COMPLETED if reported else Reason.STEP_IN_DOUBT
    assert is_refused(acme.append(first, claim), reason)
    assert reason.value in [one.reason for one in acme.denials()]
    assert len(completed(acme)) == int(reported)
    assert_sound(plane, acme)


def test_a_late_claim_overrules_that_nothing_happened_while_nothing_was_begun(
    plane: Plane, acme: Tenancy, first: Agent
) -> None:
    doubtful = begin(acme, first)
    claim = late_claim(plane, acme, first, doubtful)
    second = successor(acme, first)
    resolving = begin(acme, second, resolves=doubtful)
    report(acme, second, resolving, outcome=Outcome.FAILED, reason=STEP_NOT_HAPPENED)
    wrong = acme.claim(second, WRITE, decision_id="dcn_" + "0" * 32, step_key=KEY)
    assert is_refused(acme.append(second, wrong), Reason.ONLINE_CHECK_REQUIRED)
    done = acme.append(first, claim)
    assert isinstance(done, ClaimReceipt)
    assert ask(acme, second).row.receipt_id == done.appended.receipt_id
    assert_sound(plane, acme)


def test_a_late_claim_of_an_abandoned_decision_of_high_risk_stays_in_doubt(
    plane: Plane, acme: Tenancy, first: Agent
) -> None:
    decision_id = begin(acme, first, PAY)
    claim = acme.claim(first, PAY, decision_id=decision_id, step_key=KEY)
    plane.clock.advance(1_000)
    second = successor(acme, first)
    assert is_refused(acme.append(first, claim), Reason.ONLINE_CHECK_REQUIRED)
    assert in_doubt(ask(acme, second, PAY), decision_id)
    assert_sound(plane, acme)


# --- the rule itself --------------------------------------------------------------------------------

ASKER = Asker("tnt", "reconciler", "i1", "s1", WRITE)
ROW = StepRow("tnt", KEY, "reconciler", "i1", 1, "s1", WRITE, "d1", "a1", 5)
WISH = StepWish(KEY, "a2")
V = Verdict


@pytest.mark.parametrize(
    ("row", "wish", "awaited", "alive", "verdict"),
    [
        (None, WISH, False, False, V.BEGIN),
        (None, WISH._replace(resolves="d1"), False, False, V.NOT_IN_DOUBT),
        (replace(ROW, decision_id=""), WISH, False, False, V.BEGIN),
        (replace(ROW, decision_id=""), WISH._replace(resolves="d1"), False, False, V.NOT_IN_DOUBT),
        (replace(ROW, agent="payer"), WISH, True, True, V.FOREIGN),
        (replace(ROW, agent="payer", completed_ms=9), WISH, False, False, V.FOREIGN),
        (replace(ROW, agent="payer", decision_id=""), WISH, False, False, V.FOREIGN),
        (replace(ROW, completed_ms=9), WISH, False, False, V.COMPLETED),
        (replace(ROW, completed_ms=9), WISH._replace(resolves="d1"), False, False, V.COMPLETED),
        (replace(ROW, completed_ms=9), WISH._replace(attempt="a1"), False, False, V.COMPLETED),
        (ROW, WISH._replace(attempt="a1"), True, True, V.REPEATED),
        (ROW, WISH._replace(attempt="a1"), False, True, V.IN_DOUBT),
        (replace(ROW, attempt=""), WISH._replace(attempt=""), True, True, V.RUNNING),
        (replace(ROW, session_id="s2"), WISH._replace(attempt="a1"), True, True, V.RUNNING),
        (replace(ROW, action=PAY), WISH._replace(attempt="a1"), True, True, V.RUNNING),
        (replace(ROW, instance_id="i2"), WISH._replace(attempt="a1"), True, True, V.IN_DOUBT),
        (ROW, WISH, True, True, V.RUNNING),
        (ROW, WISH, False, True, V.IN_DOUBT),
        (ROW, WISH._replace(resolves="d1"), True, True, V.BEGIN),
        (ROW, WISH._replace(resolves="d1"), False, True, V.BEGIN),
        (ROW, WISH._replace(resolves="d2"), False, True, V.NOT_IN_DOUBT),
        (replace(ROW, instance_id="i2"), WISH._replace(resolves="d1"), True, True, V.IN_DOUBT),
        (replace(ROW, instance_id="i2"), WISH._replace(resolves="d1"), True, False, V.BEGIN),
        (replace(ROW, instance_id="i2"), WISH._replace(resolves="d1"), False, True, V.BEGIN),
    ],
)
def test_the_rule(row: StepRow | None, wish: StepWish, awaited: bool, alive: bool, verdict: Verdict) -> None:
    assert judge_step(row, ASKER, wish, awaited=awaited, alive=alive) is verdict
