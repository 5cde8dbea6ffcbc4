from __future__ import annotations

import msgspec
import pytest

from dragons.node.playbook.channel import Hello, Notice, Report


def test_a_notice_names_its_capability() -> None:
    assert Notice(kind="slack", name="ops", subject="s", text="t").capability == "notify:slack"


def test_an_answer_is_known_by_its_kind() -> None:
    for answer in (Hello(instance_id="i", key=bytes(32)), Report(error="e")):
        assert msgspec.json.decode(msgspec.json.encode(answer), type=Hello | Report) == answer


@pytest.mark.parametrize(
    "line", [b"{}", b'{"type":"Hello","instance_id":"i","key":"aGk="}', b'{"type":"Other"}']
)
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(line, type=Hello | Report)
