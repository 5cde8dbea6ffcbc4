"""A header and the statement it repeats agree, field by field."""

from __future__ import annotations

import msgspec
import pytest

from dragons.audit.copies import COPIED, contradiction
from dragons.audit.kinds import STATEMENTS
from dragons.audit.verify import _BY_TYPE
from dragons.core.canonical import Document, decode
from dragons.evidence.receipt import Header
from tests.support import story

BOOK = story.full(cycles=1).book
RECEIPTS: list[tuple[Header, Document]] = []
for one in BOOK.placed:
    _header = BOOK.headers[one.seq]
    _kind = _BY_TYPE[_header.kind, one.record.statement.payloadType]
    RECEIPTS.append((_header, decode(_kind.document, one.record.statement.payload)))
OTHER = {
    "session_id": "ses_" + "0" * 32,
    "payload_hash": "0" * 64,
    "evidence": ["0" * 64],
    "outcome": "failed",
    "action": "x:y",
    "corrects": "rcp_" + "0" * 32,
    "instance_id": "0" * 32,
    "organism_state": "stopped",
    "lease_ref": "lse_" + "0" * 32,
    "epoch": 99,
    "manifest_hash": "0" * 64,
    "agent": "nobody",
}


def test_genuine_receipts_contradict_nothing() -> None:
    assert [contradiction(header, body) for header, body in RECEIPTS] == [None] * len(RECEIPTS)


@pytest.mark.parametrize("kind", list(COPIED), ids=lambda kind: kind.__name__)
def test_every_copied_field_counts(kind: type[Document]) -> None:
    header, body = next(pair for pair in RECEIPTS if type(pair[1]) is kind)
    for name, _ in COPIED[kind]:
        spoiled = msgspec.structs.replace(header, **{name: OTHER[name]})
        assert contradiction(spoiled, body) == name


@pytest.mark.parametrize("kind", ["Lease", "Registration", "Activation", "Dock"])
def test_the_agent_is_the_statements(kind: str) -> None:
    header, body = next(pair for pair in RECEIPTS if type(pair[1]).__name__ == kind)
    assert contradiction(msgspec.structs.replace(header, agent="nobody"), body) == "agent"


def test_an_abandonment_ends_as_abandoned() -> None:
    header, body = next(pair for pair in RECEIPTS if type(pair[1]).__name__ == "Abandonment")
    assert contradiction(msgspec.structs.replace(header, outcome="completed"), body) == "outcome"


def test_the_story_has_every_kind_of_statement() -> None:
    told = {type(body) for _, body in RECEIPTS}
    assert told == {one.document for several in STATEMENTS.values() for one in several}
    assert {header.kind for header, _ in RECEIPTS} == set(STATEMENTS)
