from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragons.cli import sessions
from dragons.cli.output import Format
from dragons.core.errors import NotFoundError
from dragons.evidence.payload import commit
from dragons.sdk.home import Home
from dragons.sdk.localstore import LocalStore
from dragons.wire.evidence import Receipts, ReceiptView
from tests.unit.cli.answers import RECORDED, Answers, cli_with

TENANT = "tnt_" + "0" * 32
PAYLOADS = [commit({"n": number}) for number in range(3)]


def view(seq: int) -> ReceiptView:
    header: dict[str, Any] = {} if seq == 0 else {"payload_hash": PAYLOADS[seq - 1].payload_hash}
    return ReceiptView(
        receipt_id=f"rcp_{seq}", seq=seq, kind="work", issued_at="", chain_root="", header=header
    )


class Pages(Answers):
    """Two pages of receipts."""

    def receipts(self, after: int, **_named: Any) -> Receipts:
        if after < 0:
            return Receipts(receipts=[view(0), view(1)], next_after=1)
        return Receipts(receipts=[view(2), view(3)], next_after=-1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "tenant_id": TENANT}))
    with LocalStore(Home(tmp_path).store_path(TENANT)) as store:
        store.commit(PAYLOADS, [])
    return tmp_path


def test_all_pages_are_read(home: Path) -> None:
    cli, _ = cli_with(home)
    cli.__dict__["client"] = Pages()
    assert [one.seq for one in sessions.all_receipts(cli, "ses_1")] == [0, 1, 2, 3]


def test_erasing_records_first_and_destroys_then(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(home, Format.JSON)
    pages = Pages(erase=RECORDED)
    cli.__dict__["client"] = cli.__dict__["operator"] = pages
    sessions.erase(cli, session="ses_1", reason="asked", yes=True)
    assert pages.asked == [("erase", (["rcp_1", "rcp_2", "rcp_3"],), {"reason": "asked"})]
    assert json.loads(capsys.readouterr().out)["destroyed"] == 3
    with LocalStore(Home(home).store_path(TENANT)) as store:
        assert all(store.payload(one.payload_hash) is None for one in PAYLOADS)


def test_nothing_is_destroyed_when_recording_fails(home: Path) -> None:
    cli, _ = cli_with(home)
    cli.__dict__["client"] = cli.__dict__["operator"] = Pages()
    with pytest.raises(KeyError):
        sessions.erase(cli, session="ses_1", reason="asked", yes=True)
    with LocalStore(Home(home).store_path(TENANT)) as store:
        assert store.payload(PAYLOADS[0].payload_hash) is not None


def test_a_session_without_payloads(home: Path) -> None:
    cli, _ = cli_with(home, receipts=Receipts(receipts=[view(0)], next_after=-1))
    with pytest.raises(NotFoundError):
        sessions.erase(cli, session="ses_1", reason="asked", yes=True)
