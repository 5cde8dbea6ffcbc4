"""Whether work had authority when it began: the edges of time. Whole ledgers are in tests/tamper."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.audit.claims import judge_claim, judge_closing, judge_session
from dragons.audit.mandate import Mandate
from dragons.core.canonical import decode
from dragons.core.vocabulary import Kind, Outcome
from dragons.evidence.receipt import Claim, Closing, Header, Session
from tests.support import story
from tests.unit.audit.test_mandate import fed

STORY = story.short(cycles=1)


@pytest.fixture
def mandate() -> Mandate:
    return fed(STORY)


def statement(kind: Kind, document: type[Any]) -> tuple[Header, Any]:
    header = next(h for h in STORY.book.headers if h.kind is kind)
    return header, decode(document, STORY.book.placed[header.seq].record.statement.payload)


def judged(mandate: Mandate, about: dict[str, Any] | None = None, **changes: Any) -> str | None:
    header, claim = statement(Kind.WORK, Claim)
    lease = mandate.leases[STORY.agent.lease.lease_id]
    wrong = judge_claim(mandate, lease, replace(header, **(about or {})), replace(claim, **changes))
    return None if wrong is None else wrong.partition(":")[0]


def test_a_lease_holds_from_not_before_until_before_its_expiry(mandate: Mandate) -> None:
    lease = STORY.agent.lease
    late = {"late": True, "issued_at": lease.expires_at}
    assert judged(mandate, started_at=lease.not_before) is None
    assert judged(mandate, started_at="2027-01-15T07:59:00.000Z") == "lease_not_yet_valid"
    assert judged(mandate, late, started_at=lease.expires_at) == "lease_expired"
    assert judged(mandate, late) is None


def test_late_is_said_exactly_when_it_is(mandate: Mandate) -> None:
    expired = {"issued_at": STORY.agent.lease.expires_at}
    assert judged(mandate, {"late": True}) == "late_unfounded"
    assert judged(mandate, expired) == "late_unmarked"
    assert judged(mandate, {**expired, "late": True}) is None


def test_a_renewed_lease_holds_longer(mandate: Mandate) -> None:
    lease = mandate.leases[STORY.agent.lease.lease_id]
    longer = replace(lease.body, serial=1, expires_at="2027-01-15T09:00:00.000Z")
    began, lease.expires_at = lease.expires_at, longer.expires_at
    assert judged(mandate, {"issued_at": began}, started_at=began) is None


def test_a_lease_holds_not_in_its_gaps(mandate: Mandate) -> None:
    lease = mandate.leases[STORY.agent.lease.lease_id]
    end, renewed = lease.expires_at, "2027-01-15T08:20:00.000Z"
    longer = replace(lease.body, serial=1, issued_at=renewed, expires_at="2027-01-15T08:35:00.000Z")
    lease.renew(longer, "0" * 64)
    after = {"issued_at": "2027-01-15T08:21:00.000Z"}
    assert judged(mandate, after, started_at="2027-01-15T08:10:00.000Z") is None
    assert judged(mandate, after, started_at=end) == "lease_expired"
    assert judged(mandate, after, started_at="2027-01-15T08:19:59.999Z") == "lease_expired"
    assert judged(mandate, after, started_at=renewed) is None


def test_a_step_is_completed_once(mandate: Mandate) -> None:
    step = {"step_key": "5" * 64}
    assert judged(mandate, outcome=Outcome.FAILED, **step) is None
    assert judged(mandate, action="fire:staff", **step) == "capability_not_leased"
    assert judged(mandate, **step) is None
    header, _ = statement(Kind.WORK, Claim)
    assert judged(mandate, **step) == "step_completed"
    assert judged(mandate, corrects="rcp_" + "0" * 32, **step) == "step_completed"
    assert judged(mandate, {"receipt_id": "rcp_" + "1" * 32}, corrects=header.receipt_id, **step) is None
    assert mandate.steps == {"5" * 64: "rcp_" + "1" * 32}


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED])
def test_work_that_was_tried_needs_authority(mandate: Mandate, outcome: Outcome) -> None:
    assert judged(mandate, outcome=outcome, action="fire:staff") == "capability_not_leased"


def test_a_denial_needs_none_and_an_instance_abandons_nothing(mandate: Mandate) -> None:
    assert judged(mandate, outcome=Outcome.DENIED, action="fire:staff") is None
    assert judged(mandate, outcome=Outcome.ABANDONED) == "outcome_invalid"


def test_a_session_counts_when_it_was_recorded(mandate: Mandate) -> None:
    header, body = statement(Kind.SESSION_OPENED, Session)
    lease = mandate.leases[STORY.agent.lease.lease_id]
    assert judge_session(mandate, lease, header, body) is None
    # The instance's own clock may be minutes away; the ledger's decides.
    assert judge_session(mandate, lease, header, replace(body, opened_at="2027-01-15T07:55:00.000Z")) is None
    after = replace(header, issued_at=lease.expires_at)
    assert str(judge_session(mandate, lease, after, body)).startswith("lease_expired")


def test_an_end_may_be_late_but_says_so(mandate: Mandate) -> None:
    header, body = statement(Kind.SESSION_CLOSED, Closing)
    lease = mandate.leases[STORY.agent.lease.lease_id]
    assert judge_closing(mandate, lease, header, body) is None
    after = replace(header, issued_at=lease.expires_at)
    assert str(judge_closing(mandate, lease, after, body)).startswith("late_unmarked")
    assert judge_closing(mandate, lease, replace(after, late=True), body) is None
    assert str(judge_closing(mandate, lease, header, replace(body, outcome="denied"))).startswith(
        "outcome_invalid"
    )
