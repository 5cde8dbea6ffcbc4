from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Outcome
from dragons.evidence.payload import PAYLOAD_BYTES_MAX, commit
from dragons.evidence.receipt import EVIDENCE_MAX
from dragons.sdk.action import (
    ARGUMENTS_BYTES_MAX,
    NAME_LENGTH_MAX,
    RESULT_BYTES_MAX,
    TEXT_LENGTH_MAX,
    Action,
    call_arguments,
    describe,
    return_value,
)
from dragons.sdk.errors import SessionStateError


def begun(arguments: dict[str, Any] | None = None) -> Action:
    action = Action("read:payments", "r", arguments or {})
    action.begin(1, 2, "")
    return action


def test_evidence_is_a_digest_of_bytes_or_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    action = begun()
    assert action.add_evidence("bytes", b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert action.add_evidence("file", path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert action.add_evidence("text", str(path)) == action.evidence[1].sha256
    assert [(e.name, e.bytes) for e in action.evidence] == [
        ("bytes", 3),
        ("file", 3_000_000),
        ("text", 3_000_000),
    ]
    with pytest.raises(OSError, match="none"):
        action.add_evidence("none", tmp_path / "none")
    with pytest.raises(InvalidInputError):
        action.add_evidence("", b"")
    for _ in range(EVIDENCE_MAX - 3):
        action.add_evidence("more", b"")
    with pytest.raises(InvalidInputError):
        action.add_evidence("more", b"")


@pytest.mark.parametrize("bad", [1.5, None, {1: 2}, b"x", 2**60, {"a": object()}, "\ud800"])
def test_what_has_no_canonical_form_is_refused_at_once(bad: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Action("read:payments", "r", {"a": bad})
    assert caught.value.fix
    action = begun()
    with pytest.raises(InvalidInputError):
        action.set_result({"a": bad})
    assert action.result is None


def test_a_record_is_a_copy() -> None:
    mine: dict[str, Any] = {"rows": [1, 2], "pair": (1, 2)}
    action = begun(mine)
    action.set_result(mine)
    mine["rows"].append(3)
    assert action.arguments == action.result == {"rows": [1, 2], "pair": [1, 2]}


def test_names_are_checked() -> None:
    with pytest.raises(InvalidInputError):
        Action("Read Payments", "r", {})
    with pytest.raises(InvalidInputError):
        Action("read:payments", "r" * (TEXT_LENGTH_MAX + 1), {})


def test_it_is_used_only_while_it_is_carried_out() -> None:
    action = Action("read:payments", "r", {})
    with pytest.raises(SessionStateError):
        action.set_result({})
    action.begin(1, 2, "dcn_1")
    action.set_result({"n": 1})
    assert action.ending(None) == (Outcome.COMPLETED, {"result": {"n": 1}})
    with pytest.raises(SessionStateError):
        action.add_evidence("late", b"")


def test_endings() -> None:
    assert begun().ending(None) == (Outcome.COMPLETED, {})
    outcome, ending = begun().ending(ValueError("why"))
    assert (outcome, ending) == (Outcome.FAILED, {"error": {"type": "ValueError", "message": "why"}})
    action = begun()
    action.set_result({"n": 1})
    assert action.ending(ValueError("why"))[1] == {
        "result": {"n": 1},
        "error": {"type": "ValueError", "message": "why"},
    }
    assert describe(ValueError("\ud800"))["message"] == "?"


def test_the_largest_of_everything_fits_a_payload() -> None:
    action = begun({"a": "x" * (ARGUMENTS_BYTES_MAX - 10)})
    action.set_result({"a": "x" * (RESULT_BYTES_MAX - 10)})
    for _ in range(EVIDENCE_MAX):
        action.add_evidence("n" * NAME_LENGTH_MAX, b"")
    payload = commit(
        {
            "goal": "g" * TEXT_LENGTH_MAX,
            "action": {
                "capability": "c" * 128,
                "resource": "r" * TEXT_LENGTH_MAX,
                "arguments": action.arguments,
            },
            "outcome": {
                "status": "failed",
                "result": action.result,
                "error": describe(ValueError("e" * 9_999)),
            },
            "evidence": [one._asdict() for one in action.evidence],
        }
    )
    assert len(payload.body) < PAYLOAD_BYTES_MAX
    with pytest.raises(InvalidInputError):
        action.set_result({"a": "x" * RESULT_BYTES_MAX})


def test_the_arguments_of_a_call() -> None:
    def post(entry: str, amount: float = 1.5, *rest: int, **more: object) -> None: ...

    assert call_arguments(post, ("a",), {"z": {"k": [1]}}) == {
        "entry": "a", "amount": "<float>", "rest": [], "more": {"z": {"k": [1]}},
    }  # fmt: skip

    class Poster:
        def post(self, entry: Path) -> None: ...

    assert call_arguments(Poster.post, (Poster(), Path("x")), {}) == {"entry": "<PosixPath>"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (3, {"returned": 3}), ({"a": 1}, {"a": 1}), ({"a": 1.5}, None), (1.5, None),
        (["a"], {"returned": ["a"]}), ({1: 2}, None),
    ],
)  # fmt: skip
def test_what_a_call_returned(value: object, expected: object) -> None:
    assert return_value(value) == expected
