"""What the check before every action costs an agent, against one Ed25519 verification.

Measured by `bench.authorize`: the SDK's own decision over a verified lease and a fresh view of 1,000
revocations.
"""

from __future__ import annotations

from bench import authorize
from bench.figures import Found, Line
from bench.sizes import Sizes

TARGET = 0.1


def measure(sizes: Sizes) -> Found:
    """The median time of a decision and of a verification."""
    del sizes  # it takes seconds as it is
    found = authorize.measure()
    return Found([
        Line(
            name="decision in the SDK",
            of=f"authorize under a verified lease, {authorize.REVOCATIONS:,} revocations known, median",
            ours=found["authorize_p50_us"], unit="µs", against="one Ed25519 verification, median",
            theirs=found["ed25519_verify_p50_us"], ratio=found["ratio"], target=TARGET, at_most=True,
        )
    ])  # fmt: skip
