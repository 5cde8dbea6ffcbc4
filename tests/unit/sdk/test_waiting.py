from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from dragons.liveness.heartbeat import Waiting
from dragons.sdk.waiting import REASONS, Waits, announced, announcer, waiting_of

NOW_MS = 1_800_000_000_000


def until(ms: int, reason: str = "approval") -> Waiting:
    return Waiting(reason=reason, until=format_time(NOW_MS + ms))


@pytest.mark.parametrize("reason", REASONS)
def test_a_declaration(reason: str) -> None:
    assert waiting_of(reason, NOW_MS + 1, NOW_MS) == until(1, reason)


@pytest.mark.parametrize(
    ("reason", "until_ms", "code"),
    [
        ("", NOW_MS + 1, "waiting_malformed"),
        ("Approval", NOW_MS + 1, "waiting_malformed"),
        ("input", 1 << 60, "waiting_malformed"),
        ("input", -1, "waiting_malformed"),
        ("input", NOW_MS, "waiting_over"),
    ],
)
def test_what_is_none(reason: str, until_ms: int, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        waiting_of(reason, until_ms, NOW_MS)
    assert caught.value.code == code


def test_of_several_the_longest_is_declared_until_it_ends() -> None:
    told: list[Waiting | None] = []
    waits = Waits(told.append)
    short, long = waits.begin(until(10)), waits.begin(until(20, "input"))
    assert waits.now(NOW_MS) == until(20, "input")
    waits.end(long)
    assert waits.now(NOW_MS) == until(10)
    assert waits.now(NOW_MS + 10) is None
    waits.end(short)
    waits.end(short)
    assert told == [until(10), until(20, "input"), until(10), None]


def test_the_launcher_hears_what_its_programs_wait_for(tmp_path: Path) -> None:
    attachment = tmp_path / "run" / "i.json"
    announce = announcer(attachment)
    announce(until(10))
    path = attachment.with_name(f"i.{os.getpid()}.waiting")
    assert path.stat().st_mode & 0o777 == 0o600
    assert announced(attachment, NOW_MS) == until(10)
    assert announced(attachment, NOW_MS + 10) is None
    assert announced(attachment.with_name("ii.json"), NOW_MS) is None
    path.with_name("i.99999999.waiting").write_bytes(path.read_bytes().replace(b"approval", b"schedule"))
    announce(until(20))
    assert announced(attachment, NOW_MS) == until(20)
    announce(None)
    announce(None)
    assert announced(attachment, NOW_MS) == until(10, "schedule")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"reason":"other","until":"2099-01-01T00:00:00.000Z"}',
        '{"reason":"input","until":"2099-13-01T00:00:00.000Z"}',
        '{"reason":"input","until":"soon"}',
        '{"reason":"input","until":"2099-01-01T00:00:00.000Z"' + " " * 2_000 + "}",
        "\udcff",
    ],
)
def test_what_is_malformed_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "i.1.waiting").write_text(text, errors="surrogateescape")
    assert announced(tmp_path / "i.json", NOW_MS) is None


def test_what_is_no_file_of_its_own_says_nothing(tmp_path: Path) -> None:
    attachment = tmp_path / "i.json"
    announcer(tmp_path / "real.json")(until(10))
    (tmp_path / "i.1.waiting").symlink_to(next(tmp_path.glob("real.*")))
    (tmp_path / "i.2.waiting").mkdir()
    os.mkfifo(tmp_path / "i.3.waiting")
    assert announced(attachment, NOW_MS) is None


actions = st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=30)


@given(actions, st.integers(0, 60))
def test_what_is_declared_is_what_is_open(steps: list[tuple[bool, int]], now: int) -> None:
    waits, known = Waits(), {}
    for begins, number in steps:
        if begins:
            known[waits.begin(until(number))] = number
        elif known:
            ended = sorted(known)[number % len(known)]
            waits.end(ended)
            del known[ended]
    left = [number for number in known.values() if number > now]
    assert waits.now(NOW_MS + now) == (until(max(left)) if left else None)
