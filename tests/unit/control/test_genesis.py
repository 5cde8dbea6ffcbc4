from __future__ import annotations

import msgspec
import pytest

from dragons.control.genesis import FirstKeys, Genesis, create_tenant, prepare_genesis
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind
from dragons.identity.records import KEY, TENANT, Key, Tenant
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy, assert_sound


def keys() -> FirstKeys:
    roles = (KeyRole.ROOT, KeyRole.LEDGER, KeyRole.ISSUER, KeyRole.OPERATOR)
    return FirstKeys(*(LocalSigner.generate(role) for role in roles))


def create(plane: Plane, made: FirstKeys, tenant_id: str, genesis: Genesis) -> str:
    plane.keyring.put(tenant_id, made.ledger)
    plane.keyring.put(tenant_id, made.issuer)
    return plane.write(lambda tx: create_tenant(tx, genesis))


def resigned(made: FirstKeys, genesis: Genesis, **changes: object) -> Genesis:
    """The genesis with its operator key changed and signed again."""
    issuer, operator = genesis.keys
    body = msgspec.structs.replace(operator.body(KEY, Key), **changes)
    return Genesis(genesis.tenant, (issuer, sign(KEY, body, made.root)))


def test_a_tenant_begins_with_its_keys(plane: Plane) -> None:
    made = keys()
    tenant_id, genesis = prepare_genesis("acme", "ada", made, plane.clock.now_ms())
    assert create(plane, made, tenant_id, genesis) == tenant_id
    tenancy = Tenancy(plane, tenant_id, made.root, made.operator)
    assert [one.kind for one in tenancy.receipts()] == [
        Kind.TENANT_CREATED,
        Kind.KEY_REGISTERED,
        Kind.KEY_REGISTERED,
    ]
    rows = {row.role: row for row in plane.read(lambda reader: reader.keys(tenant_id))}
    assert {role: row.key_id for role, row in rows.items()} == {
        "ledger": made.ledger.key_id,
        "issuer": made.issuer.key_id,
        "operator": made.operator.key_id,
    }
    assert (rows["operator"].subject, rows["operator"].roles) == ("ada", ("admin", "operator"))
    tenant = plane.read(lambda reader: reader.tenant(tenant_id))
    assert tenant is not None
    assert (tenant.name, tenant.root_key) == ("acme", made.root.public_key.raw)
    report = assert_sound(plane, tenancy)
    assert report.pinned == made.root.public_key.fingerprint


def test_a_tenant_is_created_once(plane: Plane) -> None:
    made = keys()
    tenant_id, genesis = prepare_genesis("acme", "ada", made, plane.clock.now_ms())
    create(plane, made, tenant_id, genesis)
    with fails(ConflictError, "tenant_exists"):
        create(plane, made, tenant_id, genesis)


def test_all_of_it_is_signed_by_the_root_alone(plane: Plane) -> None:
    made, thief = keys(), LocalSigner.generate(KeyRole.ROOT)
    tenant_id, genesis = prepare_genesis("acme", "ada", made, plane.clock.now_ms())
    body = genesis.tenant.body(TENANT, Tenant)
    first = genesis.keys[0].body(KEY, Key)
    for wrong in (
        Genesis(sign(TENANT, body, thief), genesis.keys),
        Genesis(sign(TENANT, body, made.root, thief), genesis.keys),
        Genesis(genesis.tenant, (sign(KEY, first, thief),)),
        Genesis(genesis.tenant, (sign(KEY, first, made.root, made.issuer),)),
    ):
        with fails(ForbiddenError, "signature_invalid"):
            create(plane, made, tenant_id, wrong)
    assert not plane.read(lambda reader: reader.tenants())


def test_a_genesis_puts_no_key_into_another_tenant(plane: Plane, acme: Tenancy) -> None:
    made = keys()
    tenant_id, genesis = prepare_genesis("evil", "eve", made, plane.clock.now_ms())
    with fails(InvalidInputError, "genesis_malformed"):
        create(plane, made, tenant_id, resigned(made, genesis, tenant_id=acme.tenant_id))
    assert plane.read(lambda reader: reader.key(acme.tenant_id, made.operator.key_id)) is None
    assert plane.read(lambda reader: reader.tenant(tenant_id)) is None


@pytest.mark.parametrize("changes", [{"role": "root"}, {"role": "ledger"}, {"key_id": "opk_" + "0" * 32}])
def test_first_keys_are_what_they_are_called(plane: Plane, changes: dict[str, str]) -> None:
    made = keys()
    tenant_id, genesis = prepare_genesis("acme", "ada", made, plane.clock.now_ms())
    with fails(InvalidInputError, "genesis_malformed"):
        create(plane, made, tenant_id, resigned(made, genesis, **changes))
