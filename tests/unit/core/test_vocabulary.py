"""The words are part of the formats: changing one breaks what was written before."""

from __future__ import annotations

from enum import StrEnum

import pytest

from dragons.core import vocabulary
from dragons.core.vocabulary import Kind, OrganismState, Outcome, Reason, Risk, Role

WORDS: dict[type[StrEnum], str] = {
    OrganismState: "running degraded autohealing quarantined stopped",
    Outcome: "completed failed denied abandoned",
    Risk: "low medium high",
    Role: "admin operator launcher auditor instance anyone",
    Kind: (
        "tenant.created key.registered key.revoked catalogue.published manifest.registered version.activated "
        "agent.docked revoked lease.issued lease.renewed lease.released session.opened action.authorized work "
        "session.closed denied state.changed intervention erased"
    ),
    Reason: (
        "lease_missing lease_not_yet_valid lease_expired lease_released operator_revoked dock_revoked agent_revoked "
        "version_revoked instance_revoked lease_revoked parent_lease_revoked dock_missing dock_expired "
        "dock_instances_exhausted manifest_unrecorded manifest_mismatch version_inactive instance_mismatch "
        "tenant_mismatch epoch_stale capability_unknown capability_not_declared capability_not_docked "
        "capability_not_leased capability_not_delegable online_check_required scope_exceeded ttl_exceeded "
        "delegation_too_deep organism_autohealing organism_quarantined organism_stopped authority_stale "
        "clock_jumped session_closed"
    ),
}


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_no_word_that_was_ever_written_is_gone_or_renamed(words: type[StrEnum]) -> None:
    assert set(WORDS[words].split()) <= {word.value for word in words}


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_a_word_means_one_thing(words: type[StrEnum]) -> None:
    assert len(words.__members__) == len({word.value for word in words})


def test_every_vocabulary_is_listed_here() -> None:
    defined = {
        value for value in vars(vocabulary).values() if isinstance(value, type) and issubclass(value, StrEnum)
    }
    assert defined - {StrEnum} == set(WORDS)
