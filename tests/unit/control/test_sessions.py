from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.audit.pack import Selection
from dragons.authority.revocation import Target
from dragons.control import sessions as module
from dragons.control.append import LATE_MS_MAX, ClaimReceipt
from dragons.control.authorize import Authorized
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import LEASE, SESSION, new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind, OrganismState, Outcome, Reason
from dragons.evidence.receipt import Abandonment, Closing, Session
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, assert_valid

T0 = 1_800_000_000_000
LEASE_MS = 900_000


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    """An instance without a session."""
    made = acme.launch(acme.ready(scope=["read:payments", "pay:supplier"], delegate=["send:email"]))
    assert isinstance(made, Agent)
    return made


# --- opening --------------------------------------------------------------------------------------


def test_a_goal_is_on_the_record_before_any_work(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.open(agent)
    row = acme.session(agent.session_id)
    assert (row.instance_id, row.agent, row.lease_id) == (
        agent.instance_id, "reconciler", agent.lease.lease_id,
    )  # fmt: skip
    assert (row.opened_ms, row.closed_ms, row.outcome) == (acme.now_ms, None, "")
    (header,) = acme.receipts(Kind.SESSION_OPENED)
    body = acme.statements(Kind.SESSION_OPENED, Session)[0]
    assert (header.session_id, header.session_position) == (agent.session_id, 0)
    assert header.payload_hash == body.payload_hash
    assert (header.instance_id, header.lease_ref, header.epoch) == (
        agent.instance_id, agent.lease.lease_id, 1,
    )  # fmt: skip
    assert_sound(plane, acme)


@pytest.mark.parametrize("scope", [[], ["read:payments"], ["read:payments", "send:email"], ["send:email"]])
def test_a_session_may_be_for_all_that_the_lease_holds_or_hands_on(acme: Tenancy, scope: list[str]) -> None:
    agent = acme.launch(acme.ready(delegate=["send:email"]), delegate_scope=("send:email",))
    assert isinstance(agent, Agent)
    acme.open(agent, scope=scope)
    assert acme.statements(Kind.SESSION_OPENED, Session)[0].scope == scope


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"lease_id": new_id(LEASE, 1)}, Reason.LEASE_MISSING, "lea_"),
        ({"epoch": 0}, Reason.EPOCH_STALE, "epoch 0"),
        ({"epoch": 2}, Reason.EPOCH_STALE, "epoch 2"),
        ({"scope": ["read:payments", "write:ledger"]}, Reason.CAPABILITY_NOT_LEASED, "write:ledger"),
        # The dock would let it be handed on, this lease does not.
        ({"scope": ["send:email"]}, Reason.CAPABILITY_NOT_LEASED, "send:email"),
    ],
)
def test_a_session_beyond_its_lease_is_denied_on_the_record(
    plane: Plane, acme: Tenancy, agent: Agent, changes: dict, reason: Reason, detail: str
) -> None:
    detail = changes.get("lease_id", detail)
    assert is_refused(acme.open(agent, **changes), reason, detail)
    (denial,) = acme.denials()
    assert (denial.action, denial.reason, denial.instance_id) == ("session", reason, agent.instance_id)
    assert not acme.receipts(Kind.SESSION_OPENED)
    assert plane.read(lambda reader: reader.session(acme.tenant_id, agent.session_id)) is None
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda acme, agent: acme.revoke(Target.LEASE, agent.lease.lease_id), Reason.REVOKED_LEASE),
        (lambda acme, agent: acme.revoke(Target.AGENT, "reconciler"), Reason.REVOKED_AGENT),
        (lambda acme, agent: acme.intervene(agent.instance_id), Reason.ORGANISM_STOPPED),
        (lambda acme, agent: acme.release(agent), Reason.LEASE_RELEASED),
        (lambda acme, agent: acme.plane.clock.advance(LEASE_MS), Reason.LEASE_EXPIRED),
    ],
)
def test_without_authority_no_session_opens(plane: Plane, acme: Tenancy, agent: Agent, end, reason) -> None:
    end(acme, agent)
    # Also when something else is wrong with it: the end comes first.
    assert is_refused(acme.open(agent, epoch=7), reason, agent.lease.lease_id)
    assert_sound(plane, acme)


def test_a_session_opens_up_to_the_last_millisecond(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(LEASE_MS - 1)
    acme.open(agent)
    assert len(acme.receipts(Kind.SESSION_OPENED)) == 1
    plane.clock.advance(1)
    assert is_refused(acme.open(agent), Reason.LEASE_EXPIRED)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"session_id": new_id(LEASE, 1)}, InvalidInputError, "id_malformed"),
        ({"scope": ["read:payments", "read:payments"]}, InvalidInputError, "scope_unsorted"),
        ({"opened_at": format_time(T0 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"opened_at": format_time(T0 + 600_001)}, InvalidInputError, "date_implausible"),
        ({"opened_at": "2027-02-30T00:00:00.000Z"}, InvalidInputError, "time_malformed"),
        ({"instance_id": uuid7_hex(1)}, ForbiddenError, "instance_mismatch"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_is_no_session_is_an_error(acme: Tenancy, agent: Agent, changes: dict, error, code: str) -> None:
    size = acme.size()
    with fails(error, code):
        acme.open(agent, **changes)
    assert acme.size() == size


def test_only_its_own_key_opens_and_closes(acme: Tenancy, agent: Agent) -> None:
    acme.open(agent)
    agent.signer = LocalSigner.generate(KeyRole.INSTANCE)
    with fails(ForbiddenError, "signature_invalid"):
        acme.close(agent)
    with fails(ForbiddenError, "signature_invalid"):
        acme.open(agent)


def test_a_session_is_opened_once(acme: Tenancy, globex: Tenancy) -> None:
    manifest = acme.ready()
    first, second = acme.started(manifest), acme.started(manifest)
    for agent in (first, second):
        with fails(ConflictError, "session_exists"):
            acme.open(agent, session_id=first.session_id)
    acme.close(first)
    with fails(ConflictError, "session_exists"):
        acme.open(first, session_id=first.session_id)
    # Another tenant has names of its own.
    theirs = globex.started(globex.ready())
    globex.open(theirs, session_id=first.session_id)
    assert globex.session(first.session_id).instance_id == theirs.instance_id


def test_open_sessions_are_limited(acme: Tenancy, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.SESSIONS_OPEN_MAX == 100
    monkeypatch.setattr(module, "SESSIONS_OPEN_MAX", 2)
    for _ in range(2):
        acme.open(agent)
    last = agent.session_id
    with fails(ConflictError, "sessions_exhausted"):
        acme.open(agent)
    agent.session_id = last
    acme.close(agent)
    acme.open(agent)
    assert len(acme.receipts(Kind.SESSION_OPENED)) == 3


def test_a_stranger_opens_nothing(acme: Tenancy, globex: Tenancy, agent: Agent) -> None:
    agent.caller = replace(agent.caller, tenant_id=globex.tenant_id)
    with fails(ForbiddenError, "lease_missing"):
        acme.open(agent)


# --- closing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED])
def test_a_session_ends_as_its_instance_says(
    plane: Plane, acme: Tenancy, agent: Agent, outcome: Outcome
) -> None:
    acme.open(agent)
    acme.work(agent)
    plane.clock.advance(5_000)
    evidence = [sha256_hex(b"report")]
    acme.close(agent, outcome, evidence=evidence)
    row = acme.session(agent.session_id)
    assert (row.closed_ms, row.outcome) == (acme.now_ms, outcome)
    header = acme.receipts(Kind.SESSION_CLOSED)[0]
    body = acme.statements(Kind.SESSION_CLOSED, Closing)[0]
    assert (header.outcome, header.evidence, header.payload_hash) == (outcome, evidence, body.payload_hash)
    assert (header.session_id, header.session_position) == (agent.session_id, 2)
    assert header.late is not True
    assert_sound(plane, acme)
    assert_valid(acme, Selection(kind="session", session_id=agent.session_id))


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.ABANDONED])
def test_an_instance_neither_denies_nor_abandons(acme: Tenancy, agent: Agent, outcome: Outcome) -> None:
    acme.open(agent)
    with fails(InvalidInputError, "outcome_invalid"):
        acme.close(agent, outcome)
    assert acme.session(agent.session_id).closed_ms is None


def test_a_closed_session_stays_as_it_is(acme: Tenancy, agent: Agent) -> None:
    acme.open(agent)
    acme.close(agent)
    with fails(ConflictError, "session_closed"):
        acme.close(agent, Outcome.FAILED)
    assert acme.session(agent.session_id).outcome == "completed"
    assert len(acme.receipts(Kind.SESSION_CLOSED)) == 1


def test_only_its_own_sessions_are_closed(acme: Tenancy) -> None:
    manifest = acme.ready()
    first, second = acme.started(manifest), acme.started(manifest)
    for changes in (
        {"session_id": second.session_id},
        {"session_id": second.session_id, "lease_id": second.lease.lease_id},
        {"session_id": new_id(SESSION, 1)},
        {"lease_id": second.lease.lease_id},
    ):
        with fails(NotFoundError, "session_missing"):
            acme.close(first, **changes)
    assert acme.session(second.session_id).closed_ms is None


@pytest.mark.parametrize(
    ("closed_at", "code"),
    [
        ("2027-02-30T00:00:00.000Z", "time_malformed"),
        ("2027-01-15T25:00:00.000Z", "time_malformed"),
        (format_time(T0 + 600_001), "date_implausible"),
    ],
)
def test_a_closing_has_a_date_that_can_be(acme: Tenancy, agent: Agent, closed_at: str, code: str) -> None:
    acme.open(agent)
    with fails(InvalidInputError, code):
        acme.close(agent, closed_at=closed_at)
    assert acme.session(agent.session_id).closed_ms is None
    acme.close(agent, closed_at=format_time(T0 + 600_000))


def test_a_closing_may_be_sent_long_after_it_was_signed(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.open(agent)
    signed_at = acme.now
    plane.clock.advance(LEASE_MS - 1)
    acme.close(agent, closed_at=signed_at)
    assert acme.session(agent.session_id).outcome == "completed"
    assert_sound(plane, acme)


def test_an_authorized_action_never_reported_ends_with_the_session(
    plane: Plane, acme: Tenancy, agent: Agent
) -> None:
    acme.open(agent)
    done = acme.authorize(agent, "pay:supplier")
    left = acme.authorize(agent, "pay:supplier")
    assert isinstance(done, Authorized)
    assert isinstance(left, Authorized)
    assert isinstance(acme.work(agent, "pay:supplier", decision_id=done.decision_id), ClaimReceipt)
    acme.close(agent)
    assert [header.kind for header in acme.receipts()][-2:] == [Kind.WORK, Kind.SESSION_CLOSED]
    abandoned = acme.receipts(Kind.WORK)[-1]
    assert (abandoned.action, abandoned.outcome) == ("pay:supplier", Outcome.ABANDONED)
    assert [row.outcome for row in acme.receipts(Kind.WORK)] == [Outcome.COMPLETED, Outcome.ABANDONED]
    assert not plane.read(lambda reader: reader.decisions(acme.tenant_id, agent.session_id))
    assert_sound(plane, acme)


@pytest.mark.parametrize(("after_ms", "late"), [(LEASE_MS - 1, False), (LEASE_MS, True)])
def test_a_closing_after_the_leases_end_is_late(
    plane: Plane, acme: Tenancy, agent: Agent, after_ms: int, *, late: bool
) -> None:
    acme.open(agent)
    plane.clock.advance(after_ms)
    acme.close(agent)
    assert (acme.receipts(Kind.SESSION_CLOSED)[0].late is True) is late
    assert_sound(plane, acme)


@pytest.mark.parametrize(("more_ms", "accepted"), [(0, True), (1, False)])
def test_late_has_an_end(plane: Plane, acme: Tenancy, agent: Agent, more_ms: int, *, accepted: bool) -> None:
    acme.open(agent)
    plane.clock.advance(LEASE_MS + LATE_MS_MAX + more_ms)
    if accepted:
        acme.close(agent)
        assert acme.receipts(Kind.SESSION_CLOSED)[0].late is True
    else:
        with fails(ConflictError, "lease_expired"):
            acme.close(agent)
        assert acme.session(agent.session_id).closed_ms is None
    acme.sweep()
    assert_sound(plane, acme)


def test_a_revoked_instance_may_still_say_how_it_ended(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.open(agent)
    plane.clock.advance(1_000)
    acme.revoke(Target.INSTANCE, agent.instance_id)
    acme.close(agent, Outcome.FAILED)
    header = acme.receipts(Kind.SESSION_CLOSED)[0]
    assert (header.late, header.outcome) == (True, Outcome.FAILED)
    assert_sound(plane, acme)


def test_what_the_control_plane_abandoned_is_not_closed_again(
    plane: Plane, acme: Tenancy, agent: Agent
) -> None:
    acme.open(agent)
    acme.intervene(agent.instance_id)
    with fails(ConflictError, "session_closed"):
        acme.close(agent)
    assert acme.statements(Kind.SESSION_CLOSED, Abandonment)[0].session_id == agent.session_id
    assert acme.instance(agent).state is OrganismState.STOPPED
    assert_sound(plane, acme)
