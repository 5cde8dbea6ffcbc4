from __future__ import annotations

import pytest

from dragons.audit.pack import Selection
from dragons.authority.revocation import Target
from dragons.control.keys import register_key, revoke_key
from dragons.control.ports import Filter
from dragons.core.clock import format_time
from dragons.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, Reason
from dragons.identity.records import KEY_REVOCATION, KeyRevocation
from tests.support.expect import fails, is_refused
from tests.support.plane import Plane, Tenancy, assert_sound, assert_valid, make_manifest, verify


def row_of(tenancy: Tenancy, key_id: str):
    return tenancy.plane.read(lambda reader: reader.key(tenancy.tenant_id, key_id))


def test_the_root_adds_an_operator(plane: Plane, acme: Tenancy) -> None:
    second = acme.hire("operator")
    row = row_of(acme, second.key_id)
    assert (row.role, row.roles, row.revoked_ms) == ("operator", ("operator",), None)
    acme.publish(signer=second)
    assert_sound(plane, acme)


@pytest.mark.parametrize("role", [KeyRole.ISSUER, KeyRole.LEDGER])
def test_a_rotated_key_takes_over_without_a_restart(plane: Plane, acme: Tenancy, role: KeyRole) -> None:
    manifest = acme.ready()
    agent = acme.started(manifest)
    acme.work(agent)
    old = acme.rotate(role)
    plane.clock.advance(1_000)
    acme.work(agent)
    assert isinstance(acme.renew(agent), object)
    acme.started(manifest)
    rows = plane.read(
        lambda reader: [row.ledger_key_id for row in reader.iter_receipts(acme.tenant_id, Filter())]
    )
    if role is KeyRole.LEDGER:
        assert set(rows) == {old.key_id, acme.ledger.key_id}
        assert rows[-1] == acme.ledger.key_id
    assert_sound(plane, acme)
    plane.clock.advance(1_000)
    acme.revoke_key(old.key_id)
    plane.clock.advance(1_000)
    acme.work(agent)
    acme.sweep()
    assert_sound(plane, acme)
    assert_valid(acme, Selection(kind="session", session_id=agent.session_id))
    assert_valid(acme, Selection(kind="agent", agent="reconciler"))


def test_a_key_in_use_can_not_be_revoked_before_it_is_rotated(plane: Plane, acme: Tenancy) -> None:
    size = acme.size()
    with fails(StorageError, "signing_key_invalid"):
        acme.revoke_key(acme.ledger.key_id)
    assert row_of(acme, acme.ledger.key_id).revoked_ms is None
    assert acme.size() == size
    acme.publish()
    assert_sound(plane, acme)


def test_a_revoked_issuer_issues_nothing_until_it_is_replaced(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    agent = acme.started(manifest)
    acme.revoke_key(acme.issuer.key_id)
    plane.clock.advance(1_000)
    for attempt in (lambda: acme.launch(manifest), lambda: acme.renew(agent)):
        with fails(StorageError, "signing_key_invalid"):
            attempt()
    fresh = LocalSigner.generate(KeyRole.ISSUER)
    acme.register_key(fresh)
    plane.keyring.put(acme.tenant_id, fresh)
    acme.started(manifest)
    assert_sound(plane, acme)


def test_a_key_that_is_not_on_the_record_signs_nothing(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    plane.keyring.put(acme.tenant_id, LocalSigner.generate(KeyRole.LEDGER))
    with fails(StorageError, "signing_key_invalid"):
        acme.register(make_manifest())


def test_signatures_since_the_compromise_do_not_count(plane: Plane, acme: Tenancy) -> None:
    second = acme.hire("operator")
    plane.clock.advance(1_000)
    since = acme.now
    acme.publish(signer=second)
    plane.clock.advance(1_000)
    acme.revoke_key(second.key_id, compromised_since=since)
    report = verify(acme, Selection(kind="ledger"))
    assert not report.valid
    assert [str(question) for question, one in report.verdicts.items() if one.fault] == ["signer"]


def test_an_operators_end_takes_the_leases_with_it(plane: Plane, acme: Tenancy) -> None:
    second = acme.hire("operator")
    acme.publish()
    acme.register(make_manifest())
    acme.activate(make_manifest())
    acme.dock("reconciler", ["read:payments"], signer=second)
    agent = acme.started(make_manifest())
    plane.clock.advance(1_000)
    acme.revoke_key(second.key_id)
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.REVOKED_OPERATOR)
    assert is_refused(acme.launch(make_manifest()), Reason.REVOKED_OPERATOR)
    with fails(ForbiddenError, "signer_not_valid"):
        acme.publish(2, signer=second)
    acme.sweep()
    assert_sound(plane, acme)


def changed(**changes):
    return lambda acme, key: acme.key_statement(key, roles=["operator"], **changes)


@pytest.mark.parametrize(
    ("statement", "error", "code"),
    [
        (changed(key_id="opk_" + "0" * 32), InvalidInputError, "key_id_mismatch"),
        (changed(role="issuer"), InvalidInputError, "key_id_mismatch"),
        (changed(role="root"), InvalidInputError, "key_id_mismatch"),
        (lambda acme, key: acme.key_statement(key, roles=["god"]), InvalidInputError, "key_roles"),
        (
            lambda acme, key: acme.key_statement(LocalSigner.generate(KeyRole.ISSUER), roles=["admin"]),
            InvalidInputError,
            "key_roles",
        ),
        (changed(not_after="2020-01-01T00:00:00.000Z"), InvalidInputError, "key_validity"),
        (lambda acme, key: acme.key_statement(key, acme.operator), ForbiddenError, "signature_invalid"),
        (changed(replaces="opk_" + "0" * 32), ForbiddenError, "signature_invalid"),
        (
            lambda acme, key: acme.key_statement(key, key, replaces=key.key_id),
            NotFoundError,
            "key_missing",
        ),
        (
            lambda acme, key: acme.key_statement(key, acme.issuer, replaces=acme.issuer.key_id),
            NotFoundError,
            "key_missing",
        ),
        (
            lambda acme, key: acme.key_statement(
                key, Impostor(acme.operator.key_id), replaces=acme.operator.key_id
            ),
            ForbiddenError,
            "signature_invalid",
        ),
        (changed(public_key=bytes(32)), InvalidInputError, "key_low_order"),
        (changed(tenant_id="tnt_" + "0" * 32), ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_the_root_did_not_sign_that_way_is_no_key(acme: Tenancy, statement, error, code: str) -> None:
    key = LocalSigner.generate(KeyRole.OPERATOR)
    made = statement(acme, key)
    with fails(error, code):
        acme.do(register_key, made)
    assert row_of(acme, key.key_id) is None


class Impostor:
    """Signs under somebody else's key id."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._signer = LocalSigner.generate(KeyRole.OPERATOR)

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)


def test_an_operator_registers_and_revokes_no_key(acme: Tenancy) -> None:
    key = LocalSigner.generate(KeyRole.OPERATOR)
    acme.root, root = acme.operator, acme.root
    with fails(ForbiddenError, "signature_invalid"):
        acme.register_key(key)
    with fails(ForbiddenError, "signature_invalid"):
        acme.revoke_key(root.key_id)


def test_a_key_is_registered_and_revoked_once(acme: Tenancy) -> None:
    second = acme.hire("operator")
    with fails(ConflictError, "key_exists"):
        acme.register_key(second)
    acme.revoke_key(second.key_id)
    with fails(ConflictError, "key_revoked"):
        acme.revoke_key(second.key_id)
    with fails(NotFoundError, "key_missing"):
        acme.revoke_key("opk_" + "0" * 32)
    row = row_of(acme, second.key_id)
    assert (row.revoked_ms, row.compromised_ms) == (acme.now_ms, acme.now_ms + 1)
    assert [one.kind for one in acme.receipts(Kind.KEY_REVOKED)] == [Kind.KEY_REVOKED]


def test_the_root_of_one_tenant_is_nobody_in_another(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    with fails(ForbiddenError, "tenant_mismatch"):
        globex.do(register_key, acme.key_statement(LocalSigner.generate(KeyRole.OPERATOR)))
    body = KeyRevocation(
        tenant_id=globex.tenant_id,
        key_id=globex.operator.key_id,
        revoked_at=acme.now,
        compromised_since=format_time(acme.now_ms + 1),
        reason="sabotage",
    )
    statement = sign(KEY_REVOCATION, body, acme.root)
    with fails(ForbiddenError, "signature_invalid"):
        plane.write(lambda tx: revoke_key(tx, globex.issuer, globex.caller, statement))
    assert row_of(globex, globex.operator.key_id).revoked_ms is None


def test_a_revoked_key_is_an_entry_of_the_feed(plane: Plane, acme: Tenancy) -> None:
    second = acme.hire("operator")
    acme.revoke_key(second.key_id)
    rows = plane.read(lambda reader: reader.revocations(acme.tenant_id))
    assert [(row.ordinal, row.entry) for row in rows] == [(0, f"{Target.OPERATOR}:{second.key_id}")]
