from __future__ import annotations

import pytest

from dragons.audit.pack import Selection
from dragons.authority.revocation import Target
from dragons.control.append import LATE_MS_MAX, SKEW_MS_MAX, ClaimReceipt, append_claim, check_claim
from dragons.control.authorize import Authorized
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import CLAIM, DECISION, RECEIPT, SESSION, new_id
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind, Outcome, Reason
from tests.support.expect import fails, is_refused
from tests.support.plane import Plane, Tenancy, assert_sound, assert_valid

LEASE_MS = 900_000


def test_a_claim_becomes_a_receipt_that_says_the_same(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    done = acme.work(agent)
    assert isinstance(done, ClaimReceipt)
    assert not done.late
    assert not done.known
    header = acme.receipts(Kind.WORK)[0]
    assert (header.receipt_id, header.seq, header.session_id) == (
        done.appended.receipt_id,
        done.appended.seq,
        agent.session_id,
    )
    assert (header.lease_ref, header.outcome) == (agent.lease.lease_id, Outcome.COMPLETED)
    assert header.chain_root() == done.appended.chain_root
    assert_sound(plane, acme)


def test_the_same_claim_again_is_the_same_receipt(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    claim = acme.claim(agent)
    first = acme.append(agent, claim)
    plane.clock.advance(60_000)
    again = acme.append(agent, claim)
    assert isinstance(first, ClaimReceipt)
    assert again == first._replace(known=True)
    assert len(acme.receipts(Kind.WORK)) == 1


def test_the_same_claim_twice_in_one_group_is_one_receipt(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    checked = check_claim(agent.caller, acme.claim(agent), agent.signer.public_key)

    def both(tx):
        return [append_claim(tx, acme.issuer, agent.caller, checked) for _ in range(2)]

    first, again = acme.plane.write(both)
    assert again == first._replace(known=True)
    assert len(acme.receipts(Kind.WORK)) == 1


def test_a_late_receipt_is_still_late_when_it_is_asked_for_again(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    claim = acme.claim(agent)
    plane.clock.advance(LEASE_MS)
    acme.append(agent, claim)
    again = acme.append(agent, claim)
    assert isinstance(again, ClaimReceipt)
    assert (again.late, again.known) == (True, True)


def test_a_claim_id_is_good_for_one_content(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    claim_id = new_id(CLAIM, plane.clock.now_ms())
    acme.work(agent, claim_id=claim_id)
    with fails(ConflictError, "claim_reused"):
        acme.work(agent, claim_id=claim_id, elapsed_ms=4)
    assert_sound(plane, acme)


def test_a_claim_id_of_one_tenant_is_free_in_another(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    claim_id = new_id(CLAIM, plane.clock.now_ms())
    for tenancy in (acme, globex):
        done = tenancy.work(tenancy.started(tenancy.ready()), claim_id=claim_id)
        assert isinstance(done, ClaimReceipt)
        assert not done.known
        assert_sound(plane, tenancy)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"claim_id": "clm_" + "z" * 32}, InvalidInputError, "id_malformed"),
        ({"claim_id": new_id(SESSION, 1)}, InvalidInputError, "id_malformed"),
        ({"session_id": new_id(SESSION, 1)}, NotFoundError, "session_missing"),
        ({"outcome": Outcome.ABANDONED}, InvalidInputError, "outcome_invalid"),
        ({"corrects": new_id(RECEIPT, 1)}, NotFoundError, "receipt_missing"),
    ],
)
def test_malformed_claims_are_errors(
    plane: Plane, acme: Tenancy, changes: dict[str, object], error: type, code: str
) -> None:
    agent = acme.started(acme.ready())
    before = acme.size()
    with fails(error, code):
        acme.work(agent, **changes)
    assert acme.size() == before


def test_times_are_in_order_and_not_in_the_future(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    now_ms = plane.clock.now_ms()
    for started, ended in ((now_ms, now_ms - 1), (now_ms, now_ms + SKEW_MS_MAX + 1)):
        with fails(InvalidInputError, "time_implausible"):
            acme.work(agent, started_at=format_time(started), ended_at=format_time(ended))
    assert isinstance(acme.work(agent, ended_at=format_time(now_ms + SKEW_MS_MAX)), ClaimReceipt)
    assert_sound(plane, acme)


def test_only_the_instance_itself_signs_its_claims(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    agent, other = acme.started(manifest), acme.started(manifest)
    claim = acme.claim(agent)
    with fails(ForbiddenError, "signature_invalid"):
        check_claim(agent.caller, claim, other.signer.public_key)
    with fails(ForbiddenError, "instance_mismatch"):
        check_claim(other.caller, claim, agent.signer.public_key)
    checked = check_claim(agent.caller, claim, agent.signer.public_key)
    with fails(ForbiddenError, "signature_invalid"):
        plane.write(lambda tx: append_claim(tx, acme.issuer, other.caller, checked))


def test_a_claim_of_another_tenant_does_nothing(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    agent = acme.started(acme.ready())
    stranger = globex.started(globex.ready())
    with fails(ForbiddenError, "tenant_mismatch"):
        globex.append(stranger, globex.claim(stranger, tenant_id=acme.tenant_id))
    checked = check_claim(agent.caller, acme.claim(agent), agent.signer.public_key)
    with fails(ForbiddenError, "lease_missing"):
        caller = stranger.caller.__class__(globex.tenant_id, agent.caller.role, instance_id=agent.instance_id)
        plane.write(lambda tx: append_claim(tx, globex.issuer, caller, checked))
    assert not globex.receipts(Kind.WORK)


def test_a_session_of_another_instance_is_none(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    agent, other = acme.started(manifest), acme.started(manifest)
    with fails(NotFoundError, "session_missing"):
        acme.work(agent, session_id=other.session_id)


def test_nothing_is_added_to_a_session_that_closed(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.close(agent)
    with fails(ConflictError, "session_closed"):
        acme.work(agent)


# --- refusals, on the record ----------------------------------------------------------------------


def test_work_outside_the_lease_is_refused_with_its_reason(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(), scope=("read:payments",))
    assert is_refused(acme.work(agent, "write:ledger"), Reason.CAPABILITY_NOT_LEASED, "write:ledger")
    assert is_refused(acme.work(agent, lease_id=new_id("lse", 1)), Reason.LEASE_MISSING)
    assert is_refused(acme.work(agent, epoch=2), Reason.EPOCH_STALE)
    early = format_time(plane.clock.now_ms() - 10_001)
    assert is_refused(acme.work(agent, started_at=early), Reason.LEASE_NOT_YET_VALID)
    assert [one.reason for one in acme.denials()] == [
        "capability_not_leased",
        "lease_missing",
        "epoch_stale",
        "lease_not_yet_valid",
    ]
    assert {one.action for one in acme.denials()} == {"receipt"}
    assert_sound(plane, acme)


def test_work_from_before_the_first_lease_is_refused_after_a_renewal_too(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    begun_ms = plane.clock.now_ms()
    plane.clock.advance(60_000)
    acme.renew(agent)
    for started, allowed in ((begun_ms - 10_001, False), (begun_ms - 10_000, True)):
        found = acme.work(agent, started_at=format_time(started))
        assert isinstance(found, ClaimReceipt) or is_refused(found, Reason.LEASE_NOT_YET_VALID)
        assert isinstance(found, ClaimReceipt) is allowed
    assert_sound(plane, acme)


def test_a_capability_that_left_the_catalogue_is_unknown(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.publish(2, {})
    assert is_refused(acme.work(agent), Reason.CAPABILITY_UNKNOWN)
    assert_sound(plane, acme)


def test_high_risk_needs_the_decision_of_exactly_this_action(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(scope=["pay:supplier", "read:payments"]))
    assert is_refused(acme.work(agent, "pay:supplier"), Reason.ONLINE_CHECK_REQUIRED)
    for wrong in (new_id(DECISION, 1), acme.authorize(agent, "read:payments").decision_id):
        found = acme.work(agent, "pay:supplier", decision_id=wrong)
        assert is_refused(found, Reason.ONLINE_CHECK_REQUIRED)
    decided = acme.authorize(agent, "pay:supplier")
    assert isinstance(decided, Authorized)
    assert isinstance(acme.work(agent, "pay:supplier", decision_id=decided.decision_id), ClaimReceipt)
    # Used once.
    again = acme.work(agent, "pay:supplier", decision_id=decided.decision_id)
    assert is_refused(again, Reason.ONLINE_CHECK_REQUIRED)
    assert_sound(plane, acme)


def test_a_decision_of_another_session_is_none(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(scope=["pay:supplier"]))
    decided = acme.authorize(agent, "pay:supplier")
    acme.open(agent)
    assert isinstance(decided, Authorized)
    found = acme.work(agent, "pay:supplier", decision_id=decided.decision_id)
    assert is_refused(found, Reason.ONLINE_CHECK_REQUIRED)


def test_nobody_uses_up_the_decision_of_another(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready(scope=["pay:supplier", "read:payments"])
    agent, other = acme.started(manifest), acme.started(manifest)
    decided = acme.authorize(agent, "pay:supplier")
    assert isinstance(decided, Authorized)
    acme.work(other, decision_id=decided.decision_id)
    acme.work(agent, decision_id=decided.decision_id)
    assert isinstance(acme.work(agent, "pay:supplier", decision_id=decided.decision_id), ClaimReceipt)
    assert_sound(plane, acme)


# --- late -----------------------------------------------------------------------------------------


def test_work_that_began_under_the_lease_counts_late(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(LEASE_MS - 1)
    claim = acme.claim(agent)
    plane.clock.advance(1)
    done = acme.append(agent, claim)
    assert isinstance(done, ClaimReceipt)
    assert done.late
    assert acme.receipts(Kind.WORK)[0].late is True
    assert_sound(plane, acme)


def test_work_that_began_after_the_lease_is_refused(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(LEASE_MS)
    assert is_refused(acme.work(agent), Reason.LEASE_EXPIRED)
    assert acme.denials()[0].reason == "lease_expired"
    assert_sound(plane, acme)


def test_late_work_counts_after_the_session_was_abandoned(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    claim = acme.claim(agent)
    plane.clock.advance(LEASE_MS + 3_600_000)
    acme.sweep()
    assert acme.session(agent.session_id).outcome == "abandoned"
    done = acme.append(agent, claim)
    assert isinstance(done, ClaimReceipt)
    assert done.late
    assert_sound(plane, acme)
    assert_valid(acme, Selection(kind="session", session_id=agent.session_id))


def test_late_has_an_end(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    claim, last = acme.claim(agent), acme.claim(agent)
    plane.clock.advance(LEASE_MS + LATE_MS_MAX)
    assert isinstance(acme.append(agent, claim), ClaimReceipt)
    plane.clock.advance(1)
    assert is_refused(acme.append(agent, last), Reason.LEASE_EXPIRED, "too late")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda acme, agent: acme.revoke(Target.LEASE, agent.lease.lease_id), Reason.REVOKED_LEASE),
        (lambda acme, agent: acme.revoke(Target.INSTANCE, agent.instance_id), Reason.REVOKED_INSTANCE),
        (lambda acme, agent: acme.revoke(Target.DOCK, agent.lease.dock_id), Reason.REVOKED_DOCK),
        (lambda acme, agent: acme.revoke(Target.AGENT, "reconciler"), Reason.REVOKED_AGENT),
        (lambda acme, agent: acme.revoke(Target.VERSION, "reconciler@v1"), Reason.REVOKED_VERSION),
        (lambda acme, agent: acme.revoke(Target.OPERATOR, acme.operator.key_id), Reason.REVOKED_OPERATOR),
        (lambda acme, agent: acme.revoke_key(acme.operator.key_id), Reason.REVOKED_OPERATOR),
        (lambda acme, agent: acme.intervene(agent.instance_id), Reason.ORGANISM_STOPPED),
        # Given back: the instance is stopped in the same moment.
        (lambda acme, agent: acme.release(agent), Reason.LEASE_RELEASED),
    ],
)
def test_however_the_authority_ended_it_counts_from_then(
    plane: Plane, acme: Tenancy, end, reason: Reason
) -> None:
    agent = acme.started(acme.ready())
    before = acme.claim(agent)
    plane.clock.advance(1_000)
    end(acme, agent)
    after = acme.claim(agent)
    plane.clock.advance(5)
    done = acme.append(agent, before)
    assert isinstance(done, ClaimReceipt)
    assert done.late
    assert is_refused(acme.append(agent, after), reason)
    acme.sweep()
    assert_sound(plane, acme)


def test_the_earliest_of_several_revocations_counts(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(1_000)
    acme.revoke(Target.LEASE, agent.lease.lease_id)
    between = acme.claim(agent)
    plane.clock.advance(1_000)
    acme.revoke(Target.DOCK, agent.lease.dock_id)
    assert is_refused(acme.append(agent, between), Reason.REVOKED_LEASE)
    assert_sound(plane, acme)


# --- what instances say of themselves -------------------------------------------------------------


def test_an_instance_reports_its_own_denials(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    done = acme.work(agent, "send:money", outcome=Outcome.DENIED, reason="capability_not_leased", count=40)
    assert isinstance(done, ClaimReceipt)
    assert acme.receipts(Kind.WORK)[0].outcome is Outcome.DENIED
    assert_sound(plane, acme)


def test_a_correction_is_a_receipt_that_cites_the_original(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    wrong = acme.work(agent)
    assert isinstance(wrong, ClaimReceipt)
    right = acme.work(agent, corrects=wrong.appended.receipt_id)
    assert isinstance(right, ClaimReceipt)
    assert acme.receipts(Kind.WORK)[1].corrects == wrong.appended.receipt_id
    assert_sound(plane, acme)


def test_a_receipt_of_another_tenant_can_not_be_corrected(acme: Tenancy, globex: Tenancy) -> None:
    theirs = globex.work(globex.started(globex.ready()))
    assert isinstance(theirs, ClaimReceipt)
    with fails(NotFoundError, "receipt_missing"):
        acme.work(acme.started(acme.ready()), corrects=theirs.appended.receipt_id)


def test_a_key_that_is_not_the_instances_is_refused_by_the_use_case_itself(
    plane: Plane, acme: Tenancy
) -> None:
    agent = acme.started(acme.ready())
    thief = LocalSigner.generate(KeyRole.INSTANCE)
    agent.signer, own = thief, agent.signer
    claim = acme.claim(agent)
    checked = check_claim(agent.caller, claim, thief.public_key)
    with fails(ForbiddenError, "signature_invalid"):
        plane.write(lambda tx: append_claim(tx, acme.issuer, agent.caller, checked))
    assert own is not thief
