"""Workload tokens: the issuer's key fixes header and algorithm; nothing in a token chooses them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from hmac import digest
from typing import Any

import pytest
from msgspec.structs import replace

from dragons.core.canonical import encode
from dragons.core.errors import UnauthenticatedError
from dragons.core.keys import KeyRole, PublicKey
from dragons.identity.tokens import (
    TOKEN_BYTES_MAX,
    Confirmation,
    Workload,
    issue_token,
    thumbprint,
    verify_token,
)
from tests.property.builders import NOW_MS, name, signer

ISSUER, SECOND, STRANGER = (signer(number) for number in (1, 2, 3))
INSTANCE = signer(9, KeyRole.INSTANCE)
ISSUERS = {one.key_id: one.public_key for one in (ISSUER, SECOND)}
WORKLOAD = Workload(
    tenant_id=name("tnt", 1),
    sub=f"{1:032x}",
    agent="reconciler",
    lease_id=name("lse", 1),
    epoch=3,
    iat=NOW_MS // 1000,
    exp=NOW_MS // 1000 + 900,
    cnf=Confirmation(jkt=thumbprint(INSTANCE.public_key)),
)
TOKEN = issue_token(WORKLOAD, ISSUER)
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(header: str, payload: str) -> str:
    """A token that the issuer really signed, whatever it says."""
    return f"{header}.{payload}.{b64(ISSUER.sign(f'{header}.{payload}'.encode()))}"


def header(**changes: Any) -> str:
    fields = {"alg": "EdDSA", "kid": ISSUER.key_id, "typ": "dragons-workload+jwt", **changes}
    return b64(
        json.dumps(
            {key: value for key, value in fields.items() if value is not None}, separators=(",", ":")
        ).encode()
    )


def refused(token: str, issuers: dict[str, PublicKey] = ISSUERS) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        verify_token(token, issuers)
    assert caught.value.code == "token_invalid"
    assert caught.value.fix


def test_a_token_comes_back_with_its_issuer() -> None:
    verified = verify_token(TOKEN, ISSUERS)
    assert verified.claims == WORKLOAD
    assert verified.issuer_key_id == ISSUER.key_id
    assert verify_token(issue_token(WORKLOAD, SECOND), ISSUERS).issuer_key_id == SECOND.key_id


def test_a_token_is_a_jws_in_compact_form() -> None:
    assert json.loads(unb64(HEADER)) == {"alg": "EdDSA", "kid": ISSUER.key_id, "typ": "dragons-workload+jwt"}
    assert unb64(PAYLOAD) == encode(WORKLOAD)
    assert ISSUER.public_key.verify(unb64(SIGNATURE), f"{HEADER}.{PAYLOAD}".encode())
    assert signed(header(), PAYLOAD) == TOKEN
    assert len(TOKEN) < TOKEN_BYTES_MAX


def test_the_thumbprint_of_rfc_8037_holds() -> None:
    key = PublicKey(unb64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "forged",
    [
        header(alg="none"),
        header(alg="None"),
        header(alg="HS256"),
        header(alg="Ed25519"),
        header(alg="eddsa"),
        header(alg=None),
        header(kid=None),
        header(typ=None),
        header(typ="JWT"),
        header(kid=STRANGER.key_id),
        header(kid=""),
        header(jwk={"kty": "OKP"}),
        header(crit=["exp"]),
        b64(b'{"alg": "EdDSA","kid":"%s","typ":"dragons-workload+jwt"}' % ISSUER.key_id.encode()),
        "",
        HEADER + "=",
    ],
)
def test_another_header_is_refused_even_when_the_issuer_signed_it(forged: str) -> None:
    refused(signed(forged, PAYLOAD))


def test_a_token_without_a_signature_is_refused() -> None:
    refused(f"{header(alg='none')}.{PAYLOAD}.")
    refused(f"{HEADER}.{PAYLOAD}.")
    refused(f"{HEADER}.{PAYLOAD}")


def test_the_public_key_is_no_shared_secret() -> None:
    forged = header(alg="HS256")
    tag = digest(ISSUER.public_key.raw, f"{forged}.{PAYLOAD}".encode(), sha256)
    refused(f"{forged}.{PAYLOAD}.{b64(tag)}")
    refused(
        f"{HEADER}.{PAYLOAD}.{b64(digest(ISSUER.public_key.raw, f'{HEADER}.{PAYLOAD}'.encode(), sha256))}"
    )


def test_a_stranger_is_refused_under_its_own_and_a_borrowed_name() -> None:
    refused(issue_token(WORKLOAD, STRANGER))
    _, payload, signature = issue_token(WORKLOAD, STRANGER).split(".")
    refused(f"{HEADER}.{payload}.{signature}")


def test_the_signature_of_one_issuer_is_none_of_another() -> None:
    _, payload, signature = issue_token(WORKLOAD, SECOND).split(".")
    refused(f"{HEADER}.{payload}.{signature}")


def test_without_issuers_every_token_is_refused() -> None:
    refused(TOKEN, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [("exp", 9_999_999_999), ("sub", f"{2:032x}"), ("tenant_id", name("tnt", 2)), ("epoch", 4), ("lease_id", name("lse", 2)),
     ("agent", "other"), ("iat", 0), ("cnf", {"jkt": "x"})],
)  # fmt: skip
def test_altered_claims_are_refused(field: str, value: object) -> None:
    claims = {**json.loads(unb64(PAYLOAD)), field: value}
    altered = b64(json.dumps(claims, separators=(",", ":"), sort_keys=True).encode())
    assert altered != PAYLOAD
    refused(f"{HEADER}.{altered}.{SIGNATURE}")


@pytest.mark.parametrize("claims", [b"", b"{}", b"null", b'{"sub": 1}', encode(WORKLOAD) + b"\n", b"\xff"])
def test_claims_of_another_form_are_refused_even_when_the_issuer_signed_them(claims: bytes) -> None:
    refused(signed(HEADER, b64(claims)))


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", TOKEN + ".", "." + TOKEN, TOKEN + "A", TOKEN + "=", TOKEN + "\n", " " + TOKEN, TOKEN + " ",
        f"{HEADER}.{PAYLOAD}=.{SIGNATURE}", f"{HEADER}.{PAYLOAD}.{SIGNATURE}==", f"{HEADER}.{PAYLOAD}.{SIGNATURE}.{SIGNATURE}",
        TOKEN.replace(".", " "), f"{HEADER}\n.{PAYLOAD}.{SIGNATURE}", f"{HEADER}.{PAYLOAD}.{SIGNATURE[:40]}\n{SIGNATURE[40:]}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}", f"é{TOKEN}", f"{TOKEN}é", "\ud800", TOKEN + "A" * TOKEN_BYTES_MAX,
    ],
    ids=range(22),
)  # fmt: skip
def test_cut_padded_and_trailing_text_is_refused(token: str) -> None:
    refused(token)


def test_a_token_above_the_largest_size_is_refused_even_when_the_issuer_signed_it() -> None:
    def sized(extra: int) -> str:
        return issue_token(replace(WORKLOAD, agent="a" * extra), ISSUER)

    lengths = {len(sized(extra)): extra for extra in range(1_100, 1_300)}
    longest = max(length for length in lengths if length <= TOKEN_BYTES_MAX)
    assert longest < max(lengths)
    assert verify_token(sized(lengths[longest]), ISSUERS)
    refused(sized(lengths[longest] + 2))


def test_another_base64_of_the_same_signature_is_refused() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(SIGNATURE[-1])
    for extra in range(1, 16):
        other = SIGNATURE[:-1] + alphabet[last + extra]
        assert unb64(other) == unb64(SIGNATURE)
        refused(f"{HEADER}.{PAYLOAD}.{other}")


def test_the_standard_alphabet_is_refused() -> None:
    for epoch in range(200):
        token = issue_token(
            Workload(
                **{
                    **{field: getattr(WORKLOAD, field) for field in WORKLOAD.__struct_fields__},
                    "epoch": epoch,
                }
            ),
            ISSUER,
        )
        standard = token.replace("-", "+").replace("_", "/")
        if standard != token:
            refused(standard)
            return
    pytest.fail("no token with a URL-safe character was found")
