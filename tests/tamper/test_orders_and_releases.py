"""What an operator's order and release allow: no more than was signed, and nothing once the key was compromised.

As in test_key_ends.py: left, the control plane refuses; right, a ledger that recorded it all the same is
found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dragons.audit.pack import Selection
from dragons.audit.verdicts import Question, Report
from dragons.control.denials import Refused
from dragons.core.errors import DragonsError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind, OrganismState
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS, Agent
from tests.support.plane import Agent as Started
from tests.support.plane import Plane, Tenancy, make_manifest, verify
from tests.support.story import READ_WRITE, Story
from tests.tamper.conftest import found

Judge = Callable[..., Report]
S = OrganismState
AUTHORITY, SIGNER = Question.AUTHORITY, Question.SIGNER
ALL = ["pay:suppliers", "read:payments", "send:notice", "write:ledger"]
# Receipts of `launched`: 8 dock, 9 lease, 10 session; what a test adds begins here.
NEXT = 11


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    tenancy = plane.tenant("acme")
    tenancy.ready()
    return tenancy


@pytest.fixture
def told() -> Story:
    return story.launched()


def verdict(judge: Judge, told: Story, question: Question = AUTHORITY) -> tuple[str, int | None] | None:
    return found(judge(packs.export(told.book), pin=told.book.pin), question)


def answer(attempt: Callable[[], object]) -> str:
    """The reason of a refusal, empty when it was done."""
    try:
        done = attempt()
    except DragonsError as error:
        return error.code
    return done.reason.value if isinstance(done, Refused) else ""


def hire(told: Story) -> LocalSigner:
    """A second operator, whose key is going to end: receipt 11."""
    key = told.book.key("guest", KeyRole.OPERATOR)
    told.book.register_key(key, "operator", ["operator"])
    return key


def end(told: Story, key: LocalSigner, *, compromised: bool = True) -> None:
    since = {"compromised_since": told.book.headers[NEXT].issued_at} if compromised else {}
    told.book.revoke_key(key.key_id, **since)


def stopped(acme: Tenancy, key: LocalSigner, since: str) -> None:
    acme.plane.clock.advance(1_000)
    acme.revoke_key(key.key_id, compromised_since=since)
    acme.plane.clock.advance(6_000)


def undone(acme: Tenancy) -> None:
    """The store holds, and a stranger finds nothing but the key's own signatures."""
    report = verify(acme, Selection(kind="ledger"))
    assert {str(one): said.fault.code for one, said in report.verdicts.items() if said.fault} == {
        "signer": "key_compromised"
    }


# --- no more than was signed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "lease", "code"),
    [
        ({"scope": ["read:payments"]}, {"scope": ["read:payments"], "delegate_scope": []}, ""),
        ({"scope": ["read:payments"]}, {"scope": READ_WRITE, "delegate_scope": []}, "scope_exceeded"),
        ({"scope": READ_WRITE}, {"scope": READ_WRITE}, "scope_exceeded"),
        ({"scope": []}, {"scope": READ_WRITE}, ""),
        ({"ttl_seconds": 60}, {"ttl_ms": 60_000}, ""),
        ({"ttl_seconds": 60}, {"ttl_ms": 60_001}, "ttl_exceeded"),
        ({"scope": [], "ttl_seconds": 60}, {"ttl_ms": 15 * MINUTE_MS}, "ttl_exceeded"),
    ],
)
def test_a_lease_is_not_more_than_was_ordered(
    told: Story, judge: Judge, order: dict[str, Any], lease: dict[str, Any], code: str
) -> None:
    dispatch = healing.order(told.book, "reconciler", **order)
    healing.start(told.book, dispatch)
    told.book.lease(told.dock, dispatch_id=dispatch, **lease)
    assert verdict(judge, told) == ((code, NEXT + 2) if code else None)


@pytest.mark.parametrize(("ttl_ms", "code"), [(60_000, ""), (60_001, "ttl_exceeded")])
def test_nor_is_its_renewal(told: Story, judge: Judge, ttl_ms: int, code: str) -> None:
    dispatch = healing.order(told.book, "reconciler", ttl_seconds=60)
    healing.start(told.book, dispatch)
    agent = told.book.lease(told.dock, dispatch_id=dispatch, ttl_ms=30_000)
    told.book.renew(agent, ttl_ms=ttl_ms)
    assert verdict(judge, told) == ((code, NEXT + 3) if code else None)


def test_a_launch_by_hand_has_no_order_to_keep_to(told: Story, judge: Judge) -> None:
    told.book.lease(told.dock, ttl_ms=60 * MINUTE_MS)
    assert verdict(judge, told) is None


# --- dispatches that a compromised key ordered ---------------------------------------------------


def ordered(told: Story, signer: LocalSigner) -> tuple[str, Agent]:
    """A dispatch with its first instance: receipts 12 to 14."""
    dispatch = healing.order(told.book, "reconciler", signer=signer)
    healing.start(told.book, dispatch)
    return dispatch, told.book.lease(told.dock, dispatch_id=dispatch)


def test_the_dispatch_that_it_ordered(plane: Plane, acme: Tenancy, told: Story, judge: Judge) -> None:
    """Under the dock of an honest operator: its instance ends with the key, and no other one begins."""
    second, since = acme.hire("operator"), acme.now
    dispatch = acme.dispatch(signer=second)
    agent = acme.started(make_manifest(), dispatch_id=dispatch)
    stopped(acme, second, since)
    assert acme.instance(agent).state is S.STOPPED
    assert acme.session(agent.session_id).outcome == "abandoned"
    for attempt in (lambda: acme.renew(agent), lambda: acme.work(agent), lambda: acme.open(agent)):
        assert answer(attempt) == "lease_revoked"
    assert answer(lambda: acme.launch(make_manifest(), dispatch_id=dispatch)) == "dispatch_ended"
    assert answer(lambda: acme.launch(make_manifest())) == ""
    undone(acme)

    key = hire(told)
    dispatch, first = ordered(told, key)
    session = work.open_session(told.book, first, "reconcile")
    began = told.book.time()
    end(told, key)
    work.work(told.book, session, started_at=began, ended_at=began, about={"late": True})
    assert verdict(judge, told) is None
    assert verdict(judge, told, SIGNER) == ("key_compromised", 12)
    work.work(told.book, session, about={"late": True})
    assert verdict(judge, told) == ("revoked", 18)


@pytest.mark.parametrize("what", ["start", "launch", "renewal"])
def test_what_goes_on_all_the_same(told: Story, judge: Judge, what: str) -> None:
    key = hire(told)
    dispatch, first = ordered(told, key)
    if what == "renewal":
        end(told, key)
        told.book.renew(first)
        assert verdict(judge, told) == ("revoked", 16)
        return
    healing.heal(told.book, first)
    if what == "start":
        end(told, key)
        healing.start(told.book, dispatch, 2, first)
        assert verdict(judge, told) == ("dispatch_not_ordered", 19)
        return
    healing.start(told.book, dispatch, 2, first)
    end(told, key)
    told.book.lease(told.dock, dispatch_id=dispatch, epoch=2)
    assert verdict(judge, told) == ("dispatch_not_ordered", 20)


def test_what_a_stolen_order_handed_on_ends_too(told: Story, judge: Judge) -> None:
    key = hire(told)
    _, first = ordered(told, key)
    told.book.dock("notifier", ["send:notice"])
    child = work.delegate(told.book, first, "notifier", 1, ["send:notice"])
    end(told, key)
    work.open_session(told.book, child, "too late")
    assert verdict(judge, told) == ("lease_revoked", 19)


@pytest.mark.parametrize("how", ["before", "retired", "another"])
def test_orders_that_still_count(acme: Tenancy, told: Story, judge: Judge, how: str) -> None:
    """Signed before the compromise, by an operator who only left, or by another one."""
    second = acme.hire("operator")
    dispatch = acme.dispatch(signer=None if how == "another" else second)
    agent = acme.started(make_manifest(), dispatch_id=dispatch)
    acme.plane.clock.advance(1)
    acme.revoke_key(second.key_id, **({"compromised_since": acme.now} if how == "before" else {}))
    assert answer(lambda: acme.work(agent)) == ""
    assert answer(lambda: acme.renew(agent)) == ""

    key = hire(told)
    _, first = ordered(told, told.book.operator if how == "another" else key)
    end(told, key, compromised=how == "another")
    told.book.renew(first)
    assert verdict(judge, told) is None


def test_a_dispatch_that_had_ended(told: Story, judge: Judge) -> None:
    """What is over can't be taken back: late claims of what it did before go on being judged as they were."""
    key = hire(told)
    dispatch, first = ordered(told, key)
    session = work.open_session(told.book, first, "reconcile")
    began = told.book.time()
    healing.transition(told.book, first, Trigger.ENDED)
    healing.end(told.book, dispatch)
    end(told, key)
    work.work(told.book, session, started_at=began, ended_at=began, about={"late": True})
    assert verdict(judge, told) is None


# --- quarantines that a compromised key ended ----------------------------------------------------


def test_the_agent_that_it_released(plane: Plane, acme: Tenancy, told: Story, judge: Judge) -> None:
    """It is isolated again, with all that runs of it, until an operator whose key holds releases it."""
    second, since = acme.hire("operator"), acme.now
    dispatch = acme.dispatch()
    acme.intervene_agent("reconciler", "quarantine")
    acme.intervene_agent("reconciler", "release", signer=second)
    agent = acme.started(make_manifest(), dispatch_id=dispatch)
    stopped(acme, second, since)
    assert acme.instance(agent).state is S.QUARANTINED
    assert answer(lambda: acme.work(agent)) == "lease_revoked"
    assert answer(lambda: acme.launch(make_manifest())) == "organism_quarantined"
    assert answer(acme.dispatch) == "organism_quarantined"
    undone(acme)
    acme.intervene_agent("reconciler", "release")
    plane.clock.advance(6_000)
    assert answer(lambda: acme.launch(make_manifest(), dispatch_id=dispatch)) == ""
    undone(acme)

    key = hire(told)
    healing.intervene(told.book, "reconciler", "quarantine")
    healing.intervene(told.book, "reconciler", "release", signer=key)
    told.book.lease(told.dock)
    end(told, key)
    healing.transition(told.book, told.agent, Trigger.OPERATOR_QUARANTINED)
    assert verdict(judge, told) is None
    told.book.lease(told.dock)
    assert verdict(judge, told) == ("organism_quarantined", 17)


def test_a_session_shows_why_its_instance_was_isolated_again(told: Story, judge: Judge) -> None:
    """The release and the key's end are in its pack: nothing but the key is to blame."""
    key = hire(told)
    _, first = ordered(told, key)
    session = work.open_session(told.book, first, "reconcile")
    healing.intervene(told.book, "reconciler", "release", signer=key)
    end(told, key)
    healing.transition(told.book, told.agent, Trigger.OPERATOR_QUARANTINED)
    healing.transition(told.book, first, Trigger.REVOKED)
    for one in (told.session, session):
        work.abandon(told.book, one)
        parts = packs.export(told.book, packs.session_of(one.session_id))
        report = judge(parts, pin=told.book.pin)
        blamed = {str(question) for question, said in report.verdicts.items() if said.fault}
        assert blamed == {"signer"}


def test_an_agent_that_another_one_released_since(acme: Tenancy, told: Story, judge: Judge) -> None:
    second, since = acme.hire("operator"), acme.now
    for signer in (second, acme.operator):
        acme.intervene_agent("reconciler", "quarantine")
        acme.intervene_agent("reconciler", "release", signer=signer)
    stopped(acme, second, since)
    assert answer(lambda: acme.launch(make_manifest())) == ""

    key = hire(told)
    for signer in (key, told.book.operator):
        healing.intervene(told.book, "reconciler", "quarantine")
        healing.intervene(told.book, "reconciler", "release", signer=signer)
    end(told, key)
    told.book.lease(told.dock)
    assert verdict(judge, told) is None


def test_nobody_is_isolated_by_a_key_that_released_nobody(told: Story, judge: Judge) -> None:
    key = hire(told)
    healing.intervene(told.book, "reconciler", "stop", signer=key)
    end(told, key)
    healing.transition(told.book, told.agent, Trigger.OPERATOR_QUARANTINED)
    assert verdict(judge, told) == ("intervention_missing", 14)


def test_the_instance_that_it_released(plane: Plane, acme: Tenancy, told: Story, judge: Judge) -> None:
    """Its dispatch goes on only by that, so it ends: whoever wants the work orders it anew."""
    second, since = acme.hire("operator"), acme.now
    dispatch = acme.dispatch()
    first = acme.started(make_manifest(), dispatch_id=dispatch)
    acme.intervene(first.instance_id, "quarantine")
    acme.intervene(first.instance_id, "release", signer=second)
    plane.clock.advance(6_000)
    agent = acme.started(make_manifest(), dispatch_id=dispatch)
    stopped(acme, second, since)
    assert acme.instance(agent).state is S.STOPPED
    assert acme.receipts(Kind.DISPATCH_ENDED)
    assert answer(lambda: acme.launch(make_manifest(), dispatch_id=dispatch)) == "dispatch_ended"
    assert isinstance(acme.launch(make_manifest(), dispatch_id=acme.dispatch()), Started)
    undone(acme)

    key = hire(told)
    dispatch, before = ordered(told, told.book.operator)
    healing.quarantine(told.book, before)
    healing.intervene(told.book, before, "release", signer=key)
    healing.transition(told.book, before, Trigger.OPERATOR_RELEASED)
    healing.start(told.book, dispatch, 2, before)
    after = told.book.lease(told.dock, dispatch_id=dispatch, epoch=2)
    end(told, key)
    assert verdict(judge, told) is None
    work.open_session(told.book, after, "too late")
    assert verdict(judge, told) == ("lease_revoked", 23)


def test_an_instance_that_was_launched_by_hand(acme: Tenancy, told: Story, judge: Judge) -> None:
    """Nothing goes on after it: it was stopped by its release, and nothing else was isolated."""
    second, since = acme.hire("operator"), acme.now
    agent = acme.started(make_manifest())
    acme.intervene(agent.instance_id, "quarantine")
    acme.intervene(agent.instance_id, "release", signer=second)
    dispatch = agent.grant.instance.dispatch_id
    stopped(acme, second, since)
    assert answer(lambda: acme.launch(make_manifest(), dispatch_id=dispatch)) == ""
    undone(acme)

    key = hire(told)
    healing.quarantine(told.book, told.agent)
    healing.intervene(told.book, told.agent, "release", signer=key)
    healing.transition(told.book, told.agent, Trigger.OPERATOR_RELEASED)
    end(told, key)
    told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)
    assert verdict(judge, told) is None
