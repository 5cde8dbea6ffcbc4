"""Tokens and proofs of possession: whole they hold, with one flipped bit they never do."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dragons.core.errors import DragonsError, UnauthenticatedError
from dragons.core.keys import KeyRole
from dragons.identity.proof import Request, parse_input, sign_request, verify_request
from dragons.identity.tokens import Confirmation, Workload, issue_token, verify_token
from tests.property.builders import NOW_MS, name, signer

ISSUER, INSTANCE = signer(1), signer(9, KeyRole.INSTANCE)
ISSUERS = {one.key_id: one.public_key for one in (ISSUER, signer(2))}
NONCE = "0123456789abcdef" * 2
COUNTS = st.integers(0, 2**53 - 1)
# What an HTTP server hands on: visible ASCII.
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
WORKLOADS = st.builds(
    Workload,
    tenant_id=st.integers(0, 99).map(lambda number: name("tnt", number)),
    sub=st.integers(0, 99).map(lambda number: f"{number:032x}"),
    agent=st.text(max_size=20),
    lease_id=st.integers(0, 99).map(lambda number: name("lse", number)),
    epoch=COUNTS,
    iat=COUNTS,
    exp=COUNTS,
    cnf=st.builds(Confirmation, jkt=VISIBLE),
)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST"]),
    path=VISIBLE,
    query=VISIBLE,
    body=st.binary(max_size=20),
    authorization=VISIBLE,
)
REQUEST = Request("POST", "/v1/receipts", "a=1", b"{}", "Dragons x.y.z")
HEADERS = sign_request(REQUEST, INSTANCE, now_ms=NOW_MS, nonce=NONCE)


def bit_flips(data: bytes) -> list[bytes]:
    return [
        bytes([*data[: i // 8], data[i // 8] ^ 1 << i % 8, *data[i // 8 + 1 :]]) for i in range(len(data) * 8)
    ]


def holds(request: Request, headers: dict[str, str]) -> bool:
    try:
        parsed = parse_input(headers["signature-input"])
        verify_request(
            request,
            (headers["content-digest"], headers["signature"]),
            parsed,
            INSTANCE.public_key,
            now_ms=NOW_MS,
        )
    except UnauthenticatedError:
        return False
    return True


@given(WORKLOADS)
def test_a_token_comes_back(workload: Workload) -> None:
    assert verify_token(issue_token(workload, ISSUER), ISSUERS) == (workload, ISSUER.key_id)


def test_a_token_with_any_flipped_bit_is_refused() -> None:
    claims = Workload(
        tenant_id=name("tnt", 1),
        sub=f"{1:032x}",
        agent="a",
        lease_id=name("lse", 1),
        epoch=1,
        iat=1,
        exp=2,
        cnf=Confirmation(jkt="x"),
    )
    token = issue_token(claims, ISSUER)
    assert verify_token(token, ISSUERS)
    for other in bit_flips(token.encode()):
        with pytest.raises(UnauthenticatedError):
            verify_token(other.decode("latin-1"), ISSUERS)


@given(WORKLOADS, WORKLOADS, st.permutations([0, 1, 2]))
def test_parts_of_two_tokens_make_no_third(one: Workload, two: Workload, order: list[int]) -> None:
    assume(one != two)
    parts = [issue_token(one, ISSUER).split("."), issue_token(two, ISSUER).split(".")]
    mixed = [parts[0][order[0]], parts[1][order[1]], parts[0][order[2]]]
    assume(mixed not in parts)
    with pytest.raises(UnauthenticatedError):
        verify_token(".".join(mixed), ISSUERS)


@given(st.text(max_size=80) | st.text(st.sampled_from("aA0-_.="), max_size=80))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    with pytest.raises(DragonsError):
        verify_token(text, ISSUERS)


@given(REQUESTS)
def test_a_signed_request_is_accepted(request: Request) -> None:
    assert holds(request, sign_request(request, INSTANCE, now_ms=NOW_MS, nonce=NONCE))


@given(REQUESTS, REQUESTS)
def test_a_proof_is_good_for_one_request_only(one: Request, other: Request) -> None:
    assert holds(other, sign_request(one, INSTANCE, now_ms=NOW_MS, nonce=NONCE)) is (one == other)


@pytest.mark.parametrize("header", ["content-digest", "signature-input", "signature"])
def test_a_proof_with_any_flipped_bit_in_a_header_is_refused(header: str) -> None:
    assert holds(REQUEST, HEADERS)
    flips = [{**HEADERS, header: other.decode("latin-1")} for other in bit_flips(HEADERS[header].encode())]
    assert [headers[header] for headers in flips if holds(REQUEST, headers)] == []


@pytest.mark.parametrize("part", ["method", "path", "query", "authorization", "body"])
def test_a_request_with_any_flipped_bit_is_refused(part: str) -> None:
    value = getattr(REQUEST, part)
    for other in bit_flips(value if isinstance(value, bytes) else value.encode()):
        changed = REQUEST._replace(**{part: other if isinstance(value, bytes) else other.decode("latin-1")})
        assert not holds(changed, HEADERS), changed


@given(st.text(max_size=200))
def test_any_text_is_refused_as_a_proof(text: str) -> None:
    assert not holds(REQUEST, {**HEADERS, "signature-input": text})
    assert not holds(REQUEST, {**HEADERS, "signature": text})
    assert not holds(REQUEST, {**HEADERS, "content-digest": text})
