"""Progress and busy nothing told apart: a bounded memory of what was seen lately.

What is seen again within the memory is a repetition, so a loop of A, A, A or A, B, A, B is a stall however
busy it is. Knows digests only, and never why something was done again.
"""

from __future__ import annotations

DIGEST_BYTES = 8
# How many digests a memory holds unless told otherwise.
MEMORY_DIGESTS = 64


def observe(memory: bytes, digest: str, *, digests_max: int = MEMORY_DIGESTS) -> tuple[bytes, bool]:
    """The memory after `digest` (at least 16 hex digits) was seen, and whether it was novel.

    `memory` is empty or what an earlier call gave: the first 8 bytes of up to `digests_max` distinct
    digests, the one seen last at the end. A full memory forgets what was seen longest ago.
    """
    short = bytes.fromhex(digest[: 2 * DIGEST_BYTES])
    at = memory.find(short)
    while at >= 0 and at % DIGEST_BYTES:
        # It spans two digests.
        at = memory.find(short, at + 1)
    if at >= 0:
        return memory[:at] + memory[at + DIGEST_BYTES :] + short, False
    return (memory + short)[-digests_max * DIGEST_BYTES :], True
