from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.cli import mtboi as module
from dragons.cli.output import Format
from dragons.core.clock import parse_time
from dragons.wire.fleet import InterventionView, MtboiView, SpanView
from tests.unit.cli.answers import cli_with

SPAN = SpanView(
    instance_id="i" * 32, agent="clerk", version=3, began_at="2026-11-20T19:44:03.123Z", ended_at="",
    counted_ms=90_500, began_by="rcp_1", ended_by="",
)  # fmt: skip
HAND = InterventionView(
    receipt_id="rcp_2", seq=4, at="2026-11-20T19:45:03.123Z", agent="clerk", instance_id="", dispatch_id="",
    action="quarantine", reason="odd transfers", operator="opk_1",
)  # fmt: skip


def figure(**changes: Any) -> MtboiView:
    made = MtboiView(
        agent="clerk", since="2026-10-22T14:22:15.000Z", until="2026-11-21T14:22:15.000Z", mtboi_seconds=45,
        running_ms=90_500, interventions=2, spans=[SPAN], hands=[HAND], next_page=-1,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_a_figure_is_a_division(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, mtboi=figure())
    module.mtboi(cli, agent="clerk")
    out = capsys.readouterr().out
    assert asked.asked == [("mtboi", ("clerk",), {"limit": 1})]
    for text in ("45 s", "1 min 30 s (90 s)", "2026-10-22 14:22:15Z to 2026-11-21 14:22:15Z"):
        assert text in out
    assert "rcp_1" not in out


def test_without_an_intervention_it_is_a_lower_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, _ = cli_with(tmp_path, mtboi=figure(agent="", interventions=0, spans=[], hands=[]))
    module.mtboi(cli, expand=True)
    out = capsys.readouterr().out
    assert "at least 45 s" in out
    assert "the fleet" in out
    assert "Nothing ran" in out
    assert "No operator intervened" in out


def test_the_expansion_names_receipts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, mtboi=figure())
    module.mtboi(cli, agent="clerk", expand=True)
    out = capsys.readouterr().out
    for text in ("rcp_1", "90.500 s", "runs", "rcp_2", "all of it", "quarantine", "opk_1", "odd transfers"):
        assert text in out


def test_all_pages_are_of_one_moment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [figure(next_page=1), figure(spans=[], next_page=2), figure(hands=[], next_page=-1)]
    cli, asked = cli_with(tmp_path, Format.JSON)
    asked_for: list[dict[str, Any]] = []

    def answer(agent: str, **wanted: Any) -> MtboiView:
        assert agent == "clerk"
        asked_for.append(wanted)
        return pages[len(asked_for) - 1]

    asked.mtboi = answer  # type: ignore[attr-defined]
    module.mtboi(cli, agent="clerk", expand=True)
    found = msgspec.convert(json.loads(capsys.readouterr().out), MtboiView)
    assert [len(found.spans), len(found.hands), found.next_page] == [2, 2, -1]
    until_ms = parse_time(figure().until)
    assert asked_for == [
        {"limit": 500}, {"until_ms": until_ms, "page": 1, "limit": 500}, {"until_ms": until_ms, "page": 2, "limit": 500},
    ]  # fmt: skip


def test_a_limit_says_that_there_is_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path)
    calls: list[int] = []

    def answer(_: str, *, page: int = 0, **__: Any) -> MtboiView:
        calls.append(page)
        return figure(next_page=page + 1)

    asked.mtboi = answer  # type: ignore[attr-defined]
    module.mtboi(cli, agent="clerk", expand=True)
    assert calls == list(range(20))
    assert "The first 10,000 of each are shown" in capsys.readouterr().out
