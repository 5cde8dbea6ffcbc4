"""The examples of the specification: a small tenant with fixed keys, times and names.

Every key's seed is SHA-256 of `dragons specification: <name>`, so that anyone can make it again.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from dragons.core.canonical import Document, canonical, encode
from dragons.core.clock import format_time
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, pae, payload_type, sign
from dragons.core.vocabulary import Kind
from dragons.evidence.chain import Head, Sealed, seal
from dragons.evidence.checkpoint import Witness, cosign, format_witness, sign_checkpoint
from dragons.evidence.merkle import Range, consistency_proof, inclusion_proof
from dragons.evidence.payload import commit
from dragons.evidence.receipt import Header
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.proof import Request, sign_request
from dragons.identity.records import KEY, TENANT, Key, Tenant
from dragons.identity.tokens import Confirmation, Workload, issue_token, thumbprint
from dragons.liveness.mtboi import mtboi_seconds

T0_MS = 1_800_000_000_000
TENANT_ID = "tnt_01a3189cf80070008000000000000001"
INSTANCE_ID = "01a3189cf80070008000000000000002"
LEASE_ID = "lse_01a3189cf80070008000000000000003"
WITNESS = "witness.example/w1"
HOUR_MS = 3_600_000

Example = dict[str, Any]


def seed_of(name: str) -> bytes:
    """The secret of the example key `name`."""
    return sha256(f"dragons specification: {name}".encode()).digest()


def signer_of(name: str, role: KeyRole) -> LocalSigner:
    """The example key `name`."""
    return LocalSigner.from_seed(seed_of(name), role)


def plain(document: Document) -> Any:  # noqa: ANN401 - any JSON value
    """A document as the JSON value that its canonical bytes say."""
    return msgspec.json.decode(encode(document))


class Specimen(NamedTuple):
    """Three receipts: genesis, the issuer's key, the operator's key."""

    sealed: list[Sealed]
    statements: list[Envelope]


@cache
def specimen() -> Specimen:
    """The example tenant's ledger."""
    root, ledger = signer_of("root", KeyRole.ROOT), signer_of("ledger", KeyRole.LEDGER)
    tenant = Tenant(
        tenant_id=TENANT_ID,
        name="Example",
        root_key=root.public_key.raw,
        ledger_key=ledger.public_key.raw,
        created_at=format_time(T0_MS - 60_000),
    )
    statements = [sign(TENANT, tenant, root)]
    for name, role, roles in (
        ("issuer", KeyRole.ISSUER, []),
        ("operator", KeyRole.OPERATOR, ["admin", "operator"]),
    ):
        key = signer_of(name, role)
        body = Key(
            tenant_id=TENANT_ID,
            key_id=key.key_id,
            role=name,
            public_key=key.public_key.raw,
            subject=f"the {name} of the example",
            roles=list(roles),
            not_before=format_time(T0_MS - 60_000),
            not_after=format_time(T0_MS + 365 * 24 * HOUR_MS),
        )
        statements.append(sign(KEY, body, root))
    head, made = Head(), []
    for seq, statement in enumerate(statements):
        header = Header(
            receipt_id=f"rcp_01a3189cf800700080000000000001{seq:02x}",
            tenant_id=TENANT_ID,
            seq=seq,
            kind=Kind.KEY_REGISTERED if seq else Kind.TENANT_CREATED,
            parent_root=head.chain_root,
            statement_hash=statement.payload_digest(),
            issued_at=format_time(T0_MS + seq * 250),
        )
        made.append(seal(head, header, statement, ledger))
    return Specimen(made, statements)


def canonical_json() -> Example:
    """Order of keys, escapes, and what has no escape."""
    value = {"\U0001f409": 1, "\ufb33": 2, "b": [True, -7], "a": 'tab\t, quote ", solidus /, ü, \x1f', "": {}}
    return {
        "value": value,
        "canonical": canonical(value).decode(),
        "sha256": sha256(canonical(value)).hexdigest(),
    }


def keys() -> Example:
    """The example keys."""
    found = {}
    for name, role in (("root", KeyRole.ROOT), ("ledger", KeyRole.LEDGER), ("operator", KeyRole.OPERATOR)):
        signer = signer_of(name, role)
        found[name] = {
            "seed": seed_of(name).hex(),
            "public_key": signer.public_key.raw.hex(),
            "key_id": signer.key_id,
            "fingerprint": signer.public_key.fingerprint,
        }
    return found


def statement() -> Example:
    """The genesis as a signed statement."""
    envelope = specimen().statements[0]
    return {
        "body": msgspec.json.decode(envelope.payload),
        "pae_sha256": sha256(pae(payload_type(TENANT), envelope.payload)).hexdigest(),
        "payload_sha256": envelope.payload_digest(),
        "envelope": plain(envelope),
    }


def manifest() -> Example:
    """A manifest and its hash."""
    made = Manifest(
        agent="greeter",
        code=[FileDigest(path="agent.py", sha256=sha256(b'print("hello")\n').hexdigest(), bytes=15)],
        config=[FileDigest(path="config.json", sha256=sha256(b"{}\n").hexdigest(), bytes=3)],
        capabilities=["read:payments", "write:ledger"],
        entrypoint=["python", "agent.py"],
    )
    return {"manifest": plain(made), "manifest_hash": made.hash()}


def token() -> Example:
    """A workload token."""
    issuer, instance = signer_of("issuer", KeyRole.ISSUER), signer_of("instance", KeyRole.INSTANCE)
    claims = Workload(
        tenant_id=TENANT_ID,
        sub=INSTANCE_ID,
        agent="greeter@v1",
        lease_id=LEASE_ID,
        epoch=1,
        iat=T0_MS // 1000,
        exp=T0_MS // 1000 + 900,
        cnf=Confirmation(jkt=thumbprint(instance.public_key)),
    )
    made = issue_token(claims, issuer)
    head = made.partition(".")[0]
    return {
        "issuer_public_key": issuer.public_key.raw.hex(),
        "instance_public_key": instance.public_key.raw.hex(),
        "header": msgspec.json.decode(urlsafe_b64decode(head + "=" * (-len(head) % 4))),
        "claims": plain(claims),
        "token": made,
    }


def proof() -> Example:
    """A signed request."""
    instance = signer_of("instance", KeyRole.INSTANCE)
    request = Request("GET", "/v1/revocations", "after=0", b"", "Bearer TOKEN")
    headers = sign_request(request, instance, now_ms=T0_MS, nonce="0123456789abcdef0123456789abcdef")
    parameters = headers["signature-input"].removeprefix("dragons=")
    lines = [
        f'"@method": {request.method}',
        f'"@path": {request.path}',
        f'"@query": ?{request.query}',
        f'"content-digest": {headers["content-digest"]}',
        f'"authorization": {request.authorization}',
        f'"@signature-params": {parameters}',
    ]
    return {
        "public_key": instance.public_key.raw.hex(),
        "signature_base": lines,
        "headers": {"authorization": request.authorization, **headers},
    }


def receipt() -> Example:
    """Receipt 1: header, chain root, and the leaf of the log."""
    one = specimen().sealed[1]
    return {
        "header": msgspec.json.decode(one.header_bytes),
        "chain_root": one.chain_root,
        "record": plain(one.record),
        "leaf_hash": one.leaf.hex(),
    }


def payload() -> Example:
    """A payload commitment."""
    value = {"goal": "greet", "scope": ["read:payments"]}
    made = commit(value, salt=sha256(b"dragons specification: salt").digest())
    return {"value": value, "salt": made.salt.hex(), "payload_hash": made.payload_hash, "line": plain(made)}


def ledger() -> Example:
    """Chain and tree over three receipts, a checkpoint with a cosignature, and two proofs."""
    sealed = specimen().sealed
    tree, nodes = Range(), {}
    for index, one in enumerate(sealed):
        nodes[0, index] = one.leaf
        for node in one.completed:
            nodes[node.level, node.offset] = node.hash
        tree.append(one.leaf)
    key = signer_of("ledger", KeyRole.LEDGER)
    witness = signer_of("witness", KeyRole.INSTANCE)
    note = sign_checkpoint(TENANT_ID, len(sealed), tree.root(), key)
    return {
        "chain_roots": [one.chain_root for one in sealed],
        "parent_roots": [one.header.parent_root for one in sealed],
        "leaf_hashes": [one.leaf.hex() for one in sealed],
        "root": tree.root().hex(),
        "inclusion_of_1": [one.hex() for one in inclusion_proof(1, 3, lambda *at: nodes[at])],
        "consistency_of_2": [one.hex() for one in consistency_proof(2, 3, lambda *at: nodes[at])],
        "ledger_public_key": key.public_key.raw.hex(),
        "witness": format_witness(Witness(WITNESS, witness.public_key)),
        "checkpoint": cosign(note, WITNESS, witness, T0_MS // 1000),
    }


def mtboi() -> Example:
    """Two instances, one of them older than the window; three interventions."""
    now_ms = T0_MS
    spans = [(now_ms - 40 * 24 * HOUR_MS, now_ms - 20 * 24 * HOUR_MS), (now_ms - 2 * 24 * HOUR_MS, now_ms)]
    return {
        "now_ms": now_ms,
        "running_ms": [list(span) for span in spans],
        "interventions": 3,
        "mtboi_seconds": mtboi_seconds(spans, 3, now_ms),
    }


EXAMPLES: dict[str, Callable[[], Example]] = {
    "canonical": canonical_json, "keys": keys, "statement": statement, "manifest": manifest, "token": token,
    "proof": proof, "receipt": receipt, "payload": payload, "ledger": ledger, "mtboi": mtboi,
}  # fmt: skip
