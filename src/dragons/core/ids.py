"""Names of things: a three-letter prefix and a UUIDv7 in hex without dashes (RFC 9562 §5.7).

A name sorts by the time it was made and carries no other meaning; order in the ledger is `seq`.
This is the only module that draws random bytes for names.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Final

import msgspec

from dragons.core.errors import InvalidInputError

TENANT: Final = "tnt"
DOCK: Final = "dck"
LEASE: Final = "lse"
RECEIPT: Final = "rcp"
SESSION: Final = "ses"
CLAIM: Final = "clm"
DISPATCH: Final = "dsp"
DECISION: Final = "dcn"
PACK: Final = "pck"
TOKEN: Final = "tok"  # noqa: S105 - a prefix, not a secret
REVOCATION: Final = "rev"
ORDER: Final = "ord"
INCIDENT: Final = "inc"
MESSAGE: Final = "msg"

PREFIXES: Final = frozenset(
    {TENANT, DOCK, LEASE, RECEIPT, SESSION, CLAIM, DISPATCH, DECISION, PACK, TOKEN, REVOCATION}
    | {ORDER, INCIDENT, MESSAGE}
)

_ID_LENGTH = 36
_INSTANCE_LENGTH = 32
# In documents by length only, for speed; `check_id` and `check_instance_id` check the form where a
# name enters the system.
Id = Annotated[str, msgspec.Meta(min_length=_ID_LENGTH, max_length=_ID_LENGTH)]
InstanceId = Annotated[str, msgspec.Meta(min_length=_INSTANCE_LENGTH, max_length=_INSTANCE_LENGTH)]
AgentName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,62}$(?!\n)", max_length=63)]

_AGENT = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_ID = re.compile(r"([a-z]{3})_[0-9a-f]{32}", re.ASCII)
_INSTANCE = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", re.ASCII)


def uuid7_hex(now_ms: int) -> str:
    """A UUIDv7 with `now_ms` in its first 48 bits and 74 random bits, as 32 hex digits."""
    random = int.from_bytes(secrets.token_bytes(10))
    value = (now_ms & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | (random >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | random & ((1 << 62) - 1)
    return f"{value:032x}"


def new_id(prefix: str, now_ms: int) -> str:
    """A new name such as `lse_019e5f80a1f37cc28d00…`; `prefix` is one of `PREFIXES`."""
    return f"{prefix}_{uuid7_hex(now_ms)}"


def new_nonce() -> str:
    """32 random hex digits: what makes a request unlike every other (RFC 9421 §2.3 `nonce`)."""
    return secrets.token_hex(16)


def new_jitter() -> float:
    """A random number, uniform in [-1, 1], that keeps many copies of a program from acting at once."""
    return secrets.randbits(53) / (1 << 52) - 1.0


def check_id(prefix: str, text: str) -> str:
    """`text` itself when it is a name with `prefix`; InvalidInputError otherwise."""
    match = _ID.fullmatch(text)
    if match is None or match[1] != prefix:
        raise InvalidInputError(
            "id_malformed", f"{text!r} is not a name of the form {prefix}_ and 32 hex digits."
        )
    return text


def check_instance_id(text: str) -> str:
    """`text` itself when it is a UUIDv7 in hex without dashes; InvalidInputError otherwise."""
    if _INSTANCE.fullmatch(text) is None:
        raise InvalidInputError("id_malformed", f"{text!r} is not a UUIDv7 in hex without dashes.")
    return text


def check_agent_name(text: str) -> str:
    """`text` itself when it can name an agent; InvalidInputError otherwise."""
    if _AGENT.fullmatch(text) is None:
        raise InvalidInputError(
            "agent_name_malformed",
            f"{text!r} cannot name an agent.",
            fix="Use a lower-case letter, then up to 62 lower-case letters, digits and dashes.",
        )
    return text
