from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragons.core.errors import ForbiddenError
from dragons.node import replay as replaying
from dragons.node.replay import replay
from dragons.sdk.localstore import LocalStore
from dragons.wire.evidence import PackRequest
from tests.support import packs, story
from tests.unit.node.test_options import RESULT

STORY = story.short(cycles=2)
FULL = packs.export(STORY.book, packs.session_of(STORY.session.session_id))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "local.db")


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is exported by session: a pack, or an error."""
    known: dict[str, Any] = {}

    def export(_client: object, request: PackRequest, target: Path, _store: object) -> None:
        found = known[request.session_id]
        if isinstance(found, Exception):
            raise found
        packs.write(found, target)

    monkeypatch.setattr(replaying, "export_pack", export)
    return known


def verdict(store: LocalStore, sessions: tuple[str, ...], pin: str = STORY.book.pin, waiting: int = 0) -> str:
    result = replace(RESULT, sessions=sessions, replay="", waiting=waiting)
    with store:
        return replay(None, store, result, pin).replay  # type: ignore[arg-type]


def test_every_session_must_verify(store: LocalStore, exported: dict[str, Any]) -> None:
    exported |= {"a": FULL, "b": FULL}
    assert verdict(store, ("a", "b")) == "pass"


def test_one_that_does_not_is_a_failure(store: LocalStore, exported: dict[str, Any]) -> None:
    exported |= {"a": FULL, "b": FULL.with_lines(FULL.lines[:-1])}
    assert verdict(store, ("a", "b")) == "fail"


def test_another_root_is_a_failure(store: LocalStore, exported: dict[str, Any]) -> None:
    exported["a"] = FULL
    assert verdict(store, ("a",), pin="0" * 64) == "fail"


@pytest.mark.parametrize(
    ("given", "says"),
    [({"pin": ""}, "pins no root"), ({"waiting": 3}, "3 receipts wait"), ({}, "role_forbidden")],
)
def test_what_was_not_made_is_not_called_a_pass(
    store: LocalStore, exported: dict[str, Any], given: dict[str, Any], says: str
) -> None:
    exported["a"] = ForbiddenError("role_forbidden", "")
    found = verdict(store, ("a",), **given)
    assert found.startswith("not made")
    assert says in found
