"""Sessions as the ledger tells them. What a whole pack says of them is in tests/tamper."""

from __future__ import annotations

from typing import Any

import pytest

from dragons.audit.sessions import Sessions
from dragons.core.vocabulary import Kind, Outcome
from dragons.evidence.receipt import Header
from tests.property.builders import make_header, name

SESSION, LEASE = name("ses", 1), name("lse", 1)


def header(position: int | None, kind: Kind = Kind.WORK, **changes: Any) -> Header:
    fields: dict[str, Any] = {"kind": kind, "session_id": SESSION, "lease_ref": LEASE, **changes}
    if position is not None:
        fields["session_position"] = position
    return make_header(**fields)


def code(sessions: Sessions, one: Header, root: str = "r") -> str | None:
    fault = sessions.follow(one, root, one.seq)
    return None if fault is None else fault.code


@pytest.fixture
def sessions() -> Sessions:
    made = Sessions(partial=False)
    assert code(made, header(0, Kind.SESSION_OPENED), "r0") is None
    return made


def test_a_receipt_outside_sessions_is_ignored() -> None:
    made = Sessions(partial=False)
    assert made.follow(make_header(), "r", 0) is None
    assert made.open == {}


def test_the_chain_of_a_session(sessions: Sessions) -> None:
    assert code(sessions, header(1, session_parent="r0"), "r1") is None
    assert code(sessions, header(2, session_parent="r0"), "r2") == "session_chain"


@pytest.mark.parametrize("position", [0, 2, None])
def test_positions_have_no_gap(sessions: Sessions, position: int | None) -> None:
    assert code(sessions, header(position, session_parent="r0")) in {"session_start", "session_gap"}


def test_only_windows_begin_in_the_middle() -> None:
    assert code(Sessions(partial=False), header(5)) == "session_start"
    assert code(Sessions(partial=True), header(5)) is None


def test_nothing_follows_the_end(sessions: Sessions) -> None:
    end = header(1, Kind.SESSION_CLOSED, session_parent="r0", outcome=Outcome.COMPLETED)
    assert code(sessions, end, "r1") is None
    assert sessions.open == {}
    assert code(sessions, header(2, session_parent="r1")) == "session_closed"
    assert sessions.open == {}


def test_late_work_may_follow_abandonment(sessions: Sessions) -> None:
    end = header(1, Kind.SESSION_CLOSED, session_parent="r0", outcome=Outcome.ABANDONED)
    assert code(sessions, end, "r1") is None
    assert code(sessions, header(2, session_parent="r1", late=True), "r2") is None
    assert code(sessions, header(3, session_parent="r2")) == "session_closed"


def test_a_decision_waits_for_its_receipt(sessions: Sessions) -> None:
    sessions.decided(SESSION, "dcn_1", 1, 1)
    sessions.decided(SESSION, "dcn_2", 2, 2)
    sessions.settled(SESSION, "dcn_1")
    end = header(1, Kind.SESSION_CLOSED, session_parent="r0", outcome=Outcome.COMPLETED)
    assert code(sessions, end) is None
    assert sessions.orphan is not None
    assert (sessions.orphan.code, sessions.orphan.index) == ("orphan", 2)


def test_decisions_of_unknown_sessions_are_nobodys(sessions: Sessions) -> None:
    sessions.decided("ses_x", "dcn_1", 1, 1)
    sessions.settled("ses_x", "dcn_1")
    assert sessions.orphan is None
