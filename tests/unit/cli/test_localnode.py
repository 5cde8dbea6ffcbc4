from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from dragons.cli.localnode import LocalNode, node_command

SECONDS_MAX = 30


def kept(program: str, told: list[str]) -> tuple[LocalNode, threading.Thread]:
    node = LocalNode([sys.executable, "-c", program], told.append, pause_seconds=0.01)
    thread = threading.Thread(target=node.keep)
    thread.start()
    return node, thread


def until(path: Path, count: int) -> list[str]:
    pause = threading.Event()
    for _ in range(SECONDS_MAX * 100):
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            return lines
        pause.wait(0.01)
    raise AssertionError


def test_it_is_bound_to_us() -> None:
    words = node_command(Path("/home"), "http://127.0.0.1:1")
    assert words[:4] == [sys.executable, "-m", "dragons.cli", "node"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    assert given == {
        "--name": "local", "--parent": str(os.getpid()), "--home": "/home", "--url": "http://127.0.0.1:1",
    }  # fmt: skip


def test_it_is_started_again_when_it_ends(tmp_path: Path) -> None:
    path, told = tmp_path / "said", list[str]()
    node, thread = kept(f"open({str(path)!r}, 'a').write('here\\n')\nraise SystemExit(3)", told)
    until(path, 3)
    node.end()
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()
    assert "ended with status 3" in told[0]


def test_it_ends_when_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGONS_KEY_PASSPHRASE", "secret")
    path, told = tmp_path / "said", list[str]()
    program = (
        "import os, signal, sys, time\n"
        f"def say(text): open({str(path)!r}, 'a').write(text + '\\n')\n"
        "def leave(*_):\n    say('left')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "say(str([name for name in os.environ if name.startswith('DRAGONS_')]))\n"
        "say(str(os.getsid(0) == os.getpid()))\ntime.sleep(600)\n"
    )
    node, thread = kept(program, told)
    assert until(path, 2) == ["[]", "True"], "no secret of the server's, and no Ctrl-C of its terminal"
    node.end()
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()
    assert until(path, 3)[-1] == "left"
    assert told == []


def test_one_that_does_not_leave_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragons.cli.localnode.END_SECONDS_MAX", 0.1)
    path = tmp_path / "said"
    program = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(path)!r}, 'w').write('here\\n')\ntime.sleep(600)\n"
    )
    node, thread = kept(program, [])
    until(path, 1)
    node.end()
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()


def test_what_was_ended_before_it_began_never_begins(tmp_path: Path) -> None:
    node = LocalNode([sys.executable, "-c", f"open({str(tmp_path / 'said')!r}, 'w')"], lambda _: None)
    node.end()
    node.keep()
    assert not (tmp_path / "said").exists()
