"""The story of a pack, for a person and for a machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragons.audit.replay import replay_file, tell
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Kind
from dragons.evidence.payload import Payload
from tests.support import packs, story
from tests.support.packs import Parts

STORY = story.full(cycles=1)
BOOK = STORY.book


def events(parts: Parts, folder: Path) -> list[dict[str, Any]]:
    return list(replay_file(packs.write(parts, folder / "pack.zip")))


@pytest.fixture
def session(tmp_path: Path) -> list[dict[str, Any]]:
    return events(packs.export(BOOK, packs.session_of(STORY.session.session_id)), tmp_path)


def test_a_session_goes_from_goal_to_outcome(session: list[dict[str, Any]]) -> None:
    assert [event["event"] for event in session[:3]] == ["pack", "session", "action"]
    opened = session[1]
    assert opened["goal"] == "reconcile payments"
    assert opened["identity"]["agent"] == "reconciler@v1"
    assert opened["identity"]["manifest_hash"] == STORY.agent.lease.manifest_hash
    authority = opened["authority"]
    assert authority["dock_id"] == STORY.dock.dock_id
    assert authority["operator"] == BOOK.operator.key_id
    assert authority["operator_subject"] == "operator of acme"
    assert authority["scope"] == STORY.agent.lease.scope
    assert session[-1]["event"] == "session_closed"
    assert session[-1]["summary"] == {"matched": 42, "open": 0}


def test_an_action_names_resource_evidence_outcome_and_receipt(session: list[dict[str, Any]]) -> None:
    action = session[2]
    assert (action["action"], action["resource"], action["arguments"]) == (
        "read:payments",
        "batch-11",
        {"rows": 11},
    )
    assert action["outcome"]["status"] == "completed"
    assert action["outcome"]["told"] == {"status": "completed", "result": "42 rows"}
    (evidence,) = action["evidence"]
    assert (evidence["name"], evidence["bytes"]) == ("statement.xml", 2048)
    header = BOOK.headers[action["receipt"]["seq"]]
    assert action["receipt"] == {
        "receipt_id": header.receipt_id,
        "seq": 11,
        "chain_root": header.chain_root(),
        "issued_at": header.issued_at,
    }


def test_every_receipt_of_the_selection_is_told(tmp_path: Path) -> None:
    told = events(packs.export(BOOK), tmp_path)
    assert [event["receipt"]["seq"] for event in told[1:]] == list(range(len(BOOK.placed)))
    assert {event["event"] for event in told} == {
        "pack", "session", "action", "session_closed", "session_abandoned", "action_abandoned", "authorized",
        "denied", "state", "intervention", "governance",
    }  # fmt: skip


def test_events_are_plain_json(tmp_path: Path) -> None:
    for parts in (packs.export(BOOK), packs.export(BOOK, redacted=True)):
        for event in events(parts, tmp_path):
            assert json.loads(json.dumps(event)) == event


def test_what_is_withheld_is_called_so(tmp_path: Path) -> None:
    told = events(packs.export(BOOK, redacted=True), tmp_path)
    opened = next(event for event in told if event["event"] == "session")
    assert opened["goal"] is None
    assert opened["payload"]["withheld"] is True
    lines = list(tell(told))
    assert f"  goal       withheld (payload_hash {opened['payload']['payload_hash']})" in lines


def test_an_erased_payload_leaves_its_receipt(session: list[dict[str, Any]]) -> None:
    erased = [event for event in session if event.get("payload", {}).get("withheld")]
    assert [event["event"] for event in erased] == ["action"]
    assert "resource" not in erased[0]
    assert erased[0]["evidence"][0].keys() == {"sha256"}


def test_an_altered_payload_is_not_told(tmp_path: Path) -> None:
    parts = packs.export(BOOK)
    first = parts.payloads[0]
    wrong = Payload(payload_hash=first.payload_hash, salt=first.salt, body=b'{"goal":"nothing"}')
    with pytest.raises(InvalidInputError, match="not what was committed"):
        events(replace(parts, payloads=[wrong, *parts.payloads[1:]]), tmp_path)


def test_it_is_a_stream(tmp_path: Path) -> None:
    told = replay_file(packs.write(packs.export(BOOK), tmp_path / "pack.zip"))
    assert isinstance(told, Iterator)
    assert next(told)["event"] == "pack"
    told.close()  # type: ignore[attr-defined]


def test_a_person_reads_lines(tmp_path: Path) -> None:
    lines = list(tell(events(packs.export(BOOK), tmp_path)))
    text = "\n".join(lines)
    for part in (
        "goal       reconcile payments",
        "authority  lease lse_",
        "action     read:payments batch-11",
        "evidence   statement.xml sha256:",
        "outcome    failed (the bank did not answer)",
        "denied     pay:suppliers 3 times: online_check_required",
        "state      running to degraded (stalled, says the ledger)",
        "a person   quarantine (looked at it), instance ",
        "a person   release (looked at it), all of notifier",
        "redispatched reconciler (the one before is out of service)",
        "abandoned  action of decision dcn_",
        "abandoned  session ses_",
        "authorized pay:suppliers by decision dcn_",
        ", reported late",
        "corrects   rcp_",
        "agent.docked reconciler",
    ):
        assert part in text
    assert sum(line.startswith("  receipt    rcp_") for line in lines) == len(BOOK.placed)


def test_nobody_writes_over_the_readers_screen(tmp_path: Path) -> None:
    told = events(packs.export(BOOK), tmp_path)
    opened = next(event for event in told if event["event"] == "session")
    opened["goal"] = "good\x1b[2J\r\nverdict: pass\u202e"
    line = next(line for line in tell(told) if "good" in line)
    assert line == "  goal       good\\u001b[2J\\u000d\\u000averdict: pass\\u202e"


def test_a_receipt_that_carries_the_wrong_statement(tmp_path: Path) -> None:
    book = story.tenant()
    book.append(Kind.AGENT_DOCKED, book.placed[3].record.statement)
    with pytest.raises(InvalidInputError, match="carries"):
        events(packs.export(book), tmp_path)
