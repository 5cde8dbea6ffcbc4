"""What is authorized at a point of the ledger. Whole ledgers that break a rule are in tests/tamper."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.audit.mandate import Mandate
from dragons.authority.revocation import Revocation, Target, Withdrawal
from dragons.core.vocabulary import OrganismState, Reason
from tests.support import story
from tests.support.story import Story
from tests.support.work import about_agent

AT = "2027-01-15T08:00:02.000Z"


def fed(told: Story) -> Mandate:
    """A mandate that heard what happened in the story."""
    from dragons.audit.governance import Governance  # noqa: PLC0415 - what feeds it
    from dragons.audit.verify import _BY_TYPE  # noqa: PLC0415
    from dragons.core.canonical import decode  # noqa: PLC0415

    governance = Governance(told.book.pin)
    governance.trust.admit_tenant(told.book.placed[0].record.statement)
    for one, header in zip(told.book.placed[1:10], told.book.headers[1:10], strict=True):
        statement = one.record.statement
        kind = _BY_TYPE[header.kind, statement.payloadType]
        assert (
            governance.admit(statement, header, decode(kind.document, statement.payload), kind.signer) is None
        )
    return governance.mandate


@pytest.fixture
def told() -> Story:
    return story.launched()


@pytest.fixture
def mandate(told: Story) -> Mandate:
    return fed(told)


def test_what_was_said_is_known(told: Story, mandate: Mandate) -> None:
    assert set(mandate.docks) == {told.dock.dock_id}
    assert set(mandate.leases) == {told.agent.lease.lease_id}
    assert mandate.high_risk == {"pay:suppliers"}
    assert mandate.active == {"reconciler": 1, "notifier": 1}
    assert mandate.epochs[told.agent.lease.dispatch_id][0] == 1


def test_a_lease_is_over_for_one_reason_at_a_time(told: Story, mandate: Mandate) -> None:
    lease = mandate.leases[told.agent.lease.lease_id]
    header = told.book.headers[10]
    assert mandate.over(lease, header) is None
    assert mandate.over(lease, replace(header, issued_at=lease.expires_at)) is Reason.LEASE_EXPIRED
    halted = replace(header, organism_state=OrganismState.QUARANTINED)
    assert mandate.over(lease, halted) is Reason.ORGANISM_QUARANTINED
    lease.released_at = AT
    assert mandate.over(lease, header) is Reason.LEASE_RELEASED


def test_the_first_revocation_counts(told: Story, mandate: Mandate) -> None:
    body = Revocation(
        revocation_id="rev_" + "0" * 32,
        tenant_id=told.book.tenant_id,
        kind=Target.DOCK,
        target=told.dock.dock_id,
        revoked_at=AT,
        reason="enough",
    )
    mandate.admit_revocation(body, AT)
    mandate.admit_revocation(body, "2027-01-15T09:00:00.000Z")
    assert mandate.revoked == {f"dock:{told.dock.dock_id}": AT}
    lease = mandate.leases[told.agent.lease.lease_id]
    assert mandate.over(lease, told.book.headers[10]) is Reason.REVOKED_LEASE


def test_what_is_known_of_a_halt_counts_whatever_the_header_says(told: Story, mandate: Mandate) -> None:
    lease = mandate.leases[told.agent.lease.lease_id]
    mandate.organisms.halted[told.agent.instance_id] = (Reason.ORGANISM_AUTOHEALING, AT)
    assert mandate.over(lease, told.book.headers[10]) is Reason.ORGANISM_AUTOHEALING
    assert mandate.over(lease, replace(told.book.headers[10], instance_id="0" * 32)) is None


@pytest.mark.parametrize("whole", [True, False])
def test_a_withdrawal_is_of_a_lease_that_the_pack_shows(
    told: Story, mandate: Mandate, *, whole: bool
) -> None:
    mandate.whole = whole
    body = Withdrawal(
        tenant_id=told.book.tenant_id, lease_id="lse_" + "0" * 32, instance_id=told.agent.instance_id, reason="x",
        withdrawn_at=AT,
    )  # fmt: skip
    unknown = mandate.admit_withdrawal(body, AT)
    assert unknown == (f"lease_missing: {body.lease_id}" if whole else None)
    known = replace(body, lease_id=told.agent.lease.lease_id)
    assert str(mandate.admit_withdrawal(replace(known, instance_id="0" * 32), AT)).startswith(
        "instance_mismatch"
    )
    assert not mandate.is_revoked(Target.LEASE, known.lease_id)
    assert mandate.admit_withdrawal(known, AT) is None
    assert mandate.is_revoked(Target.LEASE, known.lease_id)


def test_a_mismatch_names_what_differs(told: Story, mandate: Mandate) -> None:
    lease = mandate.leases[told.agent.lease.lease_id]
    header = replace(told.book.headers[10], **about_agent(told.agent))
    instance = told.agent.instance_id
    assert mandate.mismatch(header, lease, instance, 1) is None
    assert str(mandate.mismatch(header, lease, "0" * 32, 1)).startswith("instance_mismatch")
    assert str(mandate.mismatch(header, lease, instance, 2)).startswith("epoch_stale")
    assert str(mandate.mismatch(replace(header, agent="x"), lease, instance, 1)).startswith(
        "instance_mismatch"
    )
