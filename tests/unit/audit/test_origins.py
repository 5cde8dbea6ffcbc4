"""What the end of an operator's key takes with it."""

from __future__ import annotations

import pytest

from dragons.audit.mandate import Mandate
from dragons.audit.origins import Origins
from dragons.authority.catalogue import CATALOGUE, Catalogue
from dragons.identity.records import ACTIVATION, REGISTRATION, Activation, Registration
from tests.support import story

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


def test_the_newest_signer_counts(mandate: Mandate, origins: Origins) -> None:
    body = story.tenant().placed[6].record.statement.body(ACTIVATION, Activation)
    origins.note(body, OTHER, T2)
    origins.end(mandate, KEY, T1, T3)
    assert mandate.active == {"reconciler": 1}
