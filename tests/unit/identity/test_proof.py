"""Proof of possession: every part of a request is signed, and only one profile is accepted."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest

from dragons.core.errors import UnauthenticatedError
from dragons.core.keys import KeyRole
from dragons.identity.proof import SKEW_MS, Request, content_digest, parse_input, sign_request, verify_request
from tests.property.builders import NOW_MS, signer

INSTANCE = signer(1, KeyRole.INSTANCE)
NONCE = "0123456789abcdef" * 2
REQUEST = Request("POST", "/v1/receipts", "a=1&b=2", b'{"x":1}', "Dragons eyJ.x.y")
HEADERS = sign_request(REQUEST, INSTANCE, now_ms=NOW_MS, nonce=NONCE)


def check(request: Request = REQUEST, *, now_ms: int = NOW_MS, key: object = None, **changed: str) -> None:
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changed.items()}}
    parsed = parse_input(headers["signature-input"])
    chosen = INSTANCE.public_key if key is None else key
    verify_request(request, (headers["content-digest"], headers["signature"]), parsed, chosen, now_ms=now_ms)  # type: ignore[arg-type]


def refused(request: Request = REQUEST, **options: object) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        check(request, **options)  # type: ignore[arg-type]
    return caught.value.code


def test_a_signed_request_is_accepted() -> None:
    check()


def test_the_parameters_are_read_back() -> None:
    parsed = parse_input(HEADERS["signature-input"])
    assert parsed.created_ms == NOW_MS
    assert parsed.nonce == NONCE
    assert parsed.key_id == INSTANCE.key_id


def test_the_signature_is_over_the_base_of_rfc_9421() -> None:
    parameters = (
        '("@method" "@path" "@query" "content-digest" "authorization")'
        f';created={NOW_MS // 1000};nonce="{NONCE}";keyid="{INSTANCE.key_id}";alg="ed25519"'
    )
    base = (
        '"@method": POST\n"@path": /v1/receipts\n"@query": ?a=1&b=2\n'
        f'"content-digest": sha-256=:{b64encode(sha256(REQUEST.body).digest()).decode()}:\n'
        f'"authorization": Dragons eyJ.x.y\n"@signature-params": {parameters}'
    )
    assert HEADERS["signature-input"] == f"dragons={parameters}"
    assert INSTANCE.public_key.verify(b64decode(HEADERS["signature"][len("dragons=:") : -1]), base.encode())


def test_the_digest_is_that_of_rfc_9530() -> None:
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"method": "post"},
        {"path": "/v1/receipt"},
        {"path": "/v1/receipts/"},
        {"path": "/v1/receipts?a=1&b=2", "query": ""},
        {"query": "a=1&b=3"},
        {"query": ""},
        {"query": "b=2&a=1"},
        {"authorization": "Dragons eyJ.x.z"},
        {"authorization": ""},
    ],
)
def test_a_changed_part_is_refused(change: dict[str, str]) -> None:
    assert refused(REQUEST._replace(**change)) == "proof_invalid"


@pytest.mark.parametrize("body", [b"", b'{"x":2}', REQUEST.body + b"\n"])
def test_a_changed_body_is_refused(body: bytes) -> None:
    assert refused(REQUEST._replace(body=body)) == "proof_digest"
    assert refused(REQUEST._replace(body=body), content_digest=content_digest(body)) == "proof_invalid"


def test_a_line_break_does_not_move_text_from_one_part_to_another() -> None:
    odd = REQUEST._replace(query='a=1\n"@query": ?b=2')
    moved = REQUEST._replace(path='/v1/receipts\n"@query": ?a=1', query="b=2")
    with pytest.raises(UnauthenticatedError):
        check(
            moved,
            **{
                key.replace("-", "_"): value
                for key, value in sign_request(odd, INSTANCE, now_ms=NOW_MS, nonce=NONCE).items()
            },
        )


@pytest.mark.parametrize(
    "digest",
    ["", "sha-256=::", content_digest(REQUEST.body)[:-1], content_digest(REQUEST.body).upper(), "sha-512=:AAAA:",
     content_digest(REQUEST.body) + ", sha-512=:AAAA:"],
)  # fmt: skip
def test_another_digest_header_is_refused(digest: str) -> None:
    assert refused(content_digest=digest) == "proof_digest"


@pytest.mark.parametrize("offset_ms", [-SKEW_MS, -1, 0, 1, SKEW_MS])
def test_a_proof_is_good_for_the_skew(offset_ms: int) -> None:
    check(now_ms=NOW_MS + offset_ms)


@pytest.mark.parametrize("offset_ms", [-SKEW_MS - 1, SKEW_MS + 1])
def test_a_proof_from_another_time_is_refused(offset_ms: int) -> None:
    assert refused(now_ms=NOW_MS + offset_ms) == "proof_stale"


def test_another_key_is_refused() -> None:
    assert refused(key=signer(2).public_key) == "proof_invalid"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"created={NOW_MS // 1000}", f"created={NOW_MS // 1000 + 1}"),
        (f"created={NOW_MS // 1000}", f"created=0{NOW_MS // 1000}"),
        (NONCE, "f" * 32),
        (INSTANCE.key_id, signer(2, KeyRole.INSTANCE).key_id),
    ],
)
def test_changed_parameters_are_refused(old: str, new: str) -> None:
    assert refused(signature_input=HEADERS["signature-input"].replace(old, new)) == "proof_invalid"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dragons=", "sig1="),
        ("dragons=", "Dragons="),
        ("dragons=", " dragons="),
        ('"@method" ', ""),
        (' "authorization"', ""),
        (' "content-digest"', ""),
        ('"@method" "@path"', '"@path" "@method"'),
        ('"@path"', '"@target-uri"'),
        ('"@path"', '"@path";req'),
        ('alg="ed25519"', 'alg="hmac-sha256"'),
        ('alg="ed25519"', 'alg="none"'),
        (';alg="ed25519"', ""),
        ('alg="ed25519"', 'alg="ed25519";tag="x"'),
        ('alg="ed25519"', 'alg="ed25519", other=()'),
        ('alg="ed25519"', 'alg="ed25519"\n'),
        ("created=", "expires="),
        ("created=1", "created=-1"),
        ("created=1", "created=٣"),
        ("created=1", "created=111111"),
        (NONCE, NONCE[:-1]),
        (NONCE, NONCE.upper()),
        ("ink_", "INK_"),
    ],
)
def test_another_profile_is_refused(old: str, new: str) -> None:
    assert old in HEADERS["signature-input"]
    with pytest.raises(UnauthenticatedError) as caught:
        parse_input(HEADERS["signature-input"].replace(old, new))
    assert caught.value.code == "proof_malformed"


@pytest.mark.parametrize(
    "signature",
    [
        "", "dragons=::", HEADERS["signature"].replace("dragons", "sig1"), HEADERS["signature"] + " ", HEADERS["signature"] + "\n",
        HEADERS["signature"] + ", other=:AAAA:", HEADERS["signature"].replace("==", "="), HEADERS["signature"].replace("==", ""),
        "dragons=:" + "-" * 86 + "==:",
    ],
)  # fmt: skip
def test_another_signature_header_is_refused(signature: str) -> None:
    assert refused(signature=signature) == "proof_malformed"


def test_a_signature_has_one_spelling_so_that_it_can_be_remembered() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = HEADERS["signature"][-4]
    for extra in range(1, 16):
        other = alphabet[alphabet.index(last) + extra]
        assert refused(signature=HEADERS["signature"][:-4] + other + "==:") == "proof_malformed"


def test_an_absent_query_and_an_empty_body_are_signed_too() -> None:
    request = REQUEST._replace(query="", body=b"")
    headers = {
        name.replace("-", "_"): value
        for name, value in sign_request(request, INSTANCE, now_ms=NOW_MS, nonce=NONCE).items()
    }
    check(request, **headers)
    assert refused(request._replace(query="a=1"), **headers) == "proof_invalid"


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        parse_input("")
    assert caught.value.fix
