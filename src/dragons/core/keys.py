"""Ed25519 keys: loading that refuses unsafe keys, key ids from the key, signing behind a port.

Never trusts a key because it came along: a key id is only a name. Signing is a protocol so that
a KMS or a PKCS#11 token can take the place of `LocalSigner`.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dragons.core.errors import InvalidInputError

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_ID_HEX = 32

_P = 2**255 - 19
_Y_MASK = 2**255 - 1
# The y coordinates of the eight points of small order (RFC 8032 curve; cofactor 8).
_LOW_ORDER_Y = frozenset(
    {
        0,
        1,
        _P - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
    }
)


class KeyRole(StrEnum):
    """What a key is for; its value is the prefix of the key's id."""

    ROOT = "rtk"
    OPERATOR = "opk"
    ISSUER = "isk"
    LEDGER = "lgk"
    INSTANCE = "ink"


class PublicKey:
    """An Ed25519 public key that is safe to verify with."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        """`raw` is the 32-byte encoding of RFC 8032 §5.1.2; InvalidInputError when unsafe."""
        if len(raw) != KEY_BYTES:
            raise InvalidInputError("key_malformed", f"An Ed25519 key has {KEY_BYTES} bytes, not {len(raw)}.")
        y = int.from_bytes(raw, "little") & _Y_MASK
        if y >= _P:
            raise InvalidInputError("key_non_canonical", "The key's encoding is not canonical.")
        if y in _LOW_ORDER_Y:
            raise InvalidInputError("key_low_order", "The key is a point of small order.")
        self.raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """True when `signature` (64 bytes) over `message` was made by this key's private half."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def key_id(self, role: KeyRole) -> str:
        """`<role>_` and the first 128 bits of SHA-256 over the raw key, in hex."""
        return f"{role.value}_{sha256(self.raw).hexdigest()[:_ID_HEX]}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the raw key in full, 64 hex digits: what a verifier pins."""
        return sha256(self.raw).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)


class Signer(Protocol):
    """Something that signs with one key and never shows it."""

    @property
    def key_id(self) -> str: ...

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes: ...


class LocalSigner:
    """A signer whose private key is in this process."""

    __slots__ = ("_key", "key_id", "public_key", "role")

    def __init__(self, private: Ed25519PrivateKey, role: KeyRole) -> None:
        self._key = private
        self.role = role
        self.public_key = PublicKey(private.public_key().public_bytes_raw())
        self.key_id = self.public_key.key_id(role)

    @classmethod
    def generate(cls, role: KeyRole) -> LocalSigner:
        """A new key from the operating system's random source."""
        return cls(Ed25519PrivateKey.generate(), role)

    @classmethod
    def from_seed(cls, seed: bytes, role: KeyRole) -> LocalSigner:
        """The key with the 32-byte secret `seed` (RFC 8032 §5.1.5)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed), role)

    def seed(self) -> bytes:
        """The 32 secret bytes; for key files only."""
        return self._key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def role_of(key_id: str) -> KeyRole | None:
    """The role that a key id claims by its prefix, None when it is no key id."""
    prefix, _, digits = key_id.partition("_")
    if len(digits) != _ID_HEX or any(digit not in "0123456789abcdef" for digit in digits):
        return None
    try:
        return KeyRole(prefix)
    except ValueError:
        return None
