from __future__ import annotations

import json
import sys
from io import StringIO

import pytest

from dragons.cli.output import Format, Printer, plain, safe, write_json
from dragons.wire.identity import AgentView

VIEW = AgentView(
    agent="a",
    versions=1,
    active="a@v1",
    manifest_hash="0" * 64,
    docks=1,
    running=0,
    state="",
    mtboi_seconds=5,
)


def test_json_is_exactly_the_wire_shape(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(Format.JSON)
    printer.rows(VIEW, ("a",), [["never shown"]], empty="never shown")
    printer.note("never shown")
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out)["mtboi_seconds"] == 5
    assert not err


def test_a_table_has_a_head_and_lines_that_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    Printer(Format.TABLE).rows(
        VIEW, ("name", "scope"), [(long, ["read:a", "write:b"]), ("b", None)], empty=""
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "SCOPE"]
    assert lines[1].startswith(long)
    assert lines[1].rstrip().endswith("read:a · write:b")
    assert lines[2].split() == ["b", "-"]
    assert len(lines) == 3


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_ids_are_never_cut_or_folded_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    ids = [f"rcp_{number:032x}" for number in range(3)]
    rows = [(one, "read:payments · write:ledger · write:report", "2026-11-20 21:26:36Z", one) for one in ids]
    Printer(Format.TABLE).rows([], ("receipt", "scope", "issued", "again"), rows, empty="")
    for one in ids:
        line = next(line for line in terminal.getvalue().splitlines() if one in line)
        assert line.count(one) == 2
        assert "2026-11-20 21:26:36Z" in line


def test_an_empty_listing_says_so_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE).rows([], ("name",), [], empty="Nothing yet. Start: dragons up")
    out, err = capsys.readouterr()
    assert not out
    assert err == "Nothing yet. Start: dragons up\n"


def test_no_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE).facts({}, [("name", "value")])
    assert capsys.readouterr().out.split() == ["name", "value"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (None, "-"),
        ("", "-"),
        (0, "0"),
        ([], "-"),
        (["a"], "a"),
        (
            {
                "b",
            },
            "b",
        ),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize("bad", ["\x1b[2Jgone", "a\x07", "\u202eevil", "\x9b31m", "a\x00"])
def test_nothing_steers_the_terminal(bad: str) -> None:
    assert plain(bad).isprintable()
    assert plain([bad]).isprintable()
    assert safe(bad) != bad


def test_markup_in_data_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE).facts({}, [("goal", "[red]pay[/red] [link=http://x]y[/link]")])
    assert "[red]pay[/red] [link=http://x]y[/link]" in capsys.readouterr().out


def test_line_breaks_become_spaces() -> None:
    assert safe("a\nb\tc") == "a b c"


def test_progress_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with Printer(Format.TABLE).progress("verified") as progress:
        progress(1000)
    assert capsys.readouterr() == ("", "")


def test_written_json_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"goal": "Abgleich für März"})
    assert capsys.readouterr().out == '{"goal":"Abgleich für März"}\n'
