"""Payload commitments: a salted hash that binds a payload without showing it.

Without the salt a reader of the hash learns nothing; erasing payload and salt makes that final.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any

from dragons.core.canonical import Document, canonical
from dragons.core.errors import InvalidInputError

DOMAIN = b"dragons/payload/v1\x00"
SALT_BYTES = 32
PAYLOAD_BYTES_MAX = 1_000_000


class Payload(Document):
    """A payload as it is stored and exported: `body` is canonical JSON, both base64 in JSON."""

    payload_hash: str
    salt: bytes
    body: bytes


def commit(value: dict[str, Any], *, salt: bytes | None = None) -> Payload:
    """The commitment to `value`; the salt is fresh unless given. InvalidInputError when too large."""
    body = canonical(value)
    if len(body) > PAYLOAD_BYTES_MAX:
        raise InvalidInputError(
            "payload_too_large",
            f"The payload has {len(body)} bytes; the limit is {PAYLOAD_BYTES_MAX}.",
            fix="Store the data elsewhere and add its digest as evidence.",
        )
    used = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    return Payload(payload_hash=payload_hash(used, body), salt=used, body=body)


def payload_hash(salt: bytes, body: bytes) -> str:
    """SHA-256(domain ‖ salt ‖ canonical body), 64 hex digits."""
    return sha256(DOMAIN + salt + body).hexdigest()


def opens(payload: Payload, expected_hash: str) -> bool:
    """True when salt and body are exactly what `expected_hash` commits to."""
    return len(payload.salt) == SALT_BYTES and payload_hash(payload.salt, payload.body) == expected_hash
