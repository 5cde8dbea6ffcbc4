"""The specification says what the code does, and its examples can be recomputed without the code.

The checks of the examples use nothing of Dragons: only hashes, Ed25519 and RFC 8785.
"""

from __future__ import annotations

import ast
import json
import re
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scripts import spec_blocks
from scripts.spec_examples import EXAMPLES
from tests.tidy.project import ROOT, SRC, source_files, text_of, tree_of

PAGES = sorted((ROOT / "spec").glob("*.md"))
_CODE = re.compile(r"`([a-z][a-z_.]*)`")
_BEGINS_WITH_CODE = re.compile(r"([a-z]+(?:_[a-z]+)*): ")


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """Every example by name, as its page shows it."""
    shown = {
        name: json.loads(body.removeprefix("```json\n").rstrip().removesuffix("```"))
        for path in PAGES
        for kind, name, body in spec_blocks.blocks(text_of(path))
        if kind == "example"
    }
    assert set(shown) == set(EXAMPLES)
    return shown


# --- the pages and the code ----------------------------------------------------------------------


def test_blocks_are_current() -> None:
    out_of_date = [path.name for path in spec_blocks.stale()]
    assert not out_of_date, "run scripts/make-spec-tables"


def test_every_code_of_a_verdict_is_in_the_specification() -> None:
    documented = {code for path in PAGES for code in _CODE.findall(text_of(path))}
    missing = {
        code
        for path in source_files()
        if path.parent == SRC / "audit"
        for code in verdict_codes(tree_of(path))
    } - documented
    assert not sorted(missing)


def test_every_kind_of_statement_is_in_the_specification() -> None:
    text = text_of(ROOT / "spec" / "statement.md")
    kinds = {one.name for several in spec_blocks.STATEMENTS.values() for one in several}
    assert not [kind for kind in kinds if f"`{kind}`" not in text]


def verdict_codes(tree: ast.Module) -> Iterator[str]:
    """Codes in `Fault("code", …)`, in `Question.…, "code", …` and in texts such as `code: detail`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fault":
            yield from constant(node.args[0])
        elif (
            isinstance(node, ast.Tuple)
            and len(node.elts) == 3
            and ast.unparse(node.elts[0]).startswith("Question.")
        ):
            yield from constant(node.elts[1])
        elif isinstance(node, ast.Return | ast.JoinedStr):
            text = node.value if isinstance(node, ast.Return) else node.values[0]
            yield from (found[1] for one in constant(text) if (found := _BEGINS_WITH_CODE.match(one)))


def constant(node: ast.AST | None) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


# --- the examples --------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def unb64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(key: bytes, signature: bytes, message: bytes) -> None:
    """Raises InvalidSignature when the signature does not hold."""
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


def pae(envelope: dict[str, Any]) -> bytes:
    kind, payload = envelope["payloadType"].encode(), b64decode(envelope["payload"])
    return b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload])


def test_canonical_example(examples: dict[str, Any]) -> None:
    one = examples["canonical"]
    assert rfc8785.dumps(one["value"]).decode() == one["canonical"]
    assert digest(one["canonical"].encode()) == one["sha256"]


def test_keys_example(examples: dict[str, Any]) -> None:
    prefixes = {"root": "rtk", "ledger": "lgk", "operator": "opk"}
    for name, one in examples["keys"].items():
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(one["seed"]))
        raw = private.public_key().public_bytes_raw()
        assert raw.hex() == one["public_key"]
        assert one["fingerprint"] == digest(raw)
        assert one["key_id"] == f"{prefixes[name]}_{digest(raw)[:32]}"


def test_statement_example(examples: dict[str, Any]) -> None:
    one, root = examples["statement"], examples["keys"]["root"]
    envelope = one["envelope"]
    payload = b64decode(envelope["payload"])
    assert payload == rfc8785.dumps(one["body"])
    assert (digest(payload), digest(pae(envelope))) == (one["payload_sha256"], one["pae_sha256"])
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == root["key_id"]
    verify(bytes.fromhex(root["public_key"]), b64decode(signature["sig"]), pae(envelope))
    assert b64decode(one["body"]["root_key"]).hex() == root["public_key"]


def test_manifest_example(examples: dict[str, Any]) -> None:
    one = examples["manifest"]
    assert digest(rfc8785.dumps(one["manifest"])) == one["manifest_hash"]


def test_token_example(examples: dict[str, Any]) -> None:
    one = examples["token"]
    head, claims, signature = one["token"].split(".")
    assert unb64url(head) == rfc8785.dumps(one["header"])
    assert unb64url(claims) == rfc8785.dumps(one["claims"])
    verify(bytes.fromhex(one["issuer_public_key"]), unb64url(signature), f"{head}.{claims}".encode())
    raw = urlsafe_b64encode(bytes.fromhex(one["instance_public_key"])).rstrip(b"=").decode()
    jwk = rfc8785.dumps({"crv": "Ed25519", "kty": "OKP", "x": raw})
    assert unb64url(one["claims"]["cnf"]["jkt"]) == sha256(jwk).digest()


def test_proof_example(examples: dict[str, Any]) -> None:
    one = examples["proof"]
    headers = one["headers"]
    assert f'"content-digest": {headers["content-digest"]}' in one["signature_base"]
    assert b64decode(headers["content-digest"].removeprefix("sha-256=:")[:-1]) == sha256(b"").digest()
    assert one["signature_base"][-1].endswith(headers["signature-input"].removeprefix("dragons="))
    signature = b64decode(headers["signature"].removeprefix("dragons=:")[:-1])
    verify(bytes.fromhex(one["public_key"]), signature, "\n".join(one["signature_base"]).encode())


def test_receipt_example(examples: dict[str, Any]) -> None:
    one, ledger = examples["receipt"], examples["keys"]["ledger"]
    header = b64decode(one["record"]["header"]["payload"])
    assert header == rfc8785.dumps(one["header"])
    assert digest(header) == one["chain_root"]
    assert one["header"]["statement_hash"] == digest(b64decode(one["record"]["statement"]["payload"]))
    (signature,) = one["record"]["header"]["signatures"]
    verify(bytes.fromhex(ledger["public_key"]), b64decode(signature["sig"]), pae(one["record"]["header"]))
    assert digest(b"\x00" + rfc8785.dumps(one["record"])) == one["leaf_hash"]


def test_payload_example(examples: dict[str, Any]) -> None:
    one = examples["payload"]
    body, salt = rfc8785.dumps(one["value"]), bytes.fromhex(one["salt"])
    assert digest(b"dragons/payload/v1\x00" + salt + body) == one["payload_hash"]
    assert (b64decode(one["line"]["body"]), b64decode(one["line"]["salt"])) == (body, salt)


def test_ledger_example(examples: dict[str, Any]) -> None:
    one = examples["ledger"]
    zero, first, second = (bytes.fromhex(leaf) for leaf in one["leaf_hashes"])
    left = sha256(b"\x01" + zero + first).digest()
    assert digest(b"\x01" + left + second) == one["root"]
    assert one["inclusion_of_1"] == [zero.hex(), second.hex()]
    assert one["consistency_of_2"] == [second.hex()]
    assert one["parent_roots"] == ["0" * 64, *one["chain_roots"][:2]]
    assert one["chain_roots"][1] == examples["receipt"]["chain_root"]
    assert one["leaf_hashes"][1] == examples["receipt"]["leaf_hash"]


def test_checkpoint_example(examples: dict[str, Any]) -> None:
    one = examples["ledger"]
    text, _, tail = one["checkpoint"].partition("\n\n")
    signed = f"{text}\n".encode()
    origin, size, root = text.split("\n")
    assert (origin, size) == (f"dragons/{examples['receipt']['header']['tenant_id']}", "3")
    assert b64decode(root).hex() == one["root"]
    ledger, witness = tail.splitlines()
    key = bytes.fromhex(one["ledger_public_key"])
    name, raw = note_line(ledger)
    assert (name, raw[:4]) == (origin, sha256(origin.encode() + b"\n\x01" + key).digest()[:4])
    verify(key, raw[4:], signed)
    witness_name, digits, encoded = one["witness"].split("+", 2)
    witness_key = b64decode(encoded)[1:]
    name, raw = note_line(witness)
    assert (name, raw[:4].hex()) == (witness_name, digits)
    assert digits == digest(name.encode() + b"\n\x04" + witness_key)[:8]
    stamp = int.from_bytes(raw[4:12])
    verify(witness_key, raw[12:], b"cosignature/v1\ntime %d\n" % stamp + signed)


def note_line(line: str) -> tuple[str, bytes]:
    dash, name, encoded = line.split(" ")
    assert dash == "\N{EM DASH}"
    return name, b64decode(encoded)


def test_mtboi_example(examples: dict[str, Any]) -> None:
    one = examples["mtboi"]
    begin = one["now_ms"] - 30 * 24 * 3600 * 1000
    running = sum(end - max(start, begin) for start, end in one["running_ms"])
    assert running // 1000 // one["interventions"] == one["mtboi_seconds"]


# --- the checks themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('Fault("seq_broken", "x", 1)', "seq_broken"),
        ('x = Question.SIGNER, "key_untrusted", why', "key_untrusted"),
        ('def f():\n    return "late_unfounded: it was valid"', "late_unfounded"),
        ('def f():\n    return f"revoked: {one}"', "revoked"),
    ],
)
def test_codes_are_found(text: str, code: str) -> None:
    assert list(verdict_codes(ast.parse(text))) == [code]


def test_what_is_no_code_is_left_alone() -> None:
    assert not list(verdict_codes(ast.parse('x = f"{reason}: detail"\ny = "It ended: late"\nz = 1, "a", 2')))


def test_a_changed_block_is_found() -> None:
    meanings = spec_blocks.Meanings()
    text = "a\n<!-- fields: Signature -->\nold\n<!-- end -->\nb"
    made = spec_blocks.filled(text, meanings)
    assert "| `keyid` | text | always |" in made
    assert made.startswith("a\n<!-- fields: Signature -->\n| field |")
    assert made.endswith("<!-- end -->\nb")
    assert spec_blocks.filled(made, meanings) == made


def test_a_field_without_a_meaning_is_an_error() -> None:
    meanings = spec_blocks.Meanings()
    del meanings.documents["Signature"]["sig"]
    with pytest.raises(KeyError):
        spec_blocks.fields("Signature", meanings)


def test_a_meaning_without_a_field_is_found() -> None:
    meanings = spec_blocks.Meanings()
    meanings.documents["Signature"]["colour"] = "none"
    texts = [text_of(path) for path in PAGES]
    assert spec_blocks.unused_meanings(texts, meanings) == ["Signature.colour"]
