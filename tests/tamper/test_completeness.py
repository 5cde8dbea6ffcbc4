"""Every started cycle ends in a receipt, and a selection shows all of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dragons.audit.pack import Selection
from dragons.audit.verdicts import Question, Report
from dragons.core.vocabulary import Kind
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS
from tests.support.packs import Parts
from tests.support.story import Story
from tests.tamper.conftest import found

Judge = Callable[..., Report]
COMPLETENESS = Question.COMPLETENESS
DAY = 24 * 60  # minutes


def verdict(judge: Judge, parts: Parts, told: Story) -> tuple[str, int | None] | None:
    return found(judge(parts, pin=told.book.pin), COMPLETENESS)


def ledger(judge: Judge, told: Story) -> tuple[str, int | None] | None:
    return verdict(judge, packs.export(told.book), told)


@pytest.fixture
def told() -> Story:
    return story.launched()


# --- orphans -------------------------------------------------------------------------------------


def later(told: Story, minutes: int) -> None:
    """The ledger goes on, and says nothing of the session any more."""
    told.book.now_ms += minutes * MINUTE_MS
    story.publish(told.book, 2)


@pytest.mark.parametrize(
    "trigger", [Trigger.ENDED, Trigger.CRASHED, Trigger.LEASE_LOST, Trigger.LEASE_LAPSED, Trigger.REVOKED]
)
def test_a_session_that_its_instance_outlived(told: Story, judge: Judge, trigger: Trigger) -> None:
    """With the halt of an instance the control plane abandons what it left open."""
    work.work(told.book, told.session)
    healing.transition(told.book, told.agent, trigger)
    later(told, 10)
    assert ledger(judge, told) == ("orphan", 11)


def test_a_session_that_was_halted_just_now(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.CRASHED)
    later(told, 9)
    report = judge(packs.export(told.book), pin=told.book.pin)
    assert report.valid
    assert report.verdicts[COMPLETENESS].facts == {"open_sessions": 1}


@pytest.mark.parametrize("degraded", [False, True])
def test_a_session_whose_lease_may_be_renewed_yet(told: Story, judge: Judge, *, degraded: bool) -> None:
    """The control plane may have been away for days: that is nobody's silence."""
    if degraded:
        healing.transition(told.book, told.agent, Trigger.STALLED)
    later(told, 31 * DAY)
    report = judge(packs.export(told.book), pin=told.book.pin)
    assert report.valid
    assert report.verdicts[COMPLETENESS].facts == {"open_sessions": 1}


def test_a_session_whose_lease_expired_too_long_ago(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session)
    later(told, 31 * DAY + 15)
    assert ledger(judge, told) == ("orphan", 11)


def test_a_renewal_begins_the_patience_anew(told: Story, judge: Judge) -> None:
    told.book.now_ms += 20 * DAY * MINUTE_MS
    told.book.renew(told.agent)
    later(told, 20 * DAY)
    assert ledger(judge, told) is None


@pytest.mark.parametrize("first", ["release", "halt"])
def test_the_first_of_release_and_halt_counts(told: Story, judge: Judge, first: str) -> None:
    both = [
        lambda: work.release(told.book, told.agent),
        lambda: healing.transition(told.book, told.agent, Trigger.ENDED),
    ]
    for act in both if first == "release" else reversed(both):
        act()
        told.book.now_ms += 6 * MINUTE_MS
    assert ledger(judge, told) == ("orphan", 10)


def test_a_released_lease_ends_the_patience(told: Story, judge: Judge) -> None:
    work.release(told.book, told.agent)
    later(told, 11)
    assert ledger(judge, told) == ("orphan", 10)


def test_a_decision_without_its_action(told: Story, judge: Judge) -> None:
    work.authorize(told.book, told.session, "pay:suppliers")
    work.work(told.book, told.session)
    healing.transition(told.book, told.agent, Trigger.CRASHED)
    later(told, 10)
    assert ledger(judge, told) == ("orphan", 11)


def test_a_session_closed_over_an_open_decision(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session)
    work.authorize(told.book, told.session, "pay:suppliers")
    work.close_session(told.book, told.session)
    assert ledger(judge, told) == ("orphan", 12)


def test_abandonment_ends_both(told: Story, judge: Judge) -> None:
    decision = work.authorize(told.book, told.session, "pay:suppliers")
    told.book.now_ms += 16 * MINUTE_MS
    work.abandon(told.book, told.session, decision)
    work.abandon(told.book, told.session)
    told.book.now_ms += 60 * MINUTE_MS
    assert ledger(judge, told) is None


def test_late_work_after_the_control_plane_closed_the_session(told: Story, judge: Judge) -> None:
    began = told.book.time()
    told.book.now_ms += 16 * MINUTE_MS
    work.abandon(told.book, told.session)
    work.work(told.book, told.session, started_at=began, ended_at=began, about={"late": True})
    assert ledger(judge, told) is None


# --- sessions ------------------------------------------------------------------------------------


def test_a_gap_in_a_session(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session)
    work.work(told.book, told.session, about={"session_position": 3})
    assert ledger(judge, told) == ("session_gap", 12)


def test_a_session_receipt_without_a_position(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, about={"session_position": None})
    assert ledger(judge, told) == ("session_gap", 11)


def test_a_session_whose_chain_is_broken(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, about={"session_parent": "0" * 64})
    assert ledger(judge, told) == ("session_chain", 11)


def test_a_session_that_begins_in_the_middle(told: Story, judge: Judge) -> None:
    other = work.Open(told.book.new_name("ses"), told.agent)
    work.work(told.book, other, about={"session_position": 1})
    assert ledger(judge, told) == ("session_start", 11)


def test_work_at_the_start_of_a_session(told: Story, judge: Judge) -> None:
    work.work(told.book, work.Open(told.book.new_name("ses"), told.agent))
    assert ledger(judge, told) == ("session_start", 11)


def test_work_after_the_end_of_its_session(told: Story, judge: Judge) -> None:
    work.close_session(told.book, told.session)
    work.work(told.book, told.session)
    assert ledger(judge, told) == ("session_closed", 12)


def test_a_session_that_begins_again(told: Story, judge: Judge) -> None:
    work.close_session(told.book, told.session)
    told.book.session_tails.clear()
    work.open_session(told.book, told.agent, "again", session_id=told.session.session_id)
    assert ledger(judge, told) == ("session_closed", 12)


def test_a_session_under_two_leases(told: Story, judge: Judge) -> None:
    other = told.book.lease(told.dock)
    work.work(told.book, work.Open(told.session.session_id, other))
    assert ledger(judge, told) == ("session_foreign", 12)


# --- selections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selection",
    [
        Selection(kind="session"),
        Selection(kind="agent", session_id="ses_" + "0" * 32),
        Selection(kind="ledger", agent="reconciler"),
        Selection(kind="window", since="2027-01-15T08:00:00.000Z"),
        Selection(kind="window", since="2027-01-15T08:00:00.000Z", until="2027-01-15T08:00:00.000Z"),
    ],
)
def test_a_selection_that_is_none(told: Story, judge: Judge, selection: Selection) -> None:
    parts = packs.export(told.book).with_pack(told.book.ledger, selection=selection)
    assert not judge(parts, pin=told.book.pin).valid


def test_a_ledger_pack_of_a_part(told: Story, judge: Judge) -> None:
    """The ledger signs that a part was all: the tree says otherwise."""
    parts = packs.export(told.book, packs.session_of(told.session.session_id))
    spoiled = parts.with_pack(told.book.ledger, selection=packs.LEDGER)
    assert not judge(spoiled, pin=told.book.pin).valid


def _without(told: Story, selection: Selection, seq: int) -> Parts:
    """An export from which the ledger itself left one receipt out, and signed what remained."""
    book = told.book
    whole = packs.export(book, selection)
    index = next(i for i in range(len(whole.receipts())) if whole.header(i).seq == seq)
    at = whole.receipts()[index]
    lines = list(whole.lines)
    lines[at] = packs.gap_of(book, seq)
    count = whole.pack().selected - 1
    return whole.with_lines(lines).with_pack(book.ledger, selected=count).resealed(book.ledger)


@pytest.mark.parametrize("kind", ["session", "agent", "window"])
def test_a_ledger_that_leaves_a_receipt_out(judge: Judge, kind: str) -> None:
    told = story.short()
    selection = {
        "session": packs.session_of(told.session.session_id),
        "agent": packs.agent_of("reconciler"),
        "window": packs.window_of(told.book, 10, 13),
    }[kind]
    code, index = verdict(judge, _without(told, selection, 12), told) or ("", None)
    assert (code, index is not None) == ("receipt_missing", True)


@pytest.mark.parametrize("edge", [9, 14])
def test_a_window_without_its_edge(judge: Judge, edge: int) -> None:
    told = story.short()
    parts = packs.export(told.book, packs.window_of(told.book, 10, 13), context=lambda one: one.seq != edge)
    assert (verdict(judge, parts, told) or ("",))[0] == "window_edge"


def test_a_window_at_the_end_of_the_log(judge: Judge) -> None:
    told = story.short()
    since = told.book.headers[11].issued_at
    parts = packs.export(told.book, Selection(kind="window", since=since, until=told.book.time(1)))
    assert verdict(judge, parts, told) is None


def test_a_foreign_session_in_the_selection(told: Story, judge: Judge) -> None:
    """Context called selected, by a ledger that signs the count."""
    parts = packs.export(told.book, packs.session_of(told.session.session_id))
    index = parts.index_of(Kind.AGENT_DOCKED)
    at = parts.receipts()[index]
    lines = list(parts.lines)
    lines[at] = lines[at].replace(b'"selected":false}', b'"selected":true}')
    spoiled = parts.with_lines(lines).with_pack(told.book.ledger, selected=parts.pack().selected + 1)
    assert verdict(judge, spoiled, told) == ("receipt_foreign", index)


@pytest.mark.parametrize(
    "kind", [Kind.AGENT_DOCKED, Kind.LEASE_ISSUED, Kind.MANIFEST_REGISTERED, Kind.VERSION_ACTIVATED]
)
def test_a_context_that_was_left_out(told: Story, judge: Judge, kind: Kind) -> None:
    """Nobody can take context away from a signed pack; a ledger that never put it in fails authority."""
    work.work(told.book, told.session)
    selection = packs.session_of(told.session.session_id)
    left_out = {h.seq for h in told.book.headers if h.kind is kind}
    parts = packs.export(told.book, selection, context=lambda one: one.seq not in left_out)
    report = judge(parts, pin=told.book.pin)
    assert report.verdicts[Question.AUTHORITY].fault is not None
    assert not report.valid


def test_a_revocation_with_a_wrong_count(told: Story, judge: Judge) -> None:
    book = told.book
    book.head.revocations = 3
    book.revoke_key(book.issuer.key_id)
    assert ledger(judge, told) == ("revocation_withheld", 11)
