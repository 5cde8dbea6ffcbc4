"""The heartbeat: a pulse, and progress only with a digest of something."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.core.canonical import decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import ZERO
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress
from tests.property.builders import NOW_MS, name

PROGRESS = Progress(sequence=4, digest=ZERO, source="receipts")
BEAT = Heartbeat(
    tenant_id=name("tnt", 1),
    instance_id=f"{1:032x}",
    lease_id=name("lse", 1),
    epoch=3,
    sequence=9,
    sent_at=format_time(NOW_MS),
)


def test_a_heartbeat_comes_back_from_its_bytes() -> None:
    assert decode(Heartbeat, encode(BEAT)) == BEAT
    assert decode(Heartbeat, encode(replace(BEAT, progress=PROGRESS))).progress == PROGRESS
    assert HEARTBEAT == "heartbeat"


def test_a_pulse_without_progress_does_not_write_any() -> None:
    assert b"progress" not in encode(BEAT)


@pytest.mark.parametrize(
    "changes", [{"sequence": -1}, {"epoch": -1}, {"sent_at": "now"}, {"instance_id": "1"}]
)
def test_a_heartbeat_with_a_value_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Heartbeat, encode(replace(BEAT, **changes)))


@pytest.mark.parametrize("changes", [{"digest": ""}, {"sequence": -1}])
def test_progress_without_a_digest_or_a_sequence_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Progress, encode(replace(PROGRESS, **changes)))


@pytest.mark.parametrize("source", ["", "Receipts", "-x", "receipts ", "receipts\n", "a" * 33, "a1", "é"])
def test_a_source_of_progress_is_a_plain_word(source: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Progress, encode(replace(PROGRESS, source=source)))


@pytest.mark.parametrize("source", ["receipts", "output", "files", "claim", "test-result", "a" * 32])
def test_a_plain_word_names_a_source(source: str) -> None:
    assert decode(Progress, encode(replace(PROGRESS, source=source))).source == source
