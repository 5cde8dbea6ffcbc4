"""Signed statements: the DSSE envelope (secure-systems-lab/dsse v1.0.2) over canonical JSON.

The whole document is signed, never a list of its fields. Verification runs over the bytes that
were received; a statement is parsed only after that. Never chooses an algorithm by what the
envelope says: it is Ed25519, fixed by the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

import msgspec

from dragons.core.canonical import Document, decode, encode
from dragons.core.errors import InvalidInputError
from dragons.core.keys import PublicKey, Signer

TYPE_PREFIX = "application/vnd.dragons."
TYPE_SUFFIX = "+json"
SIGNATURES_MAX = 8

_Body = TypeVar("_Body", bound=Document)


class Signature(Document):
    """One signature; `keyid` is a hint, never a reason to trust."""

    keyid: str
    sig: bytes


class Envelope(Document):
    """A DSSE envelope; in JSON `payload` and `sig` are base64 (RFC 4648 §4)."""

    payload: bytes
    payloadType: str  # noqa: N815 - DSSE names this field
    signatures: list[Signature]

    @property
    def kind(self) -> str:
        """`lease` for `application/vnd.dragons.lease+json`; empty when it is another's type."""
        text = self.payloadType
        if not (text.startswith(TYPE_PREFIX) and text.endswith(TYPE_SUFFIX)):
            return ""
        return text[len(TYPE_PREFIX) : -len(TYPE_SUFFIX)]

    def pae(self) -> bytes:
        """The bytes that every signature of this envelope is over."""
        return pae(self.payloadType, self.payload)

    def payload_digest(self) -> str:
        """SHA-256 of the payload: how other documents cite this statement."""
        return sha256(self.payload).hexdigest()

    def body(self, kind: str, document: type[_Body]) -> _Body:
        """The parsed payload; InvalidInputError when it is not a canonical `kind` statement.

        Says nothing about signatures: check them first.
        """
        if self.kind != kind:
            raise InvalidInputError(
                "statement_kind", f"Expected a {kind} statement, got {self.payloadType!r}."
            )
        return decode(document, self.payload)


def payload_type(kind: str) -> str:
    """The media type of a statement kind."""
    return f"{TYPE_PREFIX}{kind}{TYPE_SUFFIX}"


def pae(media_type: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding (protocol.md, `PAE`)."""
    kind = media_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(kind: str, body: Document, *signers: Signer) -> Envelope:
    """`body` as a statement signed by every one of `signers`."""
    payload = encode(body)
    message = pae(payload_type(kind), payload)
    return Envelope(
        payload=payload,
        payloadType=payload_type(kind),
        signatures=[Signature(keyid=signer.key_id, sig=signer.sign(message)) for signer in signers],
    )


def parse_envelope(data: bytes) -> Envelope:
    """The envelope in canonical JSON `data`; InvalidInputError when it is malformed."""
    envelope = decode(Envelope, data)
    check_shape(envelope)
    return envelope


def check_shape(envelope: Envelope) -> None:
    """InvalidInputError when the number of signatures is out of bounds or a key signs twice."""
    names = [signature.keyid for signature in envelope.signatures]
    if not 1 <= len(names) <= SIGNATURES_MAX or len(set(names)) != len(names):
        raise InvalidInputError(
            "statement_signatures", f"A statement carries 1 to {SIGNATURES_MAX} signatures by distinct keys."
        )


def is_signed_by(envelope: Envelope, key_id: str, key: PublicKey) -> bool:
    """True when the envelope has a valid signature of `key` under `key_id`."""
    for signature in envelope.signatures:
        if signature.keyid == key_id:
            return key.verify(signature.sig, envelope.pae())
    return False


def valid_signers(envelope: Envelope, keys: Mapping[str, PublicKey]) -> Sequence[str]:
    """Key ids out of `keys` whose signatures hold; a foreign or broken signature is left out."""
    message = envelope.pae()
    found = (
        signature.keyid
        for signature in envelope.signatures
        if (key := keys.get(signature.keyid)) is not None and key.verify(signature.sig, message)
    )
    return list(dict.fromkeys(found))


def envelope_json(envelope: Envelope) -> dict[str, object]:
    """The envelope as plain JSON values, for APIs and files."""
    value: dict[str, object] = msgspec.to_builtins(envelope)
    return value
