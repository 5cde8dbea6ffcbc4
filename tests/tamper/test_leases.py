"""Leases, docks and delegations that should never have been on the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dragons.audit.verdicts import Question, Report, Status
from dragons.authority.revocation import Target
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Kind
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS, Agent, Book, signer_of
from tests.support.story import Story
from tests.tamper.conftest import found

Judge = Callable[..., Report]
AUTHORITY, SIGNER = Question.AUTHORITY, Question.SIGNER


def verdict(judge: Judge, book: Book, question: Question = AUTHORITY) -> tuple[str, int | None] | None:
    report = judge(packs.export(book), pin=book.pin)
    assert report.verdicts[Question.INTEGRITY].status is Status.PASS
    return found(report, question)


@pytest.fixture
def book() -> Book:
    return story.tenant()


# --- issue ---------------------------------------------------------------------------------------


def test_a_lease_under_an_unknown_dock(book: Book, judge: Judge) -> None:
    dock = book.dock("reconciler", story.READ_WRITE)
    unknown = msgspec.structs.replace(dock, dock_id="dck_" + "0" * 32)
    told = Story(book, dock, book.lease(unknown), None)  # type: ignore[arg-type]
    session = work.open_session(book, told.agent, "x")
    work.work(book, session)
    assert verdict(judge, book) == ("dock_missing", 9)


def test_work_under_a_lease_that_was_refused(book: Book, judge: Judge) -> None:
    """The lease is at fault; what rests on it has no lease at all."""
    dock = book.dock("reconciler", story.READ_WRITE)
    agent = book.lease(dock, scope=["pay:suppliers"])
    work.open_session(book, agent, "x")
    report = judge(packs.export(book), pin=book.pin)
    assert found(report, AUTHORITY) == ("capability_not_docked", 9)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scope": ["pay:suppliers", "read:payments"]}, "capability_not_docked"),
        ({"delegate_scope": ["send:notice"]}, "capability_not_docked"),
        ({"dock_hash": "0" * 64}, "dock_missing"),
        ({"authorized_by": "opk_" + "0" * 32}, "dock_missing"),
        ({"agent": "notifier"}, "dock_missing"),
        ({"ttl_ms": 61 * MINUTE_MS}, "ttl_exceeded"),
        ({"not_before": "2027-01-15T07:00:00.000Z"}, "ttl_exceeded"),
        ({"version": 1, "manifest_hash": "0" * 64}, "manifest_unrecorded"),
        ({"depth": 1}, "lease_missing"),
        ({"serial": 1}, "lease_missing"),
    ],
)
def test_a_lease_beyond_its_dock(book: Book, judge: Judge, changes: dict[str, Any], code: str) -> None:
    dock = book.dock("reconciler", story.READ_WRITE)
    book.lease(dock, **changes)
    assert verdict(judge, book) == (code, 9)


def test_a_lease_dated_back(book: Book, judge: Judge) -> None:
    """An old date would authorize what was done before anybody allowed it."""
    dock = book.dock("reconciler", story.READ_WRITE)
    early = book.now_ms - 5 * MINUTE_MS
    book.now_ms, now = early, book.now_ms
    times = {
        "issued_at": book.time(),
        "not_before": book.time(-10_000),
        "expires_at": book.time(15 * MINUTE_MS),
    }
    book.now_ms = now
    book.lease(dock, **times)
    assert verdict(judge, book) == ("lease_not_yet_valid", 9)


def test_a_lease_past_the_end_of_its_dock(book: Book, judge: Judge) -> None:
    dock = book.dock("reconciler", story.READ_WRITE, not_after=book.time(MINUTE_MS))
    book.lease(dock)
    assert verdict(judge, book) == ("dock_expired", 9)


def test_a_lease_for_what_the_manifest_does_not_declare(book: Book, judge: Judge) -> None:
    dock = book.dock("reconciler", ["fire:staff", *story.READ_WRITE])
    book.lease(dock)
    assert verdict(judge, book) == ("capability_not_declared", 9)


def test_a_lease_for_a_version_that_is_not_active(book: Book, judge: Judge) -> None:
    book.register("reconciler", 2, [*story.RECONCILER, "fire:staff"])
    dock = book.dock("reconciler", story.READ_WRITE)
    book.lease(dock, version=2)
    assert verdict(judge, book) == ("version_inactive", 10)


def test_a_lease_after_a_rollback(book: Book, judge: Judge) -> None:
    book.register("reconciler", 2, [*story.RECONCILER, "fire:staff"])
    dock = book.dock("reconciler", story.READ_WRITE)
    story.activate(book, "reconciler", 2, 1)
    book.lease(dock, version=2)
    story.activate(book, "reconciler", 1, 2)
    book.lease(dock)
    assert verdict(judge, book) is None


@pytest.mark.parametrize("target", [Target.DOCK, Target.AGENT, Target.VERSION, Target.OPERATOR])
def test_a_lease_after_revocation(book: Book, judge: Judge, target: Target) -> None:
    dock = book.dock("reconciler", story.READ_WRITE)
    names = {
        Target.DOCK: dock.dock_id,
        Target.AGENT: "reconciler",
        Target.VERSION: "reconciler@v1",
        Target.OPERATOR: book.operator.key_id,
    }
    work.revoke(book, target, names[target])
    book.step_ms = 0  # within the same millisecond: the ledger's order decides
    book.lease(dock)
    assert verdict(judge, book) == ("revoked", 10)


def test_a_dock_in_somebody_elses_name(book: Book, judge: Judge) -> None:
    book.dock("reconciler", story.READ_WRITE, operator="opk_" + "0" * 32)
    assert verdict(judge, book) == ("dock_missing", 8)


def test_a_dock_twice(book: Book, judge: Judge) -> None:
    dock = book.dock("reconciler", story.READ_WRITE)
    book.dock("reconciler", [*story.READ_WRITE, "pay:suppliers"], dock_id=dock.dock_id)
    assert verdict(judge, book) == ("dock_missing", 9)


def test_a_manifest_twice(book: Book, judge: Judge) -> None:
    book.register("reconciler", 1, story.RECONCILER)
    assert verdict(judge, book) == ("manifest_mismatch", 8)


# --- renewal -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"serial": 5}, "lease_missing"),
        ({"epoch": 2}, "lease_missing"),
        ({"instance_key": signer_of("mallory", KeyRole.INSTANCE).public_key.raw}, "lease_missing"),
        ({"dispatch_id": "dsp_" + "0" * 32}, "lease_missing"),
        ({"instance_id": "0" * 32}, "lease_missing"),
    ],
)
def test_a_renewal_that_changes_the_lease(judge: Judge, changes: dict[str, Any], code: str) -> None:
    told = story.launched()
    told.book.renew(told.agent, **changes)
    assert verdict(judge, told.book) == (code, 11)


def test_a_renewal_that_widens(book: Book, judge: Judge) -> None:
    dock = book.dock("reconciler", story.READ_WRITE)
    agent = book.lease(dock, scope=["read:payments"])
    book.renew(agent, scope=story.READ_WRITE)
    assert verdict(judge, book) == ("scope_exceeded", 10)


def test_a_renewal_after_the_end(judge: Judge) -> None:
    """What lies between the end and the renewal had no authority, although the lease goes on."""
    told = story.launched()
    before = told.agent.lease.expires_at
    told.book.now_ms += 16 * MINUTE_MS
    told.book.renew(told.agent)
    renewed = told.agent.lease.issued_at
    work.work(told.book, told.session, started_at=renewed)
    assert verdict(judge, told.book) is None
    work.work(told.book, told.session, started_at=told.agent.lease.not_before)
    assert verdict(judge, told.book) == ("lease_expired", 13)
    told.book.renew(told.agent)
    work.work(told.book, told.session, started_at=before)
    assert verdict(judge, told.book) == ("lease_expired", 13)


@pytest.mark.parametrize("trigger", [Trigger.CRASHED, Trigger.ENDED])
def test_a_renewal_of_an_instance_that_was_halted(judge: Judge, trigger: Trigger) -> None:
    told = story.launched()
    healing.transition(told.book, told.agent, trigger)
    told.book.renew(told.agent)
    assert verdict(judge, told.book) == (f"organism_{told.agent.state}", 12)


@pytest.mark.parametrize(
    "end", [healing.withdraw, lambda book, agent: work.revoke(book, Target.INSTANCE, agent.instance_id)]
)
def test_a_renewal_after_the_lease_was_taken_back(judge: Judge, end: Callable[..., object]) -> None:
    told = story.launched()
    end(told.book, told.agent)
    told.book.renew(told.agent)
    assert verdict(judge, told.book) == ("revoked", 12)


def test_a_renewal_after_release(judge: Judge) -> None:
    told = story.launched()
    work.release(told.book, told.agent)
    told.book.renew(told.agent)
    assert verdict(judge, told.book) == ("lease_released", 12)


def test_a_release_by_somebody_else(judge: Judge) -> None:
    told = story.launched()
    thief = Agent(
        signer_of("mallory", KeyRole.INSTANCE),
        told.agent.instance_id,
        told.agent.lease,
        told.agent.lease_envelope,
    )
    work.release(told.book, thief)
    assert verdict(judge, told.book, SIGNER) == ("statement_signer", 11)


# --- delegation ----------------------------------------------------------------------------------


@pytest.fixture
def docked() -> Story:
    """A launched tenant whose notifier is docked: the next receipts are 12 (wish) and 13 (child)."""
    told = story.launched()
    told.book.dock("notifier", ["send:notice"])
    return told


def test_a_delegation_that_is_right(docked: Story, judge: Judge) -> None:
    child = work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"])
    work.work(docked.book, work.open_session(docked.book, child, "notify"), "send:notice")
    docked.book.renew(docked.agent)
    docked.book.renew(child, ttl_ms=1_000)
    assert verdict(judge, docked.book) is None


def test_a_delegation_with_a_forged_signature(docked: Story, judge: Judge) -> None:
    mallory = signer_of("mallory", KeyRole.INSTANCE)
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], signer=mallory)
    assert verdict(judge, docked.book, SIGNER) == ("statement_signer", 12)
    assert verdict(judge, docked.book) == ("lease_missing", 13)


def test_a_delegation_that_nobody_signed(docked: Story, judge: Judge) -> None:
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], record=False)
    assert verdict(judge, docked.book) == ("lease_missing", 12)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"parent_lease_id": "lse_" + "0" * 32}, "lease_missing"),
        ({"parent_hash": "0" * 64}, "lease_missing"),
        ({"delegation_hash": "0" * 64}, "lease_missing"),
        ({"delegation_hash": msgspec.UNSET}, "lease_missing"),
        ({"depth": 3}, "delegation_too_deep"),
        ({"expires_at": "2027-01-15T08:59:00.000Z"}, "ttl_exceeded"),
        ({"expires_at": "2027-01-15T08:05:30.000Z"}, "ttl_exceeded"),
    ],
)
def test_a_child_lease_that_does_not_fit(
    docked: Story, judge: Judge, changes: dict[str, Any], code: str
) -> None:
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], **changes)
    assert verdict(judge, docked.book) == (code, 13)


def test_a_wider_child(docked: Story, judge: Judge) -> None:
    book = docked.book
    book.register("spender", 1, ["pay:suppliers", "read:payments"])
    story.activate(book, "spender", 1, 0)
    book.dock("spender", ["pay:suppliers", "read:payments"])
    parent = book.lease(docked.dock, scope=["read:payments"])
    work.delegate(book, parent, "spender", 1, ["pay:suppliers", "read:payments"], wish={"scope": []})
    assert verdict(judge, book) == ("scope_exceeded", 17)


def test_a_child_wider_than_its_parents_delegable_part(docked: Story, judge: Judge) -> None:
    parent = docked.book.lease(docked.dock, delegate_scope=[])
    work.delegate(docked.book, parent, "notifier", 1, ["send:notice"], wish={"scope": []})
    assert verdict(judge, docked.book) == ("scope_exceeded", 14)


def test_a_child_wider_than_the_wish(docked: Story, judge: Judge) -> None:
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], wish={"scope": []})
    assert verdict(judge, docked.book) == ("scope_exceeded", 13)


def test_a_wish_for_what_the_parent_lacks(docked: Story, judge: Judge) -> None:
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], wish={"scope": ["fire:staff"]})
    assert verdict(judge, docked.book) == ("scope_exceeded", 12)


def test_a_wish_for_what_may_not_be_handed_on(docked: Story, judge: Judge) -> None:
    work.delegate(
        docked.book, docked.agent, "notifier", 1, ["send:notice"], wish={"scope": ["read:payments"]}
    )
    assert verdict(judge, docked.book) == ("capability_not_delegable", 12)


@pytest.mark.parametrize(
    "wish",
    [
        {"instance_id": "0" * 32},
        {"instance_key": signer_of("mallory", KeyRole.INSTANCE).public_key.raw},
        {"agent": "reconciler"},
    ],
)
def test_a_wish_for_another_child(docked: Story, judge: Judge, wish: dict[str, Any]) -> None:
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], wish=wish)
    assert verdict(judge, docked.book) == ("lease_missing", 13)


def test_a_delegation_after_the_parents_end(docked: Story, judge: Judge) -> None:
    docked.book.now_ms += 16 * MINUTE_MS
    work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], ttl_ms=60_000)
    assert verdict(judge, docked.book) == ("lease_expired", 12)


def test_a_renewal_past_the_wish(docked: Story, judge: Judge) -> None:
    child = work.delegate(docked.book, docked.agent, "notifier", 1, ["send:notice"], ttl_ms=60_000)
    docked.book.renew(child, ttl_ms=2 * MINUTE_MS)
    assert verdict(judge, docked.book) == ("ttl_exceeded", 14)


def test_a_revoked_parent_ends_the_child(docked: Story, judge: Judge) -> None:
    book = docked.book
    child = work.delegate(book, docked.agent, "notifier", 1, ["send:notice"])
    session = work.open_session(book, child, "notify")
    work.revoke(book, Target.LEASE, docked.agent.lease.lease_id)
    work.work(book, session, "send:notice", about={"late": True})
    assert verdict(judge, book) == ("revoked", 16)


@pytest.mark.parametrize("kind", [Target.INSTANCE, Target.VERSION, Target.AGENT, Target.DOCK])
def test_whatever_revokes_the_parent_ends_the_child(docked: Story, judge: Judge, kind: Target) -> None:
    book, lease = docked.book, docked.agent.lease
    child = work.delegate(book, docked.agent, "notifier", 1, ["send:notice"])
    session = work.open_session(book, child, "notify")
    target = {
        Target.INSTANCE: lease.instance_id,
        Target.VERSION: f"{lease.agent}@v{lease.version}",
        Target.AGENT: lease.agent,
        Target.DOCK: lease.dock_id,
    }[kind]
    work.revoke(book, kind, target)
    work.work(book, session, "send:notice", about={"late": True})
    assert verdict(judge, book) == ("revoked", 16)


def test_a_lease_statement_under_the_wrong_kind(book: Book, judge: Judge) -> None:
    dock = book.dock("reconciler", story.READ_WRITE)
    agent = book.lease(dock)
    book.append(Kind.AGENT_DOCKED, agent.lease_envelope)
    report = judge(packs.export(book), pin=book.pin)
    assert found(report, Question.INTEGRITY) == ("statement_kind", 10)
