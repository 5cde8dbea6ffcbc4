"""Proof of possession: one profile of HTTP Message Signatures (RFC 9421) with Ed25519.

Covered, always and in this order: method, target URI path and query, the digest of the body
(RFC 9530) and the token. Never negotiates: another component list, algorithm or label is refused.
Replay is refused by `created` (±`SKEW_MS`) and by remembering signatures for that long.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import NamedTuple

from dragons.core.errors import UnauthenticatedError
from dragons.core.keys import PublicKey, Signer

SKEW_MS = 60_000
LABEL = "dragons"
_COMPONENTS = '("@method" "@path" "@query" "content-digest" "authorization")'
_INPUT = re.compile(
    r'dragons=\("@method" "@path" "@query" "content-digest" "authorization"\)'
    r';created=(\d{1,12});nonce="([0-9a-f]{32})";keyid="([a-z]{3}_[0-9a-f]{32})";alg="ed25519"',
    re.ASCII,
)
_SIGNATURE = re.compile(r"dragons=:([A-Za-z0-9+/]{85}[AQgw]==):", re.ASCII)


class Request(NamedTuple):
    """What is signed of a request; `query` is without its question mark."""

    method: str
    path: str
    query: str
    body: bytes
    authorization: str


class Parsed(NamedTuple):
    """The parameters of a well-formed `Signature-Input`, not yet verified."""

    parameters: str
    created_ms: int
    nonce: str
    key_id: str


def sign_request(request: Request, signer: Signer, *, now_ms: int, nonce: str) -> dict[str, str]:
    """The three headers to add; `nonce` is 32 hex digits, never used before with this key."""
    parameters = (
        f'{_COMPONENTS};created={now_ms // 1000};nonce="{nonce}";keyid="{signer.key_id}";alg="ed25519"'
    )
    signature = signer.sign(_base(request, parameters))
    return {
        "content-digest": content_digest(request.body),
        "signature-input": f"{LABEL}={parameters}",
        "signature": f"{LABEL}=:{b64encode(signature).decode()}:",
    }


def parse_input(header: str) -> Parsed:
    """The parameters in a `Signature-Input` header; UnauthenticatedError when it is another profile."""
    match = _INPUT.fullmatch(header)
    if match is None:
        raise _refused("proof_malformed", "the Signature-Input header is not of the demanded profile")
    return Parsed(header[len(LABEL) + 1 :], int(match[1]) * 1000, match[2], match[3])


def verify_request(
    request: Request, headers: tuple[str, str], parsed: Parsed, key: PublicKey, *, now_ms: int
) -> None:
    """UnauthenticatedError unless the request was signed by `key`, now.

    `headers` are the values of `Content-Digest` and `Signature`.
    """
    digest, signature = headers
    if any("\n" in part for part in (request.method, request.path, request.query, request.authorization)):
        raise _refused("proof_malformed", "a line break stands in what is signed")
    if digest != content_digest(request.body):
        raise _refused("proof_digest", "the Content-Digest does not match the body")
    if abs(now_ms - parsed.created_ms) > SKEW_MS:
        raise _refused("proof_stale", f"its time is more than {SKEW_MS // 1000} s from the control plane's")
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise _refused("proof_malformed", "the Signature header is malformed")
    if not key.verify(b64decode(match[1]), _base(request, parsed.parameters)):
        raise _refused("proof_invalid", "the signature does not hold")


def content_digest(body: bytes) -> str:
    """The `Content-Digest` field of RFC 9530 with SHA-256."""
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def _base(request: Request, parameters: str) -> bytes:
    # RFC 9421 §2.5; an absent query is signed as "?" (§2.2.7).
    return (
        f'"@method": {request.method}\n'
        f'"@path": {request.path}\n'
        f'"@query": ?{request.query}\n'
        f'"content-digest": {content_digest(request.body)}\n'
        f'"authorization": {request.authorization}\n'
        f'"@signature-params": {parameters}'
    ).encode()


def _refused(code: str, why: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        code, f"The proof of possession was refused: {why}.", fix="Sign the request as spec/api.md says."
    )
