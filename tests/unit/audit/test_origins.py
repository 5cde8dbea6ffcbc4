"""What the end of an operator's key takes with it."""

from __future__ import annotations

import pytest

from dragons.audit.leases import held
from dragons.audit.mandate import Mandate
from dragons.audit.origins import Origins
from dragons.authority.catalogue import CATALOGUE, Catalogue
from dragons.core.hashing import ZERO
from dragons.evidence.receipt import Intervention
from dragons.identity.records import ACTIVATION, REGISTRATION, Activation, Registration
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from tests.support import healing, story
from tests.support.ledger import Book
from tests.support.story import Story

T1, T2, T3 = (f"2027-01-15T08:00:0{second}.000Z" for second in (1, 2, 3))
KEY, OTHER = "opk_" + "1" * 32, "opk_" + "2" * 32


@pytest.fixture
def mandate() -> Mandate:
    return Mandate()


@pytest.fixture
def origins(mandate: Mandate) -> Origins:
    """Catalogue, two versions and an activation, all signed by `KEY` at `T2`."""
    book, made = story.tenant(), Origins()
    at = {3: (CATALOGUE, Catalogue), 4: (REGISTRATION, Registration), 5: (REGISTRATION, Registration)}
    at[6] = (ACTIVATION, Activation)
    for seq, (kind, document) in at.items():
        body = book.placed[seq].record.statement.body(kind, document)
        made.note(body, KEY, T2)
        if isinstance(body, Catalogue):
            mandate.admit_catalogue(body)
        elif isinstance(body, Registration):
            assert mandate.admit_registration(body) is None
        else:
            assert mandate.admit_activation(body) is None
    return made


def test_what_it_signed_since_does_not_count(mandate: Mandate, origins: Origins) -> None:
    origins.end(mandate, KEY, T2, T3)
    assert (mandate.catalogue, mandate.high_risk, mandate.active) == ({}, frozenset(), {})
    ended = (f"operator:{KEY}", "version:reconciler@v1", "version:notifier@v1")
    assert mandate.revoked == dict.fromkeys(ended, T3)


@pytest.mark.parametrize(("key_id", "since"), [(KEY, T3), (OTHER, T1)])
def test_what_it_signed_before_and_what_others_signed_stays(
    mandate: Mandate, origins: Origins, key_id: str, since: str
) -> None:
    origins.end(mandate, key_id, since, T3)
    assert mandate.high_risk == {"pay:suppliers"}
    assert mandate.active == {"reconciler": 1}
    assert mandate.revoked == {f"operator:{key_id}": T3}


def release(book: Book, **target: str) -> Intervention:
    return Intervention(tenant_id=book.tenant_id, action="release", reason="x", at=T2, **target)


@pytest.fixture
def told() -> Story:
    """An instance by hand, and one of an ordered dispatch."""
    made = story.launched()
    made.names["dispatch"] = healing.order(made.book, "reconciler")
    made.agent = made.book.lease(made.dock, dispatch_id=made.names["dispatch"])
    return made


@pytest.fixture
def ordered(told: Story, mandate: Mandate) -> Dispatch:
    """What was ordered, with its instance known."""
    body = told.book.placed[11].record.statement.body(DISPATCH_ORDER, Dispatch)
    assert mandate.admit_dispatch(body) is None
    mandate.leases[told.agent.lease.lease_id] = held(told.agent.lease, ZERO, ())
    mandate.organisms.launched(told.agent.lease)
    return body


@pytest.mark.parametrize(
    ("key_id", "since", "spoiled"), [(KEY, T2, True), (KEY, T3, False), (OTHER, T1, False)]
)
@pytest.mark.parametrize("how", ["order", "release"])
def test_a_dispatch_that_goes_on_by_it_is_over(
    told: Story, mandate: Mandate, ordered: Dispatch, how: str, key_id: str, since: str, *, spoiled: bool
) -> None:
    origins = Origins()
    origins.note(
        ordered if how == "order" else release(told.book, instance_id=told.agent.instance_id), KEY, T2
    )
    origins.end(mandate, key_id, since, T3)
    assert mandate.dispatches.known[ordered.dispatch_id].annulled is spoiled
    revoked = {f"lease:{told.agent.lease.lease_id}"} if spoiled else set()
    assert set(mandate.revoked) == {f"operator:{key_id}"} | revoked


def test_an_agent_that_it_released_is_isolated_again(
    told: Story, mandate: Mandate, ordered: Dispatch
) -> None:
    origins = Origins()
    origins.note(release(told.book, agent=ordered.agent), KEY, T2)
    origins.note(release(told.book, agent="notifier"), KEY, T1)
    origins.end(mandate, KEY, T2, T3)
    assert mandate.organisms.held == {ordered.agent}
    assert mandate.organisms.known[told.agent.instance_id].acts == {"quarantine"}
    assert not mandate.dispatches.known[ordered.dispatch_id].annulled


def test_the_last_one_to_release_counts(told: Story, mandate: Mandate, ordered: Dispatch) -> None:
    origins = Origins()
    for key_id in (KEY, OTHER):
        origins.note(release(told.book, agent=ordered.agent), key_id, T2)
    origins.end(mandate, KEY, T1, T3)
    assert mandate.organisms.held == set()
    origins.end(mandate, OTHER, T1, T3)
    assert mandate.organisms.held == {ordered.agent}


def test_the_newest_signer_counts(mandate: Mandate, origins: Origins) -> None:
    body = story.tenant().placed[6].record.statement.body(ACTIVATION, Activation)
    origins.note(body, OTHER, T2)
    origins.end(mandate, KEY, T1, T3)
    assert mandate.active == {"reconciler": 1}
