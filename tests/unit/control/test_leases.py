from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from dragons.authority.lease import LEASE, Lease, Release
from dragons.authority.revocation import Target
from dragons.control.issue import Grant
from dragons.control.rows import LeaseRow
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.ids import LEASE as LEASE_PREFIX
from dragons.core.ids import new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.liveness.policy import LivenessPolicy
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

T0 = 1_800_000_000_000
LEASE_MS = 900_000
GRACE_MS = LivenessPolicy().lease_grace_ms
S = OrganismState


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    return acme.started(acme.ready())


def stored(tenancy: Tenancy, agent: Agent) -> LeaseRow:
    found = tenancy.plane.read(lambda reader: reader.lease(tenancy.tenant_id, agent.lease.lease_id))
    assert found is not None
    return found


def renewed(tenancy: Tenancy, agent: Agent) -> Grant:
    found = tenancy.renew(agent)
    assert isinstance(found, Grant), found
    return found


# --- renewal --------------------------------------------------------------------------------------


def test_a_renewal_is_the_same_lease_for_longer(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    before = agent.grant.statement.body(LEASE, Lease)
    plane.clock.advance(450_000)
    grant = renewed(acme, agent)
    after = grant.statement.body(LEASE, Lease)
    assert after == msgspec.structs.replace(
        before,
        serial=1,
        issued_at=acme.now,
        not_before=format_time(acme.now_ms - 10_000),
        expires_at=format_time(acme.now_ms + LEASE_MS),
    )
    assert stored(acme, agent) == grant.lease
    (header,) = acme.receipts(Kind.LEASE_RENEWED)
    assert (header.lease_ref, header.instance_id) == (agent.lease.lease_id, agent.instance_id)
    assert header.statement_hash == grant.statement.payload_digest()
    assert renewed(acme, agent).lease.serial == 2
    assert_sound(plane, acme)


def test_a_lease_is_renewed_up_to_the_last_millisecond_of_its_grace(
    plane: Plane, acme: Tenancy, agent: Agent
) -> None:
    plane.clock.advance(LEASE_MS - 1)
    assert renewed(acme, agent).lease.expires_ms == T0 + 2 * LEASE_MS - 1
    plane.clock.advance(LEASE_MS + GRACE_MS - 1)
    assert renewed(acme, agent).lease.expires_ms == acme.now_ms + LEASE_MS
    plane.clock.advance(LEASE_MS + GRACE_MS)
    assert is_refused(acme.renew(agent), Reason.LEASE_EXPIRED, agent.lease.lease_id)
    assert acme.denials()[0].action == "renew"
    acme.sweep()
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda acme, agent: acme.revoke(Target.LEASE, agent.lease.lease_id), Reason.REVOKED_LEASE),
        (lambda acme, agent: acme.revoke(Target.DOCK, agent.lease.dock_id), Reason.REVOKED_DOCK),
        (lambda acme, agent: acme.revoke(Target.OPERATOR, acme.operator.key_id), Reason.REVOKED_OPERATOR),
        (lambda acme, agent: acme.intervene(agent.instance_id), Reason.ORGANISM_STOPPED),
        (lambda acme, agent: acme.release(agent), Reason.LEASE_RELEASED),
        (lambda acme, agent: acme.launch(make_manifest(), dispatch_id=agent.grant.instance.dispatch_id), Reason.ORGANISM_STOPPED),
    ],
)  # fmt: skip
def test_what_has_ended_is_not_renewed(
    plane: Plane, acme: Tenancy, agent: Agent, end, reason: Reason
) -> None:
    end(acme, agent)
    assert is_refused(acme.renew(agent), reason, agent.lease.lease_id)
    assert not acme.receipts(Kind.LEASE_RENEWED)
    assert stored(acme, agent).serial == 0
    acme.sweep()
    assert_sound(plane, acme)


def test_another_active_version_does_not_end_a_lease(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    second = make_manifest(code=b"print(2)")
    acme.register(second, 2)
    acme.activate(second, 2, 1)
    assert renewed(acme, agent).instance.version == 1
    assert_sound(plane, acme)


def test_no_renewal_outlives_the_dock(plane: Plane, acme: Tenancy) -> None:
    end_ms = T0 + LEASE_MS + 1_000
    agent = acme.started(acme.ready(not_after=format_time(end_ms)))
    plane.clock.advance(500_000)
    assert renewed(acme, agent).lease.expires_ms == end_ms
    plane.clock.advance(end_ms - 1 - acme.now_ms)
    assert renewed(acme, agent).lease.expires_ms == end_ms
    plane.clock.advance(1)
    assert is_refused(acme.renew(agent), Reason.DOCK_EXPIRED)
    acme.sweep()
    assert_sound(plane, acme)


def test_a_stranger_renews_nothing(acme: Tenancy, globex: Tenancy, agent: Agent) -> None:
    mine = agent.caller
    for caller in (replace(mine, tenant_id=globex.tenant_id), replace(mine, instance_id=uuid7_hex(1))):
        agent.caller = caller
        with fails(ForbiddenError, "lease_missing"):
            acme.renew(agent)
    assert not acme.receipts(Kind.LEASE_RENEWED)


# --- release --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [S.RUNNING, S.DEGRADED])
def test_a_lease_is_given_back_by_whoever_lives(acme: Tenancy, agent: Agent, before: S) -> None:
    row = replace(acme.instance(agent), state=before)
    acme.plane.write(lambda tx: tx.put_instance(row))
    appended = acme.release(agent)
    assert stored(acme, agent).released_ms == acme.now_ms
    assert acme.instance(agent).state is S.STOPPED
    assert acme.session(agent.session_id).outcome == "abandoned"
    assert [header.kind for header in acme.receipts()][-3:] == [
        Kind.STATE_CHANGED, Kind.SESSION_CLOSED, Kind.LEASE_RELEASED,
    ]  # fmt: skip
    header = acme.receipts()[-1]
    assert (header.receipt_id, header.organism_state) == (appended.receipt_id, S.STOPPED)
    assert acme.statements(Kind.LEASE_RELEASED, Release)[0].lease_id == agent.lease.lease_id


def test_a_released_lease_verifies(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.work(agent)
    acme.close(agent)
    acme.release(agent)
    assert acme.sweep().timers == 0
    assert_sound(plane, acme)


@pytest.mark.parametrize("held", [S.AUTOHEALING, S.QUARANTINED])
def test_giving_back_ends_no_healing_and_no_quarantine(acme: Tenancy, agent: Agent, held: S) -> None:
    row = replace(acme.instance(agent), state=held, fenced=1)
    acme.plane.write(lambda tx: tx.put_instance(row))
    acme.release(agent)
    assert stored(acme, agent).released_ms == acme.now_ms
    assert (acme.instance(agent).state, acme.instance(agent).dead) == (held, 1)
    assert acme.receipts()[-1].organism_state is held


def test_a_failed_program_of_a_dispatch_is_healed(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    supervised = acme.started(manifest, dispatch_id=acme.dispatch())
    acme.release(supervised, outcome="failed", detail="exit status 3")
    row = acme.instance(supervised)
    assert (row.state, row.state_reason, row.dead) == (S.AUTOHEALING, "exit status 3", 1)
    assert acme.session(supervised.session_id).outcome == "abandoned"
    assert_sound(plane, acme)


def test_a_program_that_is_done_ends_its_dispatch(acme: Tenancy) -> None:
    manifest = acme.ready()
    dispatch_id = acme.dispatch()
    supervised = acme.started(manifest, dispatch_id=dispatch_id)
    acme.release(supervised, outcome="completed", detail="all payments are posted")
    dispatch = acme.plane.read(lambda reader: reader.dispatch(acme.tenant_id, dispatch_id))
    assert dispatch is not None
    assert (dispatch.state, dispatch.state_reason) == ("completed", "all payments are posted")
    assert acme.instance(supervised).state is S.STOPPED


def test_a_lease_is_given_back_once(acme: Tenancy, agent: Agent) -> None:
    acme.release(agent)
    with fails(ConflictError, "lease_released"):
        acme.release(agent)
    assert len(acme.receipts(Kind.LEASE_RELEASED)) == 1


def test_a_stopped_instance_may_give_its_lease_back(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.intervene(agent.instance_id)
    changes = len(acme.receipts(Kind.STATE_CHANGED))
    acme.release(agent)
    assert len(acme.receipts(Kind.STATE_CHANGED)) == changes
    assert stored(acme, agent).released_ms == acme.now_ms
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"lease_id": new_id(LEASE_PREFIX, 1)}, ForbiddenError, "lease_missing"),
        ({"instance_id": uuid7_hex(1)}, ForbiddenError, "instance_mismatch"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
        ({"released_at": format_time(T0 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"released_at": format_time(T0 + 600_001)}, InvalidInputError, "date_implausible"),
    ],
)
def test_what_is_no_release_is_an_error(acme: Tenancy, agent: Agent, changes: dict, error, code: str) -> None:
    with fails(error, code):
        acme.release(agent, **changes)
    assert (stored(acme, agent).released_ms, acme.instance(agent).state) == (None, S.RUNNING)


def test_only_its_own_key_gives_a_lease_back(acme: Tenancy, agent: Agent) -> None:
    agent.signer = LocalSigner.generate(KeyRole.INSTANCE)
    with fails(ForbiddenError, "signature_invalid"):
        acme.release(agent)
