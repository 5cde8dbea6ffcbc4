from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.authority.revocation import Target
from dragons.cli import docks
from dragons.cli.output import Format
from dragons.core.errors import InvalidInputError
from dragons.sdk.operator import Docked
from dragons.wire.authority import Docks, DockView
from tests.property.builders import make_dock
from tests.unit.cli.answers import RECORDED, cli_with

VIEW = DockView(
    dock_id="dck_1",
    agent="clerk",
    scope=["read:a", "write:b"],
    delegate_scope=[],
    ttl_seconds_max=900,
    instances_max=3,
    instances_live=1,
    operator="opk_1",
    created_at="2026-11-20T19:44:03.123Z",
    status="valid",
)


def test_a_dock_is_made_of_what_was_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, Format.JSON, dock=Docked(make_dock(), RECORDED))
    docks.create(
        cli,
        agent="clerk",
        scope=["read:a"],
        delegate=["send:b"],
        ttl="10m",
        instances=2,
        expires="1d",
        requests=5,
        wall="8h",
    )
    (name, arguments, named) = asked.asked[0]
    assert (name, arguments) == ("dock", ("clerk",))
    assert named["scope"] == ["read:a"]
    assert named["delegate_scope"] == ["send:b"]
    assert (named["ttl_seconds_max"], named["instances_max"]) == (600, 2)
    assert (named["budget"].requests, named["budget"].wall_seconds) == (5, 28_800)
    assert named["not_after"].endswith("Z")
    assert json.loads(capsys.readouterr().out)["receipt"]["receipt_id"] == "rcp_1"


def test_without_limits_there_is_no_budget_and_no_end(tmp_path: Path) -> None:
    cli, asked = cli_with(tmp_path, dock=Docked(make_dock(), RECORDED))
    docks.create(cli, agent="clerk", scope=["read:a"])
    assert asked.asked[0][2]["budget"] is None
    assert asked.asked[0][2]["not_after"] == ""


def test_a_dock_allows_something(tmp_path: Path) -> None:
    cli, asked = cli_with(tmp_path)
    with pytest.raises(InvalidInputError):
        docks.create(cli, agent="clerk")
    assert not asked.asked


def test_listing_and_showing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, docks=Docks(docks=[VIEW]), dock=VIEW)
    docks.list_docks(cli)
    assert "read:a · write:b" in capsys.readouterr().out
    docks.show(cli, "dck_1")
    out = capsys.readouterr().out
    assert "1 of 3" in out
    assert "when revoked" in out


def test_revoking_names_the_dock(tmp_path: Path) -> None:
    cli, asked = cli_with(tmp_path, revoke=RECORDED)
    docks.revoke(cli, "dck_1", reason="over")
    assert asked.asked == [("revoke", (Target.DOCK, "dck_1"), {"reason": "over"})]
