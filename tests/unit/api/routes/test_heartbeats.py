"""Heartbeats over HTTP, one's own and a node's batch."""

from __future__ import annotations

from dragons.core.statement import Envelope, envelope_json
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress
from dragons.wire.liveness import HEARTBEATS_MAX
from tests.support.server import Plane, Tenant


def body(*beats: Envelope) -> dict[str, object]:
    return {"heartbeats": [envelope_json(one) for one in beats]}


def test_an_instance_learns_its_state(tenant: Tenant) -> None:
    instance = tenant.launch()
    progress = Progress(sequence=1, digest="a" * 64, source="output")
    answer = instance.post("/v1/heartbeats", body(instance.heartbeat(progress=progress)))
    assert answer == {"accepted": 1, "refused": {}, "state": "running", "epoch": 1}
    shown = tenant.get(f"/v1/instances/{instance.instance_id}")
    assert 0 <= shown["pulse_age_ms"] < 10_000
    assert (shown["progress_sequence"], shown["progress_source"]) == (1, "output")


def test_a_node_sends_many_at_once(tenant: Tenant) -> None:
    instances = [tenant.launch() for _ in range(5)]
    beats = [one.heartbeat() for one in instances]
    foreign = instances[0].signed(HEARTBEAT, instances[1].heartbeat().body(HEARTBEAT, Heartbeat))
    answer = tenant.send("POST", "/v1/heartbeats", body(*beats, foreign, beats[0]), role="launcher").json
    assert answer["accepted"] == 5
    assert answer["refused"] == {"5": "signature_invalid", "6": "heartbeat_old"}
    assert "state" not in answer


def test_an_instance_speaks_for_itself_only(tenant: Tenant) -> None:
    one, other = tenant.launch(), tenant.launch()
    answer = one.post("/v1/heartbeats", body(other.heartbeat()))
    assert answer["refused"] == {"0": "instance_mismatch"}


def test_batches_are_bounded(plane: Plane, tenant: Tenant) -> None:
    instance = tenant.launch()
    beat = envelope_json(instance.heartbeat())
    for count in (0, HEARTBEATS_MAX + 1):
        reply = tenant.send("POST", "/v1/heartbeats", {"heartbeats": [beat] * count})
        assert (reply.status, reply.code) == (422, "request_invalid")
