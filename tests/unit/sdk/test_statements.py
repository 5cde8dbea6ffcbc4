from __future__ import annotations

import msgspec

from dragons.authority.lease import DELEGATION, RELEASE, Delegation, Release
from dragons.core.clock import ManualClock, format_time
from dragons.core.ids import uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import is_signed_by
from dragons.core.vocabulary import Outcome
from dragons.evidence.payload import opens
from dragons.evidence.receipt import CLAIM, CLOSING, SESSION, Claim, Closing, Session
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress
from dragons.sdk.instance import Instance
from dragons.sdk.localstore import LocalStore, closing_name
from dragons.sdk.statements import Child, Cycle, Evidence
from tests.unit.sdk.kit import READ, WRITE, Plane

SESSION_ID = "ses_" + "0" * 32


def test_a_session_commits_to_its_goal(instance: Instance, clock: ManualClock) -> None:
    opening = instance.stating.session("the goal", [READ], clock.now_ms(), parent_session_id=SESSION_ID)
    statement = opening.made.entry.statement
    body = statement.body(SESSION, Session)
    assert is_signed_by(statement, instance.signer.key_id, instance.signer.public_key)
    assert (body.session_id, body.parent_session_id, body.scope) == (opening.session_id, SESSION_ID, [READ])
    assert (body.lease_id, body.epoch) == (instance.authority.lease.lease_id, 1)
    assert opens(opening.made.payload, body.payload_hash)
    assert msgspec.json.decode(opening.made.payload.body) == {"goal": "the goal", "scope": [READ]}
    assert "the goal" not in statement.payload.decode()


def test_a_claim_links_goal_action_evidence_and_outcome(instance: Instance, clock: ManualClock) -> None:
    now_ms = clock.now_ms()
    cycle = Cycle(
        READ, "db", {"day": "1"}, now_ms, now_ms + 5, 5, Outcome.COMPLETED, {"result": {"n": 1}},
        evidence=[Evidence("rows", "ab" * 32, 7)], decision_id="dcn_" + "0" * 32,
    )  # fmt: skip
    made = instance.stating.claim(SESSION_ID, "goal", cycle)
    body = made.entry.statement.body(CLAIM, Claim)
    assert made.entry.name == body.claim_id
    assert (body.action, body.elapsed_ms, body.evidence) == (READ, 5, ["ab" * 32])
    assert (body.started_at, body.ended_at) == (format_time(now_ms), format_time(now_ms + 5))
    assert body.count is body.reason is msgspec.UNSET
    assert body.decision_id == cycle.decision_id
    assert opens(made.payload, body.payload_hash)
    assert msgspec.json.decode(made.payload.body) == {
        "goal": "goal",
        "action": {"capability": READ, "resource": "db", "arguments": {"day": "1"}},
        "outcome": {"status": "completed", "result": {"n": 1}},
        "evidence": [{"name": "rows", "sha256": "ab" * 32, "bytes": 7}],
    }


def likeness(instance: Instance, goal: str = "goal", **changes: object) -> object:
    facts: dict[str, object] = {
        "capability": READ, "resource": "db", "arguments": {"n": 1}, "started_ms": 1, "ended_ms": 2,
        "elapsed_ms": 1, "outcome": Outcome.COMPLETED, "ending": {"result": {"n": 1}},
    }  # fmt: skip
    made = instance.stating.claim(SESSION_ID, goal, Cycle(**(facts | changes)))  # type: ignore[arg-type]
    return made.entry.statement.body(CLAIM, Claim).likeness


def test_only_the_same_work_of_one_instance_is_alike(plane: Plane, store: LocalStore) -> None:
    instance, other = plane.instance(store), plane.instance(store)
    first = likeness(instance)
    assert first == likeness(instance)
    # When, how long and for which goal does not matter.
    assert first == likeness(instance, "another goal", started_ms=5, ended_ms=9, elapsed_ms=4)
    unlike = [
        likeness(other),
        likeness(instance, capability=WRITE),
        likeness(instance, resource="file"),
        likeness(instance, arguments={"n": 2}),
        likeness(instance, ending={"result": {"n": 2}}),
        likeness(instance, ending={}),
        likeness(instance, outcome=Outcome.FAILED),
    ]
    assert len({first, *unlike}) == 8
    assert likeness(instance, outcome=Outcome.DENIED) is msgspec.UNSET


def test_two_claims_of_the_same_share_no_commitment(instance: Instance) -> None:
    cycle = Cycle(READ, "db", {}, 1, 2, 1, Outcome.DENIED, {}, reason="lease_expired", count=4)
    one, two = (instance.stating.claim(SESSION_ID, "goal", cycle) for _ in range(2))
    assert one.payload.payload_hash != two.payload.payload_hash
    body = one.entry.statement.body(CLAIM, Claim)
    assert (body.reason, body.count) == ("lease_expired", 4)


def test_a_closing_has_a_name_of_its_own(instance: Instance, clock: ManualClock) -> None:
    evidence = [Evidence("stdout", "cd" * 32, 3)]
    made = instance.stating.closing(SESSION_ID, {"goal": "g"}, Outcome.FAILED, evidence, clock.now_ms())
    body = made.entry.statement.body(CLOSING, Closing)
    assert made.entry.name == closing_name(SESSION_ID)
    assert (body.outcome, body.evidence) == (Outcome.FAILED, ["cd" * 32])
    assert opens(made.payload, body.payload_hash)


def test_a_delegation_never_outlives_its_lease(instance: Instance, clock: ManualClock) -> None:
    key = LocalSigner.generate(KeyRole.INSTANCE).public_key
    child = Child("helper", uuid7_hex(clock.now_ms()), key)
    lease = instance.authority.lease
    for ttl, ends in ((60, format_time(clock.now_ms() + 60_000)), (9_999, lease.expires_at)):
        statement = instance.stating.delegation(child, [READ], clock.now_ms(), ttl)
        body = statement.body(DELEGATION, Delegation)
        assert body.not_after == ends
        assert (body.instance_key, body.parent_lease_id, body.agent) == (key.raw, lease.lease_id, "helper")
        assert is_signed_by(statement, instance.signer.key_id, instance.signer.public_key)


def test_release_and_heartbeat(instance: Instance, clock: ManualClock) -> None:
    release = instance.stating.release(clock.now_ms()).body(RELEASE, Release)
    assert release.lease_id == instance.authority.lease.lease_id
    bare = instance.stating.heartbeat(1, clock.now_ms(), None).body(HEARTBEAT, Heartbeat)
    assert bare.progress is msgspec.UNSET
    progress = Progress(sequence=3, digest="ab" * 32, source="receipts")
    beat = instance.stating.heartbeat(2, clock.now_ms(), progress).body(HEARTBEAT, Heartbeat)
    assert (beat.sequence, beat.progress, beat.epoch) == (2, progress, 1)
