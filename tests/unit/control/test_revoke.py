from __future__ import annotations

import pytest

from dragons.authority.revocation import REVOCATIONS_VIEW, Revocation, RevocationsView, Target
from dragons.control import revoke as module
from dragons.control.revoke import VERSION_MAX, revocations_view
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import LEASE, new_id
from dragons.core.statement import Envelope, is_signed_by
from dragons.core.vocabulary import Kind, Reason
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound

T0 = 1_800_000_000_000
REASONS = {
    Target.OPERATOR: Reason.REVOKED_OPERATOR,
    Target.DOCK: Reason.REVOKED_DOCK,
    Target.AGENT: Reason.REVOKED_AGENT,
    Target.VERSION: Reason.REVOKED_VERSION,
    Target.INSTANCE: Reason.REVOKED_INSTANCE,
    Target.LEASE: Reason.REVOKED_LEASE,
}


def target_of(tenancy: Tenancy, agent: Agent, kind: Target) -> str:
    return {
        Target.OPERATOR: tenancy.operator.key_id,
        Target.DOCK: agent.lease.dock_id,
        Target.AGENT: "reconciler",
        Target.VERSION: "reconciler@v1",
        Target.INSTANCE: agent.instance_id,
        Target.LEASE: agent.lease.lease_id,
    }[kind]


def entries(tenancy: Tenancy) -> list[str]:
    return tenancy.plane.read(lambda reader: [row.entry for row in reader.revocations(tenancy.tenant_id)])


@pytest.mark.parametrize("kind", list(Target))
def test_a_revocation_holds_for_every_decision_after_it(plane: Plane, acme: Tenancy, kind: Target) -> None:
    agent = acme.started(acme.ready())
    target = target_of(acme, agent, kind)
    appended = acme.revoke(kind, target, reason="stolen")
    assert entries(acme) == [f"{kind}:{target}"]
    header = acme.receipts(Kind.REVOKED)[0]
    assert (header.receipt_id, header.revocation_seq) == (appended.receipt_id, 0)
    body = acme.statements(Kind.REVOKED, Revocation)[0]
    assert (body.kind, body.target, body.reason) == (kind, target, "stolen")
    since = plane.read(lambda reader: reader.revoked_since(acme.tenant_id, f"{kind}:{target}"))
    assert since == acme.now_ms
    # In the same millisecond.
    assert is_refused(acme.authorize(agent, "read:payments"), REASONS[kind])
    assert is_refused(acme.renew(agent), REASONS[kind])
    assert_sound(plane, acme)


@pytest.mark.parametrize("kind", [Target.VERSION, Target.LEASE])
def test_what_is_revoked_is_not_revoked_again(acme: Tenancy, kind: Target) -> None:
    agent = acme.started(acme.ready())
    acme.revoke(kind, target_of(acme, agent, kind))
    with fails(ConflictError, "revoked_already"):
        acme.revoke(kind, target_of(acme, agent, kind))
    assert len(entries(acme)) == len(acme.receipts(Kind.REVOKED)) == 1


def test_a_revoked_operator_revokes_nothing(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.revoke(Target.OPERATOR, acme.operator.key_id)
    with fails(ForbiddenError, "signer_not_valid"):
        acme.revoke(Target.INSTANCE, agent.instance_id)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (Target.OPERATOR, "opk_" + "0" * 32),
        (Target.DOCK, "dck_" + "0" * 32),
        (Target.AGENT, "notifier"),
        (Target.AGENT, "reconciler@v1"),
        (Target.VERSION, "notifier@v1"),
        (Target.VERSION, "reconciler@v2"),
        (Target.VERSION, f"reconciler@v{VERSION_MAX}"),
        (Target.VERSION, f"reconciler@v{VERSION_MAX + 1}"),
        (Target.VERSION, "reconciler@v" + "9" * 116),
        (Target.INSTANCE, "0000000000017000800000000000000f"),
        (Target.LEASE, "lse_" + "0" * 32),
        (Target.LEASE, "*"),
        (Target.LEASE, "x" * 128),
    ],
)
def test_what_does_not_exist_can_not_be_revoked(acme: Tenancy, kind: Target, target: str) -> None:
    acme.started(acme.ready())
    with fails(NotFoundError, "target_missing"):
        acme.revoke(kind, target)
    assert not entries(acme)
    assert not acme.receipts(Kind.REVOKED)


@pytest.mark.parametrize(
    "target", ["reconciler", "@v1", "reconciler@v", "reconciler@v01", "reconciler@1", "reconciler@v-1"]
)
def test_a_version_has_a_name_of_one_form(acme: Tenancy, target: str) -> None:
    acme.ready()
    with fails(InvalidInputError, "target_malformed"):
        acme.revoke(Target.VERSION, target)


def test_keys_that_are_no_operators_end_by_the_root_only(acme: Tenancy) -> None:
    for key in (acme.issuer, acme.ledger, acme.root):
        with fails(NotFoundError, "target_missing"):
            acme.revoke(Target.OPERATOR, key.key_id)


@pytest.mark.parametrize("kind", list(Target))
def test_nobody_revokes_what_another_tenant_has(acme: Tenancy, globex: Tenancy, kind: Target) -> None:
    agent = acme.started(acme.ready())
    with fails(NotFoundError, "target_missing"):
        globex.revoke(kind, target_of(acme, agent, kind))
    with fails(ForbiddenError, "signer_unknown"):
        acme.revoke(kind, target_of(acme, agent, kind), signer=globex.operator)
    assert not entries(acme)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"revocation_id": new_id(LEASE, 1)}, InvalidInputError, "id_malformed"),
        ({"revoked_at": format_time(T0 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"revoked_at": format_time(T0 + 600_001)}, InvalidInputError, "date_implausible"),
        ({"reason": ""}, InvalidInputError, "document_malformed"),
        ({"reason": "x" * 501}, InvalidInputError, "document_malformed"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_is_no_revocation_is_an_error(acme: Tenancy, changes: dict, error, code: str) -> None:
    acme.ready()
    with fails(error, code):
        acme.revoke(Target.AGENT, "reconciler", **changes)
    assert not entries(acme)


@pytest.mark.parametrize("target", ["", "x" * 129])
def test_a_target_has_1_to_128_characters(acme: Tenancy, target: str) -> None:
    with fails(InvalidInputError, "document_malformed"):
        acme.revoke(Target.AGENT, target)


def test_a_date_of_ten_minutes_ago_is_taken(acme: Tenancy) -> None:
    acme.ready()
    acme.revoke(Target.AGENT, "reconciler", revoked_at=format_time(T0 - 600_000), reason="x" * 500)
    assert entries(acme) == ["agent:reconciler"]


def test_an_auditor_revokes_nothing(acme: Tenancy) -> None:
    acme.ready()
    with fails(ForbiddenError, "signer_not_valid"):
        acme.revoke(Target.AGENT, "reconciler", signer=acme.hire("auditor"))


# --- the feed -------------------------------------------------------------------------------------


def view(tenancy: Tenancy, after: int = 0) -> tuple[RevocationsView, Envelope]:
    envelope = tenancy.plane.read(
        lambda reader: revocations_view(reader, tenancy.tenant_id, after, tenancy.issuer, tenancy.now_ms)
    )
    return envelope.body(REVOCATIONS_VIEW, RevocationsView), envelope


def test_the_feed_is_signed_and_dated_also_when_it_is_empty(plane: Plane, acme: Tenancy) -> None:
    plane.clock.advance(1_234)
    body, envelope = view(acme)
    assert (body.tenant_id, body.after, body.count, body.entries) == (acme.tenant_id, 0, 0, [])
    assert body.as_of == acme.now
    assert is_signed_by(envelope, acme.issuer.key_id, acme.issuer.public_key)


def test_the_feed_goes_on_where_its_reader_stopped(acme: Tenancy, globex: Tenancy) -> None:
    manifest = acme.ready()
    agents = [acme.started(manifest) for _ in range(3)]
    for agent in agents:
        acme.revoke(Target.INSTANCE, agent.instance_id)
    expected = [f"instance:{agent.instance_id}" for agent in agents]
    for after in range(5):
        body, _ = view(acme, after)
        assert (body.after, body.count, body.entries) == (after, 3, expected[after:])
    assert view(globex)[0].count == 0


def test_a_long_feed_comes_in_parts(acme: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VIEW_MAX", 2)
    manifest = acme.ready()
    for _ in range(3):
        acme.revoke(Target.INSTANCE, acme.started(manifest).instance_id)
    first, _ = view(acme)
    rest, _ = view(acme, len(first.entries))
    assert (len(first.entries), first.count) == (2, 3)
    assert [*first.entries, *rest.entries] == entries(acme)
