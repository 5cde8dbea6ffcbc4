from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.control.caller import Caller
from dragons.core.clock import format_time
from dragons.core.hashing import sha256_hex
from dragons.core.ids import LEASE, new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, OrganismState, Role
from dragons.liveness.heartbeat import Progress, Waiting
from tests.support.plane import Plane, Tenancy, assert_sound


def progress(sequence: int, seen: str = "", source: str = "output") -> Progress:
    """Progress of an observed source; by default what was seen is new with every sequence."""
    return Progress(sequence=sequence, digest=sha256_hex((seen or f"{sequence}").encode()), source=source)


def test_a_heartbeat_is_a_pulse_and_no_receipt(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    size = acme.size()
    plane.clock.advance(10_000)
    assert acme.beat(agent, 1).accepted == 1
    row = acme.instance(agent)
    assert (row.pulse_ms, row.beat_sequence, row.beats) == (plane.clock.now_ms(), 1, 1)
    assert row.progress_ms is None
    assert acme.size() == size
    # The last one goes into packs.
    assert_sound(plane, acme)


def test_progress_counts_when_its_sequence_increases(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    first_ms = plane.clock.now_ms()
    acme.beat(agent, 1, progress=progress(5))
    plane.clock.advance(1_000)
    acme.beat(agent, 2, progress=progress(5, "other"))
    row = acme.instance(agent)
    assert (row.progress_sequence, row.progress_ms, row.progress_source) == (5, first_ms, "output")
    acme.beat(agent, 3, progress=progress(6))
    assert acme.instance(agent).progress_ms == plane.clock.now_ms()


@pytest.mark.parametrize(("source", "counts"), [("files", True), ("receipts", False), ("claim", False)])
def test_only_what_was_observed_counts(acme: Tenancy, source: str, *, counts: bool) -> None:
    agent = acme.started(acme.ready())
    acme.beat(agent, 1, progress=progress(1, source=source))
    row = acme.instance(agent)
    assert (row.progress_ms is not None, row.progress_sequence) == (counts, 1)


def test_only_the_policys_sources_count(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.publish_policy(progress_sources=["files"])
    acme.beat(agent, 1, progress=progress(1))
    assert acme.instance(agent).progress_ms is None
    acme.beat(agent, 2, progress=progress(2, source="files"))
    assert acme.instance(agent).progress_ms == plane.clock.now_ms()


def test_busy_nothing_is_no_progress(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    for sequence, (seen, source) in enumerate([("a", "output"), ("b", "files")] * 5, 1):
        acme.beat(agent, sequence, progress=progress(sequence, seen, source))
        plane.clock.advance(1_000)
    row = acme.instance(agent)
    assert (row.progress_sequence, row.progress_ms) == (10, plane.clock.now_ms() - 9_000)


def test_a_declared_waiting_is_no_stall(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(), ttl_seconds=3_600)
    acme.beat(agent, 1, waiting=Waiting(reason="approval", until=format_time(acme.now_ms + 40 * 60_000)))
    row = acme.instance(agent)
    assert (row.waiting_for, row.owed_ms) == ("approval", acme.now_ms + 40 * 60_000)
    plane.clock.advance(29 * 60_000)
    acme.beat(agent, 2, waiting=Waiting(reason="approval", until=format_time(acme.now_ms + 11 * 60_000)))
    plane.clock.advance(10 * 60_000)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.RUNNING
    acme.beat(agent, 3)
    row = acme.instance(agent)
    assert (row.waiting_for, row.owed_ms) == ("", acme.now_ms)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sequence": 4}, "heartbeat_old"),
        ({"sequence": 3}, "heartbeat_old"),
        ({"sequence": 5, "epoch": 2}, "epoch_stale"),
        ({"sequence": 5, "lease_id": new_id(LEASE, 1)}, "epoch_stale"),
        ({"sequence": 5, "instance_id": uuid7_hex(1)}, "instance_mismatch"),
        ({"sequence": 5, "tenant_id": new_id("tnt", 1)}, "instance_mismatch"),
        ({"sequence": 5, "sent_at": format_time(1_800_000_000_000 - 600_001)}, "date_implausible"),
        ({"sequence": 5, "sent_at": format_time(1_800_000_000_000 + 600_001)}, "date_implausible"),
    ],
)
def test_what_does_not_count_says_why(acme: Tenancy, changes: dict, code: str) -> None:
    agent = acme.started(acme.ready())
    acme.beat(agent, 4)
    sequence = changes.pop("sequence")
    found = acme.beat(agent, sequence, **changes)
    assert (found.accepted, found.refused) == (0, {0: code})
    assert acme.instance(agent).beat_sequence == 4


def test_only_its_own_key_speaks_for_an_instance(acme: Tenancy) -> None:
    manifest = acme.ready()
    agent, other = acme.started(manifest), acme.started(manifest)
    agent.signer, own = LocalSigner.generate(KeyRole.INSTANCE), agent.signer
    assert acme.beat(agent, 1).refused == {0: "signature_invalid"}
    agent.signer = own
    envelope = acme.heartbeat(agent, 1)
    twice = replace_signatures(envelope, other)
    assert acme.beats(agent.caller, [twice]).refused == {0: "signature_invalid"}
    assert acme.beats(other.caller, [envelope]).refused == {0: "instance_mismatch"}
    assert acme.beats(other.caller, [acme.heartbeat(other, 1)]).accepted == 1


def replace_signatures(envelope, other):
    both = sign("heartbeat", progress(1), other.signer)
    return type(envelope)(
        payload=envelope.payload,
        payloadType=envelope.payloadType,
        signatures=[*envelope.signatures, *both.signatures],
    )


def test_a_launcher_brings_many_and_each_stands_for_itself(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    agents = [acme.started(manifest) for _ in range(4)]
    batch = [acme.heartbeat(agent, 1) for agent in agents]
    batch.insert(2, acme.claim(agents[0]))
    batch.append(acme.heartbeat(agents[0], 1))
    launcher = Caller(acme.tenant_id, Role.LAUNCHER, key_id=acme.operator.key_id)
    found = acme.beats(launcher, batch)
    assert found.accepted == 4
    assert found.refused == {2: "statement_kind", 5: "heartbeat_old"}
    assert all(acme.instance(agent).beats == 1 for agent in agents)
    assert_sound(plane, acme)


def test_another_tenants_launcher_brings_nothing(acme: Tenancy, globex: Tenancy) -> None:
    agent = acme.started(acme.ready())
    launcher = Caller(globex.tenant_id, Role.LAUNCHER, key_id=globex.operator.key_id)
    assert acme.beats(launcher, [acme.heartbeat(agent, 1)]).refused == {0: "instance_mismatch"}
    assert acme.instance(agent).beats == 0


def test_after_its_end_an_instance_does_not_live_again(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(900_000)
    assert acme.beat(agent, 1).refused == {0: "lease_expired"}
    acme.sweep()
    acme.release(agent)
    assert acme.beat(agent, 2).refused[0] in {"lease_released", "lease_expired", "organism_stopped"}
    assert acme.instance(agent).pulse_ms is None


def test_a_heartbeat_with_progress_brings_a_degraded_instance_back_on_the_record(
    plane: Plane, acme: Tenancy
) -> None:
    agent = acme.started(acme.ready(), ttl_seconds=3600)
    plane.clock.advance(30 * 60_000)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.DEGRADED
    acme.beat(agent, 1)
    assert acme.instance(agent).state is OrganismState.DEGRADED
    acme.beat(agent, 2, progress=progress(1))
    assert acme.instance(agent).state is OrganismState.RUNNING
    assert [one.organism_state for one in acme.receipts(Kind.STATE_CHANGED)] == ["degraded", "running"]
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.RUNNING
    assert_sound(plane, acme)


def test_healing_is_not_ended_by_a_heartbeat(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    row = acme.instance(agent)
    acme.plane.write(lambda tx: tx.put_instance(replace(row, state=OrganismState.AUTOHEALING)))
    assert acme.beat(agent, 1).refused == {0: "organism_autohealing"}
