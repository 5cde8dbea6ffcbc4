"""Heartbeats and instances on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.statement import Envelope
from dragons.wire.base import Request, Response

HEARTBEATS_MAX = 1_000


class Heartbeats(Request):
    heartbeats: Annotated[list[Envelope], msgspec.Meta(min_length=1, max_length=HEARTBEATS_MAX)]


class HeartbeatsAccepted(Response):
    """How many were taken; the others are named by position with the reason code."""

    accepted: int
    refused: dict[str, str]
    state: str = ""
    epoch: int = 0


class InstanceView(Response):
    """The three axes of an instance and the state derived from them."""

    instance_id: str
    agent: str
    version: int
    manifest_hash: str
    dock_id: str
    lease_id: str
    dispatch_id: str
    epoch: int
    state: str
    state_reason: str
    state_since: str
    started_at: str
    stopped_at: str
    lease_left_seconds: int
    pulse_age_ms: int
    progress_sequence: int
    progress_age_ms: int
    progress_source: str
    mtboi_seconds: int


class Instances(Response):
    instances: list[InstanceView]
