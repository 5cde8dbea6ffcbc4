"""Makes spec/vectors: `packs/` with `index.json`, and one JSON file for each smaller format.

The same in every run. A pack counts as unchanged when its entries are: how an archive is compressed
may differ from one zlib to another, what is in it may not.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from dragons.audit.verify import verify_file
from dragons.core.canonical import canonical, encode
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole
from dragons.core.statement import pae, payload_type
from dragons.evidence.checkpoint import Witness, cosign, format_witness, parse_witness, sign_checkpoint
from dragons.evidence.merkle import Range, consistency_proof, inclusion_proof, leaf_hash
from dragons.evidence.payload import commit
from dragons.evidence.receipt import CLAIM
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.tokens import Confirmation, Workload, issue_token, thumbprint
from tests.support import cases_more, story
from tests.support.cases import WITNESS, WITNESS_NAME, Case
from tests.support.ledger import signer_of

FOLDER = Path(__file__).resolve().parents[1] / "spec" / "vectors"
PACKS = FOLDER / "packs"


def main(arguments: list[str]) -> int:
    """Write what differs, or with `--check` only name it."""
    check = arguments == ["--check"]
    made = {**small(), **packs_and_index()}
    stale = [path for path, data in made.items() if not same(path, data)]
    extra = [path for path in FOLDER.rglob("*") if path.is_file() and path not in made]
    for path in stale:
        print(f"vectors: {'out of date' if check else 'written'}: {path.relative_to(FOLDER)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made[path])
    for path in extra:
        print(f"vectors: nothing makes {path.relative_to(FOLDER)}")
    return int(bool(extra) or (check and bool(stale)))


def same(path: Path, data: bytes) -> bool:
    """True when the file is there with these bytes, or is an archive with the same entries."""
    if not path.is_file():
        return False
    there = path.read_bytes()
    return there == data or (path.suffix == ".zip" and _entries(there) == _entries(data))


def _entries(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


# --- packs -----------------------------------------------------------------------------------------


def packs_and_index() -> dict[Path, bytes]:
    """Every pack, and `index.json` with what a verifier must say of it."""
    made: dict[Path, bytes] = {}
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases_more.all_of_it():
            data = case.to_bytes()
            path = Path(folder) / f"{case.name}.zip"
            path.write_bytes(data)
            made[PACKS / path.name] = data
            entries.append(_entry(case, path))
    made[PACKS / "index.json"] = _pretty({"packs": entries})
    return made


def _entry(case: Case, path: Path) -> dict[str, Any]:
    options = dict(case.options)
    if "witnesses" in options:
        options["witnesses"] = [parse_witness(one) for one in options["witnesses"]]
    return {
        "file": path.name,
        "description": case.description,
        "root": case.pin,
        "options": case.options,
        "report": verify_file(path, case.pin, workers=1, **options).to_json(),
    }


# --- smaller formats -------------------------------------------------------------------------------


def small() -> dict[Path, bytes]:
    """One file for each format that a verifier is made of."""
    files = {
        "canonical": canonical_bytes(),
        "keys": keys(),
        "manifest": manifests(),
        "payload": payloads(),
        "statement": statements(),
        "receipt": receipts(),
        "merkle": merkle(),
        "checkpoint": checkpoints(),
        "token": tokens(),
    }
    return {FOLDER / f"{name}.json": _pretty(value) for name, value in files.items()}


def canonical_bytes() -> dict[str, Any]:
    """Values with their one encoding, and what is refused."""
    good: list[Any] = [
        {},
        [],
        "",
        0,
        -1,
        True,
        {"b": 1, "a": [2, {"d": False, "c": ""}]},
        {"é": 1, "e": 2, "z": 3},
        # Sorted by UTF-16 code units: U+1F600 comes before U+FB33.
        {"\U0001f600": 1, "\ufb33": 2},
        '\u0000\u001f"\\/\b\t\n\f\r\u007f\u2028',
        2**53 - 1,
        -(2**53) + 1,
        "Zoë \U0001f409",
    ]
    refused = [
        "1.0",
        "null",
        "9007199254740992",
        '{"a":1,"a":2}',
        '{"b":1,"a":2}',
        '{"a": 1}',
        '"\\u0041"',
        '"\\ud800"',
        "01",
    ]
    return {
        "equal": [{"value": value, "hex": canonical(value).hex()} for value in good],
        "refused": [{"text": text} for text in refused],
    }


def keys() -> dict[str, Any]:
    """Seeds, key ids, fingerprints, and keys that are refused."""
    made = []
    for role in KeyRole:
        signer = signer_of(f"vectors/{role.value}", role)
        made.append(
            {
                "role": role.name.lower(),
                "seed": signer.seed().hex(),
                "public_key": signer.public_key.raw.hex(),
                "key_id": signer.key_id,
                "fingerprint": signer.public_key.fingerprint,
            }
        )
    order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
    unsafe = [bytes(32).hex(), (1).to_bytes(32, "little").hex(), order_8, "ff" * 32, "00" * 31]
    return {"keys": made, "refused": unsafe}


def manifests() -> dict[str, Any]:
    """Manifests with their hashes."""
    file = FileDigest(path="agent.py", sha256="ab" * 32, bytes=1234)
    config = FileDigest(path="conf/é.yaml", sha256="cd" * 32, bytes=0)
    made = [
        Manifest(agent="a", code=[file], config=[], capabilities=[], entrypoint=[]),
        Manifest(
            agent="reconciler",
            code=[file],
            config=[config],
            capabilities=["read:payments", "write:ledger"],
            entrypoint=["python", "agent.py"],
            image=f"sha256:{'ef' * 32}",
        ),
    ]
    return {"manifests": [{"manifest": json.loads(encode(m)), "manifest_hash": m.hash()} for m in made]}


def payloads() -> dict[str, Any]:
    """Payload commitments."""
    values: list[dict[str, Any]] = [{}, {"goal": "reconcile payments", "scope": ["read:payments"]}]
    found = []
    for number, value in enumerate(values):
        one = commit(value, salt=bytes([number]) * 32)
        line = encode(one).decode()
        found.append({"value": value, "salt": one.salt.hex(), "payload_hash": one.payload_hash, "line": line})
    return {"payloads": found}


def statements() -> dict[str, Any]:
    """Pre-authentication encodings and a signed statement."""
    signer = signer_of("vectors/ink", KeyRole.INSTANCE)
    message = pae(payload_type(CLAIM), b"{}")
    return {
        "pae": [
            {"type": kind, "payload": payload.hex(), "pae": pae(kind, payload).hex()}
            for kind, payload in [
                ("http://example.com/HelloWorld", b"hello world"),
                (payload_type("receipt"), b"{}"),
                ("é", "ü".encode()),
                ("", b""),
            ]
        ],
        "signed": {
            "public_key": signer.public_key.raw.hex(),
            "envelope": {
                "payload": b64encode(b"{}").decode(),
                "payloadType": payload_type(CLAIM),
                "signatures": [{"keyid": signer.key_id, "sig": b64encode(signer.sign(message)).decode()}],
            },
        },
    }


def receipts() -> dict[str, Any]:
    """The first receipts of a ledger: header, chain_root, record, leaf hash."""
    book = story.short(cycles=1).book
    found = []
    for placed, header in zip(book.placed, book.headers, strict=True):
        record = placed.record
        found.append(
            {
                "header": json.loads(record.header.payload),
                "statement": json.loads(record.statement.payload),
                "statement_hash": header.statement_hash,
                "chain_root": header.chain_root(),
                "record": record.leaf().decode(),
                "leaf_hash": leaf_hash(record.leaf()).hex(),
            }
        )
    return {"receipts": found}


def merkle() -> dict[str, Any]:
    """Roots of growing trees, and all proofs of one of them."""
    size = 13
    leaves = [f"leaf {n}".encode() for n in range(size)]
    tree = Range()
    nodes = {(0, n): leaf_hash(leaf) for n, leaf in enumerate(leaves)}
    roots = [tree.root().hex()]
    for leaf in leaves:
        tree.append(leaf_hash(leaf), lambda node: nodes.update({(node.level, node.offset): node.hash}))
        roots.append(tree.root().hex())

    def read(level: int, index: int) -> bytes:
        return nodes[level, index]

    return {
        "leaves": [leaf.decode() for leaf in leaves],
        "roots": roots,
        "inclusion": [[one.hex() for one in inclusion_proof(n, size, read)] for n in range(size)],
        "consistency": [[one.hex() for one in consistency_proof(n, size, read)] for n in range(1, size + 1)],
    }


def checkpoints() -> dict[str, Any]:
    """A checkpoint, and the same with a witness."""
    signer = signer_of("vectors/lgk", KeyRole.LEDGER)
    tenant_id = "tnt_01a3185c57d070008000000000000001"
    note = sign_checkpoint(tenant_id, 42, bytes(range(32)), signer)
    return {
        "tenant_id": tenant_id,
        "ledger_key": signer.public_key.raw.hex(),
        "size": 42,
        "root": bytes(range(32)).hex(),
        "note": note,
        "witness": format_witness(Witness(WITNESS_NAME, WITNESS.public_key)),
        "cosigned": cosign(note, WITNESS_NAME, WITNESS, 1_800_000_000),
    }


def tokens() -> dict[str, Any]:
    """A workload token and the thumbprint that binds it."""
    issuer = signer_of("vectors/isk", KeyRole.ISSUER)
    instance = signer_of("vectors/ink", KeyRole.INSTANCE)
    workload = Workload(
        tenant_id="tnt_01a3185c57d070008000000000000001",
        sub="01a3185c57d070008000000000000002",
        agent="reconciler@v7",
        lease_id="lse_01a3185c57d070008000000000000003",
        epoch=1,
        iat=1_800_000_000,
        exp=1_800_000_900,
        cnf=Confirmation(jkt=thumbprint(instance.public_key)),
    )
    return {
        "issuer_key": issuer.public_key.raw.hex(),
        "issuer_key_id": issuer.key_id,
        "instance_key": instance.public_key.raw.hex(),
        "claims": json.loads(encode(workload)),
        "token": issue_token(workload, issuer),
    }


def _pretty(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InvalidInputError as error:
        sys.exit(f"vectors: {error}")
