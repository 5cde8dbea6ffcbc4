from __future__ import annotations

import io
import sys

import pytest
from msgspec.structs import replace

from dragons.cli.activation import Activation, as_text, lines_of, show

RUN = Activation(
    goal="reconcile payments for tnt_8f21",
    scope=["read:payments", "write:ledger"],
    operations=47,
    session_id="ses_1",
    receipt_id="rcp_1",
    chain_root="ab" * 32,
    replay="pass",
    agent="reconciler@v1",
    manifest_hash="cd" * 32,
    instance_id="019e5f80a1f37cc28d00000000000001",
    lease_id="lse_1",
    states=["running", "stopped"],
    heartbeat_age_ms=2_400,
    outcome="completed",
)


def test_the_receipt_reads_as_promised() -> None:
    lines = as_text(RUN).splitlines()
    assert lines[0].startswith("Dragons · Activation Receipt")
    assert lines[0].endswith("replay: pass")
    assert "  action          read:payments · write:ledger · 47 ops" in lines
    assert "  replay          pass · third-party verifiable" in lines
    assert "Identity + Liveness" in lines
    assert "  organism_state  running → stopped" in lines
    assert "  last_heartbeat  2.4 s ago" in lines
    assert "  progress        -" in lines
    assert (
        "  progress        output, receipts"
        in as_text(replace(RUN, progress="output, receipts")).splitlines()
    )
    assert not [name for name, _ in lines_of(RUN) if name == "denied"]


def test_denials_are_shown() -> None:
    text = as_text(replace(RUN, denied={"send:email": "capability_not_leased"}))
    assert "  denied          send:email (capability_not_leased)" in text


def test_sessions_that_the_program_opened_are_listed() -> None:
    lines = as_text(replace(RUN, sessions=["ses_1", "ses_2"])).splitlines()
    at = lines.index("  session         ses_1")
    assert lines[at + 1] == "                  ses_2, opened by the program"


def test_a_replay_that_was_not_made_is_no_pass() -> None:
    text = as_text(replace(RUN, replay="not made: the token may not export packs"))
    assert "third-party verifiable" not in text
    assert "replay: pass" not in text


def test_what_is_not_known_is_a_dash() -> None:
    lines = as_text(replace(RUN, receipt_id="", heartbeat_age_ms=-1, states=[])).splitlines()
    assert "  receipt         -" in lines
    assert "  last_heartbeat  never" in lines
    assert "  organism_state  -" in lines


def test_a_goal_cannot_forge_lines() -> None:
    text = as_text(replace(RUN, goal="x\n  replay          pass\x1b[2J"))
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith("  replay")] == [
        "  replay          pass · third-party verifiable"
    ]


def test_in_a_pipe_it_is_plain_and_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show(RUN)
    out, err = capsys.readouterr()
    assert not out
    assert err == as_text(RUN) + "\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_is_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    show(RUN)
    assert "╭" in terminal.getvalue()
    assert "third-party verifiable" in terminal.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    show(RUN)
    assert "\x1b[32m" not in terminal.getvalue()
    assert "\x1b[3" not in terminal.getvalue()
