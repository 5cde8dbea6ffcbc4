"""Checkpoints: the log's size and root as a signed note (C2SP signed-note, tlog-checkpoint).

The tenant is in the origin, so a checkpoint of one tenant says nothing about another. Witnesses
add timestamped cosignatures (C2SP tlog-cosignature) and count by distinct key, not by name.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import NamedTuple

from dragons.core.errors import InvalidInputError
from dragons.core.keys import SIGNATURE_BYTES, PublicKey, Signer
from dragons.evidence.merkle import HASH_BYTES

ORIGIN_PREFIX = "dragons/"
NOTE_BYTES_MAX = 64 * 1024
LINES_MAX = 64

_ED25519 = 0x01
_COSIGNATURE_V1 = 0x04
_ID_BYTES = 4
_TIME_BYTES = 8


class Checkpoint(NamedTuple):
    """The parsed body of a note whose signatures have not been looked at."""

    origin: str
    size: int
    root: bytes


class NoteSignature(NamedTuple):
    """One signature line: the name as written, the 4-byte key id, the rest."""

    name: str
    key_hash: bytes
    signature: bytes


class Note(NamedTuple):
    """A signed note: `text` is what is signed, its final newline included."""

    text: bytes
    signatures: tuple[NoteSignature, ...]
    checkpoint: Checkpoint


class Witness(NamedTuple):
    """A witness that the verifier trusts."""

    name: str
    key: PublicKey


def origin_of(tenant_id: str) -> str:
    """The origin line of a tenant's log, and the name of its ledger key in notes."""
    return f"{ORIGIN_PREFIX}{tenant_id}"


def sign_checkpoint(tenant_id: str, size: int, root: bytes, ledger: Signer) -> str:
    """The note for the first `size` receipts with Merkle root `root`."""
    origin = origin_of(tenant_id)
    text = f"{origin}\n{size}\n{b64encode(root).decode()}\n"
    signature = key_hash(origin, ledger.public_key, _ED25519) + ledger.sign(text.encode())
    return f"{text}\n\u2014 {origin} {b64encode(signature).decode()}\n"


def cosign(note: str, name: str, witness: Signer, timestamp_seconds: int) -> str:
    """`note` with the cosignature of a witness (C2SP tlog-cosignature, cosignature/v1)."""
    text = parse_note(note).text
    message = f"cosignature/v1\ntime {timestamp_seconds}\n".encode() + text
    signature = (
        key_hash(name, witness.public_key, _COSIGNATURE_V1)
        + timestamp_seconds.to_bytes(_TIME_BYTES)
        + witness.sign(message)
    )
    return f"{note}\u2014 {name} {b64encode(signature).decode()}\n"


def parse_note(note: str) -> Note:
    """The note's parts; InvalidInputError when it is no checkpoint. Checks no signature."""
    data = note.encode(errors="replace")
    if len(data) > NOTE_BYTES_MAX or data.decode() != note:
        raise _malformed(f"it is larger than {NOTE_BYTES_MAX} bytes or no UTF-8")
    text, separator, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not separator or lines[-1] != "" or not 1 <= len(lines) - 1 <= LINES_MAX:
        raise _malformed("it has no signature block")
    signatures = tuple(_parse_signature(line) for line in lines[:-1])
    body = text.split("\n")
    if len(body) != 3:  # noqa: PLR2004 - origin, size, root; extensions are not used here
        raise _malformed("its body is not three lines")
    origin, size, root = body
    if not (size.isascii() and size.isdigit()) or (size != "0" and size.startswith("0")) or len(size) > 16:  # noqa: PLR2004 - 2^53 has 16 digits
        raise _malformed("its size is not a decimal number")
    root_hash = _b64(root, "root")
    if len(root_hash) != HASH_BYTES:
        raise _malformed(f"its root has {len(root_hash)} bytes instead of {HASH_BYTES}")
    return Note(f"{text}\n".encode(), signatures, Checkpoint(origin, int(size), root_hash))


def verify_checkpoint(note: str, tenant_id: str, ledger_keys: list[PublicKey]) -> Checkpoint | None:
    """The checkpoint when it is this tenant's and one of `ledger_keys` signed it, else None."""
    parsed = parse_note(note)
    origin = origin_of(tenant_id)
    if parsed.checkpoint.origin != origin:
        return None
    for key in ledger_keys:
        expected = key_hash(origin, key, _ED25519)
        for line in parsed.signatures:
            if line.name == origin and line.key_hash == expected and key.verify(line.signature, parsed.text):
                return parsed.checkpoint
    return None


def count_witnesses(note: str, witnesses: list[Witness]) -> int:
    """How many distinct trusted witness keys cosigned the note."""
    parsed = parse_note(note)
    counted: set[bytes] = set()
    for witness in witnesses:
        expected = key_hash(witness.name, witness.key, _COSIGNATURE_V1)
        for line in parsed.signatures:
            if line.name != witness.name or line.key_hash != expected:
                continue
            if len(line.signature) != _TIME_BYTES + SIGNATURE_BYTES:
                continue
            time, signature = line.signature[:_TIME_BYTES], line.signature[_TIME_BYTES:]
            message = f"cosignature/v1\ntime {int.from_bytes(time)}\n".encode() + parsed.text
            if witness.key.verify(signature, message):
                counted.add(witness.key.raw)
    return len(counted)


def parse_witness(vkey: str) -> Witness:
    """A witness from its verifier key `name+hash+base64` (C2SP signed-note); InvalidInputError otherwise."""
    name, _, rest = vkey.partition("+")
    digits, _, encoded = rest.partition("+")
    raw = _b64(encoded, "verifier key")
    if not name or len(raw) != 1 + 32 or raw[0] != _COSIGNATURE_V1:
        raise _malformed("the witness key is not of the form name+hash+key with type 0x04")
    key = PublicKey(raw[1:])
    if key_hash(name, key, _COSIGNATURE_V1).hex() != digits:
        raise _malformed("the witness key's hash does not match its name and key")
    return Witness(name, key)


def format_witness(witness: Witness) -> str:
    """The verifier key of a witness, as `parse_witness` reads it."""
    digits = key_hash(witness.name, witness.key, _COSIGNATURE_V1).hex()
    return f"{witness.name}+{digits}+{b64encode(bytes([_COSIGNATURE_V1]) + witness.key.raw).decode()}"


def key_hash(name: str, key: PublicKey, algorithm: int) -> bytes:
    """The 4-byte key id of C2SP signed-note: SHA-256(name ‖ 0x0A ‖ algorithm ‖ key)[:4]."""
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + key.raw).digest()[:_ID_BYTES]


def _parse_signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "\u2014" or not name or "+" in name:
        raise _malformed("a signature line is malformed")
    raw = _b64(encoded, "signature")
    if len(raw) <= _ID_BYTES:
        raise _malformed("a signature is too short")
    return NoteSignature(name, raw[:_ID_BYTES], raw[_ID_BYTES:])


def _b64(text: str, what: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except ValueError as error:
        raise _malformed(f"its {what} is not base64") from error
    if b64encode(raw).decode() != text:
        raise _malformed(f"its {what} is not canonical base64")
    return raw


def _malformed(why: str) -> InvalidInputError:
    return InvalidInputError("checkpoint_malformed", f"Not a checkpoint: {why}.")
