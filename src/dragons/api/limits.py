"""Limits on what one caller can take: bytes of a body, requests a second, proofs remembered.

Counts what arrives and never trusts what a header announces. All memory is bounded; where a bound
would weaken a check, the request is refused instead.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from dragons.api.problems import LimitError, TooLargeError
from dragons.core.errors import UnauthenticatedError
from dragons.identity.proof import SKEW_MS
from dragons.wire.base import BODY_BYTES_MAX


async def read_body(receive: Receive) -> bytes:
    """The whole body; TooLargeError as soon as it is longer than `BODY_BYTES_MAX`."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(body) <= BODY_BYTES_MAX:
        return body
    parts, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body") and size <= BODY_BYTES_MAX:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if message["type"] != "http.request":
        raise ClientDisconnect
    if size > BODY_BYTES_MAX:
        raise TooLargeError(
            "body_too_large",
            f"The body is larger than {BODY_BYTES_MAX} bytes.",
            fix="Send it in several requests.",
        )
    return b"".join(parts)


class _Bucket(NamedTuple):
    tokens: float
    filled_ms: int


class RateLimiter:
    """A token bucket for each credential. The least recently used are forgotten beyond `known_max`."""

    def __init__(self, per_second: float, burst: int, known_max: int) -> None:
        self._per_ms = per_second / 1000
        self._burst = float(burst)
        self._known_max = known_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, credential: str, boot_ms: int) -> None:
        """Count one request at `boot_ms` (a clock that never jumps); LimitError when it is one too many."""
        buckets = self._buckets
        bucket = buckets.get(credential)
        if bucket is None:
            tokens = self._burst
            if len(buckets) >= self._known_max:
                buckets.popitem(last=False)
        else:
            tokens = min(self._burst, bucket.tokens + (boot_ms - bucket.filled_ms) * self._per_ms)
        if tokens < 1:
            buckets[credential] = _Bucket(tokens, boot_ms)
            raise LimitError(
                "rate_exceeded",
                "The credential made too many requests.",
                fix="Send several claims or heartbeats in one request.",
                retry_seconds=max(1, math.ceil((1 - tokens) / self._per_ms / 1000)),
            )
        buckets[credential] = _Bucket(tokens - 1, boot_ms)
        buckets.move_to_end(credential)


class NonceMemory:
    """Which (key, nonce) pairs were used, each kept for two to four times the skew of a proof.

    Two generations take turns, so forgetting costs nothing. When both are full, proofs are refused:
    forgetting one early would let it be used again. One memory serves one process.
    """

    KEEP_MS = 2 * SKEW_MS

    def __init__(self, remembered_max: int) -> None:
        self._half = max(1, remembered_max // 2)
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._turned_ms: int | None = None

    def use(self, key_id: str, nonce: str, boot_ms: int) -> None:
        """Remember the pair; UnauthenticatedError when it was used before."""
        if self._turned_ms is None:
            self._turned_ms = boot_ms
        elapsed_ms = boot_ms - self._turned_ms
        if elapsed_ms >= self.KEEP_MS:
            self._old = self._young if elapsed_ms < 2 * self.KEEP_MS else set()
            self._young = set()
            self._turned_ms = boot_ms
        pair = key_id + nonce
        if pair in self._young or pair in self._old:
            raise UnauthenticatedError(
                "proof_replayed", "The proof of possession was used before.", fix="Sign every request anew."
            )
        if len(self._young) >= self._half:
            raise LimitError(
                "proofs_exhausted",
                "The control plane can't remember more proofs of possession.",
                fix="Send several claims or heartbeats in one request, or raise DRAGONS_NONCES_MAX.",
                retry_seconds=max(1, math.ceil((self.KEEP_MS - elapsed_ms) / 1000)),
            )
        self._young.add(pair)
