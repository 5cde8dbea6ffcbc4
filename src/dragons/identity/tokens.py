"""Workload tokens: a JWS (RFC 7515 compact, EdDSA by RFC 8037) that names an instance and its key.

The issuer signs; `cnf.jkt` (RFC 7800, RFC 9449) binds the token to the instance's key, so a stolen
token alone does nothing. Never reads the algorithm from the token: the header must be, byte for
byte, the one that the issuer's key demands.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import NamedTuple

from dragons.core.canonical import Count, Document, decode, encode
from dragons.core.errors import InvalidInputError, UnauthenticatedError
from dragons.core.ids import Id, InstanceId
from dragons.core.keys import PublicKey, Signer

TOKEN_BYTES_MAX = 2048


class Confirmation(Document):
    """RFC 7638 thumbprint of the instance's public key as an OKP JWK."""

    jkt: str


class Workload(Document):
    """The token's claims; `exp` and `iat` are seconds since the Unix epoch (RFC 7519 §4.1)."""

    tenant_id: Id
    sub: InstanceId
    agent: str
    lease_id: Id
    epoch: Count
    iat: Count
    exp: Count
    cnf: Confirmation


class _Header(Document):
    alg: str
    kid: str
    typ: str


class Verified(NamedTuple):
    """Claims whose signature held. Says nothing about expiry, revocation or possession."""

    claims: Workload
    issuer_key_id: str


def issue_token(workload: Workload, issuer: Signer) -> str:
    """The compact serialisation, about 500 characters."""
    signed = b".".join((_b64(_header(issuer.key_id)), _b64(encode(workload))))
    return b".".join((signed, _b64(issuer.sign(signed)))).decode()


def verify_token(token: str, issuers: dict[str, PublicKey]) -> Verified:
    """The token's claims when one of `issuers` signed it; UnauthenticatedError otherwise."""
    parts = token.encode("ascii", "replace").split(b".")
    if len(token) > TOKEN_BYTES_MAX or len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise _refused("is malformed")
    for key_id, key in issuers.items():
        if parts[0] == _b64(_header(key_id)):
            if not key.verify(_unb64(parts[2]), parts[0] + b"." + parts[1]):
                raise _refused("has a wrong signature")
            return Verified(_claims(parts[1]), key_id)
    raise _refused("is not signed by an issuer of this control plane")


def thumbprint(key: PublicKey) -> str:
    """RFC 7638 thumbprint (SHA-256, base64url) of the key as an OKP JWK (RFC 8037 §2)."""
    jwk = b'{"crv":"Ed25519","kty":"OKP","x":"%s"}' % _b64(key.raw)
    return _b64(sha256(jwk).digest()).decode()


def _claims(payload: bytes) -> Workload:
    # Claims that can't be read name nobody, even when an issuer signed them.
    try:
        return decode(Workload, _unb64(payload))
    except InvalidInputError as error:
        raise _refused("carries malformed claims") from error


def _header(key_id: str) -> bytes:
    return encode(_Header(alg="EdDSA", kid=key_id, typ="dragons-workload+jwt"))


def _b64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _unb64(data: bytes) -> bytes:
    try:
        raw = urlsafe_b64decode(data + b"=" * (-len(data) % 4))
    except ValueError as error:
        raise _refused("is not base64url") from error
    if _b64(raw) != data:
        raise _refused("is not canonical base64url")
    return raw


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError("token_invalid", f"The workload token {why}.", fix="Renew the lease.")
