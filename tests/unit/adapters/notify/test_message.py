from __future__ import annotations

from dragons.adapters.notify.message import Message, message_of
from dragons.control.rows import MessageRow


def test_a_row_is_told_as_it_was_put_in() -> None:
    row = MessageRow("t", "m", "oncall", "test", b'{"agent":"a","restarts":3}', created_ms=5, due_ms=9)
    assert message_of(row) == Message("t", "m", "test", {"agent": "a", "restarts": 3}, 5)
