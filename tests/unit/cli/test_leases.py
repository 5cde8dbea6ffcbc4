from __future__ import annotations

from pathlib import Path

import pytest

from dragons.authority.revocation import Target
from dragons.cli import leases
from dragons.core.statement import Envelope
from dragons.wire.authority import LeaseDetail, Leases, LeaseView
from tests.unit.cli.answers import RECORDED, cli_with

VIEW = LeaseView(
    lease_id="lse_1",
    agent="clerk",
    version=3,
    instance_id="i" * 32,
    dock_id="dck_1",
    authorized_by="opk_1",
    scope=["read:a"],
    delegate_scope=[],
    epoch=2,
    serial=1,
    depth=0,
    issued_at="2026-11-20T19:44:03.123Z",
    expires_at="2026-11-20T19:59:03.123Z",
    left_seconds=-5,
    status="expired",
)


def test_an_ended_lease_has_nothing_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, leases=Leases(leases=[VIEW]))
    leases.list_leases(cli, agent="clerk")
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:3] == ["lse_1", "clerk@v3", "expired"]
    assert " 0 s " in line
    assert asked.asked == [("leases", ("clerk",), {})]


def test_a_lease_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detail = LeaseDetail(view=VIEW, statement=Envelope(payload=b"{}", payloadType="x", signatures=[]))
    cli, _ = cli_with(tmp_path, lease=detail)
    leases.show(cli, "lse_1")
    out = capsys.readouterr().out
    assert "opk_1" in out
    assert "(0 s left)" in out


def test_revoking_names_the_lease(tmp_path: Path) -> None:
    cli, asked = cli_with(tmp_path, revoke=RECORDED)
    leases.revoke(cli, lease="lse_1", reason="odd")
    assert asked.asked == [("revoke", (Target.LEASE, "lse_1"), {"reason": "odd"})]
