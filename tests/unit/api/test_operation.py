"""A call checks its credential in the same view of the store as what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from dragons.api.access import ACCESS
from dragons.api.app import OPERATIONS
from dragons.api.authentication import Authenticator
from dragons.api.operation import Call, Operation
from dragons.compose import Names, add_tenant, build_backend
from dragons.control.caller import Caller
from dragons.control.ports import Transaction
from dragons.core.clock import ManualClock
from dragons.core.errors import UnauthenticatedError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Role
from dragons.settings import Settings
from dragons.wire.base import Empty


def outcomes(home: Path, *, issuer: bool, ended: bool) -> list[str]:
    """What each way of reaching the store came to, with and without an issuer, ended or not."""
    settings, clock = Settings(home=home), ManualClock()

    async def main() -> list[str]:
        backend = build_backend(settings, clock)
        tenant_id = add_tenant(settings, backend.store, Names("acme", "Ada"), clock).tenant_id
        key_id = backend.keyring.issuer(tenant_id).key_id if issuer else ""
        if ended:
            await backend.write(lambda tx: end(tx, tenant_id, key_id))
        one: Call[Empty] = Call(
            caller=Caller(tenant_id, Role.INSTANCE), input=Empty(), path={}, headers={}, backend=backend,
            authorization="", authenticator=Authenticator(backend.store, clock, tokens_max=1, nonces_max=2),
            issuer_key_id=key_id,
        )  # fmt: skip
        found = [await code_of(one.read(lambda _: "read")), await code_of(one.write(lambda _: "written"))]
        try:
            one.check_now()
        except UnauthenticatedError as error:
            found.append(error.code)
        backend.close()
        return found

    return asyncio.run(main())


def end(tx: Transaction, tenant_id: str, key_id: str) -> None:
    row = tx.key(tenant_id, key_id)
    assert row is not None
    tx.put_key(structs.replace(row, revoked_ms=tx.now_ms))


async def code_of(waiting: Awaitable[str]) -> str:
    try:
        return await waiting
    except UnauthenticatedError as error:
        return error.code


def test_a_good_issuer_is_let_through(tmp_path: Path) -> None:
    assert outcomes(tmp_path, issuer=True, ended=False) == ["read", "written"]


def test_an_api_token_has_no_issuer(tmp_path: Path) -> None:
    assert outcomes(tmp_path, issuer=False, ended=False) == ["read", "written"]


def test_an_ended_issuer_reaches_nothing(tmp_path: Path) -> None:
    assert outcomes(tmp_path, issuer=True, ended=True) == ["token_invalid"] * 3


def test_an_instance_key_is_one_that_was_proven(tmp_path: Path) -> None:
    backend = build_backend(Settings(home=tmp_path), ManualClock())
    authenticator = Authenticator(backend.store, backend.clock, tokens_max=1, nonces_max=2)
    known = Call(Caller("", Role.LAUNCHER), Empty(), {}, {}, backend, "", authenticator)
    with pytest.raises(UnauthenticatedError) as caught:
        known.instance_key()
    assert caught.value.code == "proof_missing"
    key = LocalSigner.generate(KeyRole.INSTANCE).public_key
    assert replace(known, key=key).instance_key() == key
    backend.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_operations_are_described(operation: Operation) -> None:
    assert operation.name in ACCESS
    assert operation.handler.__doc__
    assert operation.has_body == (operation.method == "POST")
    assert operation.path.startswith("/v1/") or operation.path in {"/", "/livez", "/readyz", "/metrics"}
