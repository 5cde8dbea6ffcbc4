"""The heartbeat: a pulse and semantic progress, signed by the instance's key.

Progress is a strictly increasing sequence with a digest of something real and the name of the
source it was observed from. Whether a source counts is the policy's: a claim never does. An instance
that waits for a person or for a time says so; that is no stall, up to the policy's longest waiting.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.canonical import Count, Document
from dragons.core.clock import Timestamp
from dragons.core.hashing import Digest
from dragons.core.ids import Id, InstanceId

HEARTBEAT = "heartbeat"
BATCH_MAX = 1_000
INTERVAL_SECONDS_DEFAULT = 10


class Progress(Document):
    """`source` is where progress was seen: receipts, output, files, boundary; `claim` is the agent's own word."""

    sequence: Count
    digest: Digest
    source: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{0,31}$(?!\n)")]


class Waiting(Document):
    """A declared waiting: `reason` is approval, input or schedule; it ends at `until` at the latest."""

    reason: Annotated[str, msgspec.Meta(pattern=r"^(approval|input|schedule)$(?!\n)")]
    until: Timestamp


class Heartbeat(Document):
    """`sequence` increases with every beat of an instance; older ones are ignored."""

    tenant_id: Id
    instance_id: InstanceId
    lease_id: Id
    epoch: Count
    sequence: Count
    sent_at: Timestamp
    progress: Progress | msgspec.UnsetType = msgspec.UNSET
    waiting: Waiting | msgspec.UnsetType = msgspec.UNSET
