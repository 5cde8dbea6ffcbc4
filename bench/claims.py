"""The claim that is appended again and again: one small action with one piece of evidence, as the SDK states it."""

from __future__ import annotations

from dragons.core.clock import Clock
from dragons.core.hashing import sha256_hex
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Outcome
from dragons.sdk.statements import Cycle, Evidence, Stating

ACTION = "read:payments"
GOAL = "reconcile the payments of the day"
_READ = Evidence("statement.csv", sha256_hex(b"statement"), 18_204)


def claim_of(stating: Stating, session_id: str, clock: Clock) -> Envelope:
    """A claim about one action that just ended, made and signed as the SDK does."""
    now_ms = clock.now_ms()
    cycle = Cycle(
        ACTION, "statement.csv", {"day": "2026-11-20"}, now_ms, now_ms, 3, Outcome.COMPLETED, {"rows": 118},
        [_READ],
    )  # fmt: skip
    return stating.claim(session_id, GOAL, cycle).entry.statement
