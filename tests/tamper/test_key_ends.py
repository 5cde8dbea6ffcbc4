"""The end of an operator's key, told by the control plane and by the verifier: one story, one answer.

Left, the story as the control plane lives it: what is refused never gets on the record. Right, the
same story in a ledger that recorded it all the same: the verifier names the receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dragons.audit.pack import Selection
from dragons.audit.verdicts import Question, Report
from dragons.authority.catalogue import Entry
from dragons.authority.revocation import Target
from dragons.control.denials import Refused
from dragons.core.errors import DragonsError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Risk
from tests.support import packs, story, work
from tests.support.governed import CAPABILITIES
from tests.support.ledger import MINUTE_MS
from tests.support.plane import Agent as Started
from tests.support.plane import Plane, Tenancy, make_manifest, verify
from tests.support.story import READ_WRITE, RECONCILER, Story
from tests.tamper.conftest import found

Judge = Callable[..., Report]
AUTHORITY, SIGNER = Question.AUTHORITY, Question.SIGNER
LOW = {
    "pay:supplier": Entry(description="Send money.", risk=Risk.LOW, delegable=False),
    "read:payments": CAPABILITIES["read:payments"],
}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    """A tenant whose agent is docked by its first operator; the second one's key is going to end."""
    tenancy = plane.tenant("acme")
    tenancy.ready(scope=["pay:supplier", "read:payments"])
    return tenancy


@pytest.fixture
def told() -> Story:
    """The same in a `Book`: receipts 0 to 10, and the second operator's key as receipt 11."""
    made = story.launched()
    made.book.register_key(guest(made), "operator", ["operator"])
    return made


def guest(told: Story) -> LocalSigner:
    return told.book.key("guest", KeyRole.OPERATOR)


def answer(attempt: Callable[[], object]) -> str:
    """The reason of a refusal, empty when it was done."""
    try:
        done = attempt()
    except DragonsError as error:
        return error.code
    return done.reason.value if isinstance(done, Refused) else ""


def verdict(judge: Judge, told: Story, question: Question = AUTHORITY) -> tuple[str, int | None] | None:
    return found(judge(packs.export(told.book), pin=told.book.pin), question)


def end(acme: Tenancy, key: LocalSigner, since: str) -> None:
    acme.plane.clock.advance(1_000)
    acme.revoke_key(key.key_id, compromised_since=since)
    acme.plane.clock.advance(1_000)


# --- what the operator authorized ----------------------------------------------------------------


@pytest.mark.parametrize("compromised", [False, True], ids=["retired", "compromised"])
def test_leases_that_it_authorized(acme: Tenancy, told: Story, judge: Judge, *, compromised: bool) -> None:
    """Every lease under its docks ends with its revocation, whenever the dock was signed."""
    second, since = acme.hire("operator"), acme.now
    acme.plane.clock.advance(1)  # the newest dock is taken
    acme.dock("reconciler", ["read:payments"], signer=second)
    agent = acme.started(make_manifest(), scope=("read:payments",))
    assert answer(lambda: acme.authorize(agent, "read:payments")) == ""
    before = acme.now
    end(acme, second, since if compromised else acme.now)
    assert answer(lambda: acme.authorize(agent, "read:payments")) == "operator_revoked"
    assert answer(lambda: acme.renew(agent)) == "operator_revoked"
    assert answer(lambda: acme.work(agent)) == "operator_revoked"
    assert answer(lambda: acme.work(agent, started_at=before, ended_at=before)) == ""

    book = told.book
    since = book.headers[-1].issued_at if compromised else book.time(10_000)
    held = book.lease(book.dock("reconciler", READ_WRITE, signer=guest(told)))
    session = work.open_session(book, held, "read")
    before = book.time()
    book.revoke_key(guest(told).key_id, compromised_since=since)
    work.work(book, session, started_at=before, ended_at=before, about={"late": True})
    assert verdict(judge, told) is None
    work.work(book, session, about={"late": True})
    assert verdict(judge, told) == ("revoked", 17)
    assert verdict(judge, told, SIGNER) == (("key_compromised", 12) if compromised else None)


def test_other_operators_leases_go_on(acme: Tenancy, told: Story, judge: Judge) -> None:
    second, since = acme.hire("operator"), acme.now
    agent = acme.started(make_manifest())
    end(acme, second, since)
    assert answer(lambda: acme.authorize(agent, "read:payments")) == ""
    told.book.revoke_key(guest(told).key_id)
    work.work(told.book, told.session)
    assert verdict(judge, told) is None


# --- what it signed since it was compromised -----------------------------------------------------


def test_the_catalogue_that_it_published(acme: Tenancy, told: Story, judge: Judge) -> None:
    """A thief calls payments harmless: from the key's end on there is no catalogue until the next one."""
    second = acme.hire("operator")
    agent = acme.started(make_manifest())
    since = acme.now
    acme.publish(2, LOW, signer=second)
    assert answer(lambda: acme.work(agent, "pay:supplier")) == ""
    end(acme, second, since)
    assert answer(lambda: acme.authorize(agent, "pay:supplier")) == "capability_unknown"
    assert answer(lambda: acme.work(agent, "pay:supplier")) == "capability_unknown"
    acme.publish(3)
    assert answer(lambda: acme.work(agent, "pay:supplier")) == "online_check_required"
    assert answer(lambda: acme.work(agent, "read:payments")) == ""
    report = verify(acme, Selection(kind="ledger"))
    assert [str(one) for one, said in report.verdicts.items() if said.fault] == ["signer"]

    book, pay = told.book, "pay:suppliers"
    since = book.headers[-1].issued_at
    story.publish(book, 2, pay=Risk.LOW, signer=guest(told))
    work.work(book, told.session, pay)
    assert verdict(judge, told) is None
    book.revoke_key(guest(told).key_id, compromised_since=since)
    work.work(book, told.session, pay)
    assert verdict(judge, told) == ("capability_unknown", 15)
    assert verdict(judge, told, SIGNER) == ("key_compromised", 12)


def test_a_catalogue_from_before(acme: Tenancy, told: Story, judge: Judge) -> None:
    second = acme.hire("operator")
    agent = acme.started(make_manifest())
    acme.publish(2, LOW, signer=second)
    acme.plane.clock.advance(1)
    end(acme, second, acme.now)
    assert answer(lambda: acme.work(agent, "pay:supplier")) == ""
    story.publish(told.book, 2, pay=Risk.LOW, signer=guest(told))
    told.book.revoke_key(guest(told).key_id)
    work.work(told.book, told.session, "pay:suppliers")
    assert verdict(judge, told) is None


def test_the_version_that_it_registered(acme: Tenancy, told: Story, judge: Judge) -> None:
    """Instances of a thief's manifest end with the thief's key, under whoever's dock they run."""
    evil, second, since = make_manifest(code=b"steal()"), acme.hire("operator"), acme.now
    acme.register(evil, 2, signer=second)
    acme.activate(evil, 2, 1)
    agent = acme.started(evil)
    end(acme, second, since)
    assert answer(lambda: acme.authorize(agent, "read:payments")) == "version_revoked"
    assert answer(lambda: acme.launch(evil)) == "version_revoked"

    book = told.book
    since = book.headers[-1].issued_at
    book.register("reconciler", 2, [*RECONCILER, "fire:staff"], signer=guest(told))
    story.activate(book, "reconciler", 2, 1)
    session = work.open_session(book, book.lease(told.dock, version=2), "steal")
    book.revoke_key(guest(told).key_id, compromised_since=since)
    work.work(book, session, about={"late": True})
    assert verdict(judge, told) == ("revoked", 17)
    assert verdict(judge, told, SIGNER) == ("key_compromised", 12)


def test_the_version_that_it_activated(acme: Tenancy, told: Story, judge: Judge) -> None:
    """A thief rolls back to an old version: after the key's end the agent has no active one."""
    first, newer, second = make_manifest(), make_manifest(code=b"print(2)"), acme.hire("operator")
    acme.register(newer, 2)
    acme.activate(newer, 2, 1)
    since = acme.now
    # A thief may date a statement back by minutes; what counts is when it was recorded.
    acme.activate(first, 1, 2, signer=second, activated_at="2027-01-15T07:59:00.000Z")
    assert answer(lambda: acme.launch(first)) == ""
    end(acme, second, since)
    assert answer(lambda: acme.launch(first)) == "version_inactive"
    assert answer(lambda: acme.launch(newer)) == "version_inactive"
    acme.activate(newer, 2, 3)
    assert answer(lambda: acme.launch(newer)) == ""

    book = told.book
    since = book.headers[-1].issued_at
    story.activate(book, "reconciler", 1, 1, signer=guest(told))
    book.lease(told.dock)
    book.revoke_key(guest(told).key_id, compromised_since=since)
    assert verdict(judge, told) is None
    book.lease(told.dock)
    assert verdict(judge, told) == ("version_inactive", 15)


# --- what it signs afterwards --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["key", "operator"])
def test_nothing_that_it_signs_afterwards_counts(acme: Tenancy, told: Story, judge: Judge, how: str) -> None:
    """Whether its key was ended by the root or the operator was revoked by another one."""
    second = acme.hire("operator")
    if how == "key":
        acme.revoke_key(second.key_id)
    else:
        acme.revoke(Target.OPERATOR, second.key_id)
    for attempt in (
        lambda: acme.publish(2, LOW, signer=second),
        lambda: acme.dock("reconciler", ["read:payments"], signer=second),
        lambda: acme.register(make_manifest(code=b"x"), 2, signer=second),
        lambda: acme.activate(make_manifest(), 1, 1, signer=second),
        lambda: acme.revoke(Target.AGENT, "reconciler", signer=second),
    ):
        assert answer(attempt) == "signer_not_valid"

    book, key = told.book, guest(told)
    if how == "key":
        book.revoke_key(key.key_id)
    else:
        work.revoke(book, Target.OPERATOR, key.key_id)
    for attempt in (
        lambda: story.publish(book, 2, pay=Risk.LOW, signer=key),
        lambda: book.dock("reconciler", READ_WRITE, signer=key),
        lambda: book.register("reconciler", 2, [*RECONCILER, "fire:staff"], signer=key),
        lambda: story.activate(book, "reconciler", 1, 1, signer=key),
        lambda: work.revoke(book, Target.AGENT, "reconciler", signer=key),
    ):
        size = len(book.placed)
        attempt()
        assert verdict(judge, told, SIGNER) == ("statement_signer", 13)
        assert len(book.placed) == size + 1
    # None of it took effect: payments are still of high risk, the agent is not revoked.
    work.work(book, told.session)
    assert verdict(judge, told) is None
    work.work(book, told.session, "pay:suppliers")
    assert verdict(judge, told) == ("online_check_required", 19)


# --- a child and its parent's end ----------------------------------------------------------------


def test_a_renewal_never_outlives_the_parent(acme: Tenancy, told: Story, judge: Judge) -> None:
    """The control plane gives a child what its parent has left, then nothing; more than that is found."""
    note = make_manifest("notifier", code=b"notify()", capabilities=["send:email"])
    acme.register(note)
    acme.activate(note)
    acme.dock("notifier", ["send:email"])
    acme.dock("reconciler", ["read:payments"], delegate=["send:email"])
    parent = acme.started(
        make_manifest(), scope=("read:payments",), delegate_scope=("send:email",), ttl_seconds=60
    )
    child = acme.delegate(parent, note, ["send:email"], ttl_seconds=40)
    assert isinstance(child, Started)
    acme.plane.clock.advance(30_000)
    assert answer(lambda: acme.renew(child)) == ""
    assert child.lease.expires_ms <= parent.lease.expires_ms
    acme.plane.clock.advance(10_000)
    assert answer(lambda: acme.renew(child)) == "lease_expired"

    book = told.book
    book.dock("notifier", ["send:notice"])
    small = work.delegate(book, told.agent, "notifier", 1, ["send:notice"], ttl_ms=14 * MINUTE_MS)
    book.renew(small, ttl_ms=14 * MINUTE_MS - 5_000)
    assert verdict(judge, told) is None
    book.renew(small, ttl_ms=16 * MINUTE_MS)
    assert verdict(judge, told) == ("ttl_exceeded", 16)


def test_a_wish_beyond_the_parents_end(acme: Tenancy, told: Story, judge: Judge) -> None:
    """Otherwise the child could be renewed up to there as soon as the parent is."""
    note = make_manifest("notifier", code=b"notify()", capabilities=["send:email"])
    acme.register(note)
    acme.activate(note)
    acme.dock("notifier", ["send:email"])
    acme.dock("reconciler", ["read:payments"], delegate=["send:email"])
    parent = acme.started(
        make_manifest(), scope=("read:payments",), delegate_scope=("send:email",), ttl_seconds=60
    )
    assert answer(lambda: acme.delegate(parent, note, ["send:email"], ttl_seconds=61)) == "ttl_exceeded"
    told.book.dock("notifier", ["send:notice"])
    work.delegate(
        told.book,
        told.agent,
        "notifier",
        1,
        ["send:notice"],
        wish={"not_after": told.book.time(16 * MINUTE_MS)},
    )
    assert verdict(judge, told) == ("ttl_exceeded", 13)


# --- who is to blame -----------------------------------------------------------------------------


def test_a_rotation_does_not_count_against_the_old_key(judge: Judge) -> None:
    """Its old signature under the new key's statement is no use in its role; the lease after it is."""
    made = story.launched()
    book = made.book
    since = book.time()
    book.rotate(book.issuer, book.key("issuer-2", KeyRole.ISSUER), "issuer")
    book.lease(made.dock)
    book.revoke_key(book.issuer.key_id, compromised_since=since)
    assert verdict(judge, made, SIGNER) == ("key_compromised", 12)


def test_a_malformed_line_counts_in_the_place_of_the_first_use(judge: Judge) -> None:
    made = story.launched()
    book = made.book
    since = book.headers[9].issued_at
    book.revoke_key(book.issuer.key_id, compromised_since=since)
    parts = packs.export(book)
    spoiled = parts.with_lines([*parts.lines[:5], b"{}", *parts.lines[6:]])
    report = judge(spoiled, pin=book.pin)
    assert found(report, Question.INTEGRITY) == ("malformed", 5)
    assert found(report, SIGNER) == ("key_compromised", 9)


def test_a_damaged_pack_with_a_compromised_key_is_a_verdict(judge: Judge) -> None:
    """The second pass meets the damage again: it is reported, not raised."""
    made = story.launched()
    book = made.book
    book.revoke_key(book.issuer.key_id, compromised_since=book.headers[9].issued_at)
    parts = packs.export(book)
    spoiled = parts.with_lines([*parts.lines, b"x" * 5_000_000])
    report = judge(spoiled, pin=book.pin)
    assert found(report, Question.INTEGRITY) == ("damaged", 12)
    assert found(report, SIGNER) == ("key_compromised", 9)


def test_what_a_revoked_operator_tried_is_no_use_of_the_key(told: Story, judge: Judge) -> None:
    """It was refused, so the compromise that is told later has nothing to spoil."""
    book = told.book
    work.revoke(book, Target.OPERATOR, guest(told).key_id)
    since = book.time(1)
    story.publish(book, 2, signer=guest(told))
    book.revoke_key(guest(told).key_id, compromised_since=since)
    assert verdict(judge, told, SIGNER) == ("statement_signer", 13)
