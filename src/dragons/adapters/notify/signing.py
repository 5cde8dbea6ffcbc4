"""Standard Webhooks signatures (standard-webhooks/spec/standard-webhooks.md, version 1.0.0).

HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, one signature for each secret, so that a secret
can be changed without a gap. The time is that of the attempt, in seconds; the id that of the message.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

from dragons.core.errors import InvalidInputError

SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins
# "Random. At least 24 bytes (192 bits, 512 maximum)": 64 bytes.
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
_SECRETS_MAX = 4


def signature_headers(message_id: str, at_ms: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The three headers of an attempt at `at_ms` (epoch milliseconds)."""
    seconds = at_ms // 1000
    signed = b"%s.%d.%s" % (message_id.encode(), seconds, body)
    signatures = (b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets in `text`, one a line, the newest first; InvalidInputError, which never shows one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= _SECRETS_MAX:
        raise _invalid(f"there are {len(lines)} lines in it, not 1 to {_SECRETS_MAX}")
    return tuple(_secret(line) for line in lines)


def _secret(line: str) -> bytes:
    try:
        raw = b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("it is not base64") from None
    if not line.startswith(SECRET_PREFIX):
        raise _invalid(f"it does not begin with {SECRET_PREFIX}")
    if not SECRET_BYTES_MIN <= len(raw) <= SECRET_BYTES_MAX:
        raise _invalid(f"it has {len(raw)} bytes, not {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}")
    return raw


def _invalid(why: str) -> InvalidInputError:
    return InvalidInputError(
        "webhook_secret_invalid",
        f"The webhook's secret can't be used: {why}.",
        fix='Make one: (umask 077; echo "whsec_$(openssl rand -base64 32)" > webhook.secret)',
    )
