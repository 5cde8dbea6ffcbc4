from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.node import lines as lining
from dragons.node.lines import LINE_BYTES_MAX, LINES_MAX, MEMORY_DIGESTS, Lines


def total(*pieces: bytes) -> int:
    lines = Lines()
    for piece in pieces:
        lines.take("stdout", piece)
    lines.take("stdout", b"")
    return lines.look().total


@pytest.mark.parametrize(
    ("pieces", "novel"),
    [
        ([b"one\ntwo\n"], 2),
        ([b"same\n"] * 50, 1),
        ([b"a\nb\n"] * 50, 2),
        ([b"sa", b"me\nsame", b"\n"], 1),
        ([b"10%\r20%\r30%\r\n"], 3),
        ([b"\n\r\n  \n\t\n"], 0),
        ([b"no end of line"], 1),
        ([b"2026-05-01T10:00:00.123Z retry\n2026-05-02 11:00:01,5 retry\n2026-05-03 retry\n"], 1),
        ([b"[10:00:00] retry\n[9:01] retry\n[23:59:59.999] retry\n"], 1),
        ([b"2026-05-01T10:00:00+02:00 retry\n2026-05-01T11:00:00-0500 retry\n"], 1),
        # A number is no time: it may be what the work is about.
        ([b"row 1\nrow 2\n1770000000 x\n1770000001 x\n"], 4),
        ([b"2026-05-01 10:00:00\n"], 0),
    ],
)
def test_only_a_novel_line_counts(pieces: list[bytes], novel: int) -> None:
    assert total(*pieces) == novel


def test_streams_are_lines_of_their_own_and_one_memory() -> None:
    lines = Lines()
    lines.take("stdout", b"he")
    lines.take("stderr", b"error\n")
    lines.take("stdout", b"llo\n")
    lines.take("stdout", b"error\n")
    assert lines.look().total == 2


def test_a_long_line_is_cut() -> None:
    start = b"x" * LINE_BYTES_MAX
    assert total(start + b"a\n", start + b"b\n") == 1
    # What never ends a line is judged in pieces, and never kept whole.
    lines = Lines()
    for _ in range(8):
        lines.take("stdout", b"y" * LINE_BYTES_MAX)
    assert lines.look().total == 1
    assert not lines._begun


def test_a_loop_that_is_longer_than_a_screen_is_a_repetition() -> None:
    traceback = b"".join(b"frame %d\n" % number for number in range(LINES_MAX))
    assert total(*[traceback] * 4) == LINES_MAX
    assert LINES_MAX < MEMORY_DIGESTS


def test_much_at_once_is_judged_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lining, "LINES_MAX", 3)
    assert total(b"a\nb\na\nc\nd\n") == 3


def test_the_digest_binds_what_was_novel_and_its_order() -> None:
    def digest(*pieces: bytes) -> str:
        lines = Lines()
        for piece in pieces:
            lines.take("stdout", piece)
        return lines.look().digest

    assert digest(b"a\nb\n") == digest(b"a\n", b"b\n", b"a\n")
    assert digest(b"a\nb\n") != digest(b"b\na\n")
    assert digest() == ""


@given(st.lists(st.sampled_from([b"a", b"b", b"\n", b"\r", b"12:00", b" "]), max_size=40), st.data())
def test_how_output_is_cut_into_reads_changes_nothing(tokens: list[bytes], data: st.DataObject) -> None:
    text = b"".join(tokens)
    at = data.draw(st.integers(0, len(text)))
    assert total(*[piece for piece in (text[:at], text[at:]) if piece]) == total(*([text] if text else []))
