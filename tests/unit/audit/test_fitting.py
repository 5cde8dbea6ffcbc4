"""Whether a lease fits. Whole ledgers with leases that don't are in tests/tamper/test_leases.py and test_dispatches.py."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.audit.fitting import ISSUE_SKEW_MS_MAX, refuse_lease
from dragons.audit.leases import held
from dragons.audit.mandate import Mandate
from dragons.authority.dock import DOCK, Dock
from dragons.authority.lease import Lease
from dragons.core.clock import format_time, parse_time
from dragons.core.hashing import ZERO
from dragons.core.vocabulary import Reason
from dragons.identity.records import REGISTRATION, Registration
from tests.support import story
from tests.support.story import Story

UNKNOWN = "0" * 32


@pytest.fixture
def told() -> Story:
    return story.launched()


@pytest.fixture
def mandate(told: Story) -> Mandate:
    """What is known before the story's lease is issued."""
    made, book = Mandate(), told.book
    registered = book.placed[4].record.statement.body(REGISTRATION, Registration)
    assert made.admit_registration(registered) is None
    made.active["reconciler"] = 1
    envelope = book.placed[8].record.statement
    made.docks[told.dock.dock_id] = (envelope.body(DOCK, Dock), envelope.payload_digest())
    return made


def refused(mandate: Mandate, body: Lease, known: Lease | None = None, at: str = "") -> str:
    """The code, empty when the lease fits."""
    before = None if known is None else held(known, ZERO, ())
    return (refuse_lease(mandate, held(body, ZERO, ()), before, at or body.issued_at) or "").partition(":")[0]


def test_a_lease_that_fits_changes_nothing(told: Story, mandate: Mandate) -> None:
    assert refused(mandate, told.agent.lease) == ""
    assert (mandate.leases, mandate.epochs, mandate.organisms.known) == ({}, {}, {})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dock_id": f"dck_{UNKNOWN}"}, "dock_missing"),
        ({"dock_hash": ZERO}, "dock_missing"),
        ({"scope": ["fire:staff"]}, "capability_not_docked"),
        ({"manifest_hash": ZERO}, "manifest_unrecorded"),
        ({"version": 2}, "manifest_unrecorded"),
        ({"depth": 1}, "lease_missing"),
        ({"parent_lease_id": f"lse_{UNKNOWN}"}, "lease_missing"),
        ({"epoch": 0}, "epoch_stale"),
    ],
)
def test_a_first_lease_that_does_not(
    told: Story, mandate: Mandate, changes: dict[str, Any], code: str
) -> None:
    assert refused(mandate, replace(told.agent.lease, **changes)) == code


@pytest.mark.parametrize(("off_ms", "code"), [(0, ""), (1, "lease_not_yet_valid")])
@pytest.mark.parametrize("sign", [1, -1])
def test_it_is_dated_when_it_is_recorded(
    told: Story, mandate: Mandate, off_ms: int, sign: int, code: str
) -> None:
    body = told.agent.lease
    at = format_time(parse_time(body.issued_at) + sign * (ISSUE_SKEW_MS_MAX + off_ms))
    assert refused(mandate, body, at=at) == code


def test_what_is_revoked_is_not_leased(told: Story, mandate: Mandate) -> None:
    mandate.revoked[f"dock:{told.dock.dock_id}"] = told.book.time()
    assert refused(mandate, told.agent.lease) == "revoked"


def test_a_version_that_is_not_active_is_renewed_but_not_launched(told: Story, mandate: Mandate) -> None:
    first = told.agent.lease
    mandate.active["reconciler"] = 2
    assert refused(mandate, first) == "version_inactive"
    assert refused(mandate, replace(first, serial=1), first) == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"serial": 2}, "lease_missing"),
        ({"serial": 1, "epoch": 2}, "lease_missing"),
        ({"serial": 1, "scope": []}, ""),
    ],
)
def test_a_renewal_keeps_what_it_renews(
    told: Story, mandate: Mandate, changes: dict[str, Any], code: str
) -> None:
    first = told.agent.lease
    assert refused(mandate, replace(first, **changes), first) == code


def test_a_renewal_does_not_widen(told: Story, mandate: Mandate) -> None:
    first = replace(told.agent.lease, scope=["read:payments"])
    assert refused(mandate, replace(told.agent.lease, serial=1), first) == "scope_exceeded"


def test_nothing_is_renewed_for_an_instance_that_was_halted(told: Story, mandate: Mandate) -> None:
    first = told.agent.lease
    mandate.organisms.halted[first.instance_id] = (Reason.ORGANISM_AUTOHEALING, first.issued_at)
    assert refused(mandate, replace(first, serial=1), first) == "organism_autohealing"


def test_an_agent_that_is_held_gets_no_first_lease(told: Story, mandate: Mandate) -> None:
    mandate.organisms.held.add("reconciler")
    assert refused(mandate, told.agent.lease) == "organism_quarantined"
