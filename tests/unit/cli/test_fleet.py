"""The fleet at a glance: what stands in the table, what is left out, and what a lost control plane looks like."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from dragons.cli import fleet as module
from dragons.cli.output import Format
from dragons.core.vocabulary import OrganismState
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.wire.fleet import Fleet, FleetMember
from tests.unit.cli.answers import cli_with


def member(**changes: Any) -> FleetMember:
    made = FleetMember(
        agent="clerk", version=3, instance_id="0" * 20 + "545855ee0ce9", dispatch_id="dsp_1", epoch=2, node="",
        state="running", state_reason="lease issued", state_since="2026-11-20T19:44:03.123Z",
        started_at="2026-11-20T19:44:03.123Z", lease_id="lse_1", lease_status="valid", lease_left_seconds=893,
        pulse_age_ms=3_400, progress_sequence=12, progress_source="receipts", progress_age_ms=65_000,
        waiting_for="", restarts=0, dispatch_state="", incident_id="", mtboi_seconds=183_600,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def fleet(*members: FleetMember, **changes: Any) -> Fleet:
    states = {state.value: sum(one.state == state for one in members) for state in OrganismState}
    made = Fleet(
        as_of="2026-11-21T14:22:15.000Z", members=list(members), total=len(members), next_skip=-1, states=states,
        held_agents=[], held_dispatches=0, incidents_open=0, mtboi_seconds=31, running_seconds=31,
        interventions=0,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def shown(found: Fleet, width: int = 200, **more: str) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    console.print(module.screen(found, width=width, **more))
    return console.file.getvalue()  # type: ignore[attr-defined]


STUCK = member(
    state="quarantined", state_reason="3 restarts within 360 min", lease_status="revoked", lease_left_seconds=0,
    restarts=3, dispatch_state="held", node="worker-1", waiting_for="approval", pulse_age_ms=-1, progress_age_ms=-1,
)  # fmt: skip


def test_the_three_axes_and_the_state_with_its_reason() -> None:
    header, line, *_ = shown(fleet(member())).splitlines()
    assert header.split() == [
        "AGENT", "INSTANCE", "STATE", "HEARTBEAT", "PROGRESS", "LEASE", "EPOCH", "MTBOI", "REASON",
    ]  # fmt: skip
    assert line.split() == [
        "clerk@v3", "545855ee0ce9", "running", "3s", "12", "receipts", "1m5s", "14m53s", "2", "2d3h", "lease",
        "issued",
    ]  # fmt: skip


def test_a_column_is_there_when_something_stands_in_it() -> None:
    header, _, line, *_ = shown(fleet(member(), STUCK)).splitlines()
    for name in ("WAITING", "RESTARTS", "DISPATCH", "NODE"):
        assert name in header
    for text in ("approval", "3", "held", "worker-1", "revoked", "3 restarts within 360 min"):
        assert text in line


def test_a_narrow_terminal_has_the_reason_below() -> None:
    out = shown(fleet(member(), STUCK), width=100)
    assert "REASON" not in out
    assert "lease issued" not in out
    assert "545855ee0ce9 quarantined: 3 restarts within 360 min" in out.splitlines()[3]
    assert "…" not in out
    assert max(len(line) for line in out.splitlines()) <= 100


@pytest.mark.parametrize("width", [76, 80, 90, 100, 120, 140, 200])
def test_nothing_is_cut_that_there_is_room_for(width: int) -> None:
    """What a column was dropped for is told below, for whatever is not well."""
    out = shown(fleet(member(), STUCK), width=width)
    header, *rest = out.splitlines()
    for text in ("clerk@v3", "545855ee0ce9", "quarantined", "12 receipts 1m5s", "revoked"):
        assert text in out
    for name, value in (
        ("RESTARTS", "restarts 3"),
        ("NODE", "node worker-1"),
        ("WAITING", "waiting approval"),
    ):
        below = [line for line in rest if "quarantined: " in line]
        assert name in header or "REASON" in header or value in below[0] or below[0].rstrip().endswith("…")
    assert max(len(line) for line in out.splitlines()) <= width


def test_the_totals_name_what_waits_for_a_person() -> None:
    found = fleet(
        STUCK, total=313, held_agents=["clerk"], held_dispatches=1, incidents_open=1, interventions=4
    )
    *_, more, empty, totals = shown(found).rstrip().splitlines()
    assert (more.strip(), empty.strip()) == ("… and 312 more", "")
    assert totals.startswith(
        "1 instance: 1 quarantined · quarantined by an operator: clerk · 1 dispatch held"
    )
    assert "1 open incident · fleet MTBOI 31 s (4 interventions in 30 days) · 2026-11-21 14:22:15Z" in totals
    assert "MTBOI at least 31 s (0 interventions" in shown(fleet())


def test_nothing_that_was_sent_steers_the_terminal() -> None:
    out = shown(fleet(member(state_reason="a\x1b[2Jb\nc", state="degraded")), width=100)
    assert "\x1b" not in out
    assert "a�[2Jb c" in out


def test_once_asks_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, fleet=fleet(member()))
    module.fleet(cli, agent="clerk", state=OrganismState.RUNNING, once=True)
    assert asked.asked == [("fleet", ("clerk",), {"state": "running", "limit": 500})]
    assert "clerk@v3" in capsys.readouterr().out


def test_json_is_the_answer_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, Format.JSON, fleet=fleet(member()))
    module.fleet(cli, limit=7)
    assert asked.asked[0][2]["limit"] == 7
    found = json.loads(capsys.readouterr().out)
    assert msgspec.convert(found, Fleet) == fleet(member())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 8), (200, 40), (76, 12)])
def test_the_totals_are_always_on_the_screen(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False, emoji=False)
    found = fleet(*[STUCK] * 20, *[member()] * 20, total=312)
    view = module.within(found, console)
    lines = console.render_lines(view, pad=False)
    text = "\n".join("".join(segment.text for segment in line) for line in lines)
    assert len(lines) <= height
    assert "40 instances" in text
    left = 312 - text.count("@v3")
    assert f"… and {left} more" in text


class Turns:
    """Stands where the waiting between two looks is: ends as Ctrl-C does after some of them."""

    def __init__(self, count: int) -> None:
        self.left = count

    def wait(self, _: float) -> bool:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return False


def test_it_goes_on_while_the_control_plane_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "Event", lambda: Turns(2))
    looks: list[int] = []

    def look(most: int) -> Fleet:
        looks.append(most)
        if len(looks) > 1:
            raise ControlPlaneUnreachable("http://here", "refused", maybe_recorded=False)
        return fleet(member())

    module._follow(look, 1.0)
    out = capsys.readouterr().out
    assert len(looks) == 3
    assert all(most >= 1 for most in looks)
    assert (
        "not current since 2026-11-21 14:22:15Z: The control plane at http://here does not answer"
        in out.replace("\n", " ")
    )
    assert "clerk@v3" in out
