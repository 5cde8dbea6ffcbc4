"""The bodies that put identities on the record, and the names of versions."""

from __future__ import annotations

import msgspec
import pytest

from dragons.core.canonical import Document, decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import ZERO
from dragons.identity import records
from dragons.identity.manifest import Manifest
from tests.property.builders import NOW_MS, name, signer

AT = format_time(NOW_MS)
TENANT_ID = name("tnt", 1)
RAW = signer(1).public_key.raw
MANIFEST = Manifest(
    agent="reconciler", code=[], config=[], capabilities=[], entrypoint=[], image="sha256:" + "00" * 32
)

TENANT = records.Tenant(tenant_id=TENANT_ID, name="Acme", root_key=RAW, ledger_key=RAW, created_at=AT)
KEY = records.Key(
    tenant_id=TENANT_ID, key_id=name("opk", 1), role="operator", public_key=RAW, subject="ana", roles=["operator"],
    not_before=AT, not_after=AT,
)  # fmt: skip
KEY_REVOCATION = records.KeyRevocation(
    tenant_id=TENANT_ID, key_id=name("opk", 1), revoked_at=AT, compromised_since=AT, reason="lost"
)
REGISTRATION = records.Registration(
    tenant_id=TENANT_ID, version=1, manifest=MANIFEST, manifest_hash=MANIFEST.hash(), registered_at=AT
)
ACTIVATION = records.Activation(
    tenant_id=TENANT_ID, agent="reconciler", version=1, manifest_hash=ZERO, ordinal=0, activated_at=AT
)


@pytest.mark.parametrize(
    "body", [TENANT, KEY, KEY_REVOCATION, REGISTRATION, ACTIVATION], ids=lambda body: type(body).__name__
)
def test_a_record_comes_back_from_its_bytes(body: Document) -> None:
    assert decode(type(body), encode(body)) == body


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        (TENANT, "root_key", RAW[1:]),
        (TENANT, "ledger_key", RAW + b"\x00"),
        (TENANT, "name", "x" * 501),
        (TENANT, "tenant_id", "tnt_1"),
        (KEY, "public_key", b""),
        (KEY, "not_after", "2027-01-15"),
        (KEY_REVOCATION, "reason", "x" * 501),
        (REGISTRATION, "version", 0),
        (REGISTRATION, "version", 1_000_001),
        (REGISTRATION, "manifest_hash", ""),
        (ACTIVATION, "version", 0),
        (ACTIVATION, "ordinal", -1),
        (ACTIVATION, "agent", "Reconciler"),
    ],
)
def test_a_record_with_a_value_out_of_bounds_is_refused(body: Document, field: str, value: object) -> None:
    with pytest.raises(InvalidInputError):
        decode(type(body), encode(msgspec.structs.replace(body, **{field: value})))


def test_the_kinds_of_statement_are_part_of_the_format() -> None:
    kinds = [records.TENANT, records.KEY, records.KEY_REVOCATION, records.REGISTRATION, records.ACTIVATION]
    assert kinds == ["tenant", "key", "key-revocation", "registration", "activation"]


@pytest.mark.parametrize(("agent", "version"), [("reconciler", 1), ("a", 7), ("a-b-v2", 1_000_000)])
def test_a_version_name_comes_back(agent: str, version: int) -> None:
    assert records.parse_version_name(records.version_name(agent, version)) == (agent, version)


def test_a_version_name_has_this_form() -> None:
    assert records.version_name("reconciler", 7) == "reconciler@v7"


@pytest.mark.parametrize(
    "text",
    ["", "reconciler", "reconciler@", "reconciler@v", "reconciler@7", "reconciler@v0", "reconciler@v07", "reconciler@v-1",
     "reconciler@v+1", "reconciler@v1 ", "reconciler@v1\n", "reconciler@v٣", "reconciler@v1.0", "@v1"],
)  # fmt: skip
def test_other_text_is_no_version_name(text: str) -> None:
    with pytest.raises(ValueError, match="not a version name"):
        records.parse_version_name(text)
