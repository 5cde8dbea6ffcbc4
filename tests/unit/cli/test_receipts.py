from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dragons.cli import receipts
from dragons.cli.output import Format
from dragons.core.vocabulary import Kind
from dragons.sdk.client import Event
from dragons.wire.evidence import LedgerView, Receipts, ReceiptView
from tests.unit.cli.answers import cli_with


def view(seq: int) -> ReceiptView:
    return ReceiptView(
        receipt_id=f"rcp_{seq}",
        seq=seq,
        kind="work",
        issued_at="2026-11-20T19:44:03.123Z",
        chain_root="ab" * 32,
        header={"agent": "clerk@v1", "action": "read:a\x1b[2J", "outcome": "completed"},
    )


@contextmanager
def feed(*seqs: int) -> Iterator[Iterator[Event]]:
    yield (Event(seq, "work", view(seq)) for seq in seqs)


def test_the_newest_are_shown_oldest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, receipts=Receipts(receipts=[view(9), view(8)], next_after=-1))
    receipts.list_receipts(cli, agent="clerk", kind=Kind.WORK)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["SEQ", "8", "9"]
    assert "\x1b" not in lines[1]
    assert asked.asked[0][2]["newest"] is True
    assert asked.asked[0][2]["kind"] == "work"


def test_after_a_place_they_come_in_order(tmp_path: Path) -> None:
    cli, asked = cli_with(tmp_path, receipts=Receipts(receipts=[], next_after=-1))
    receipts.list_receipts(cli, after=7, limit=3)
    assert asked.asked[0][1] == (7,)
    assert asked.asked[0][2]["newest"] is False


def test_following_prints_a_document_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, Format.JSON, events=feed(1, 2, 3))
    receipts.follow(cli, after=0, limit=2)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]


def test_following_begins_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = LedgerView(tenant_id="t", size=12, root="r", chain_root="c", checkpoint="", revocations=0)
    cli, asked = cli_with(tmp_path, ledger=ledger, events=feed(12))
    receipts.follow(cli)
    assert asked.asked[1] == ("events", (11,), {})
    out = capsys.readouterr().out
    assert out.split()[0] == "12"
    assert "\x1b" not in out
