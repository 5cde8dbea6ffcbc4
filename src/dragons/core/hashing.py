"""SHA-256 everywhere, written as 64 lower-case hex digits."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

import msgspec

HEX_LENGTH = 64
ZERO = "0" * HEX_LENGTH

# Checked by length only: a digest counts where it equals one that we computed, so a pattern would
# cost a regular expression per field and refuse nothing more.
Digest = Annotated[str, msgspec.Meta(min_length=HEX_LENGTH, max_length=HEX_LENGTH)]


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data` as 64 hex digits."""
    return sha256(data).hexdigest()
