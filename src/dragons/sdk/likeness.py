"""The likeness of work: equal for equal work of one instance, and silent about what the work was.

The key is derived from the instance's own secret (HKDF-SHA256, RFC 5869), so a launcher and the programs
attached to it agree on it without handing anything on, and it is stored nowhere. Whoever lacks it can't try
out which work a likeness stands for.
"""

from __future__ import annotations

import hmac
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dragons.core.canonical import canonical
from dragons.core.keys import LocalSigner

_LABEL = b"dragons likeness v1"
_KEY_BYTES = 32


def likeness_of(signer: LocalSigner, work: dict[str, Any]) -> str:
    """64 hex digits: HMAC-SHA256 of canonical `work` under the likeness key of the instance `signer`."""
    key = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_LABEL).derive(signer.seed())
    return hmac.digest(key, canonical(work), "sha256").hex()
