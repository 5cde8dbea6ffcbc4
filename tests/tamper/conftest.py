"""The four packs that every attack is tried on: whole ledger, session, agent, window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragons.audit.verdicts import Question, Report
from tests.support import packs, story
from tests.support.packs import Parts
from tests.support.story import Story

KINDS = ("ledger", "session", "agent", "window")


@pytest.fixture(scope="session")
def told() -> Story:
    return story.full(cycles=2)


@pytest.fixture(scope="session")
def four(told: Story) -> dict[str, Parts]:
    book = told.book
    return {
        "ledger": packs.export(book, start_size=9),
        "session": packs.export(book, packs.session_of(told.session.session_id), start_size=5),
        "agent": packs.export(book, packs.agent_of("reconciler")),
        "window": packs.export(book, packs.window_of(book, 14, 24), start_size=11),
    }


@pytest.fixture(params=KINDS)
def parts(request: pytest.FixtureRequest, four: dict[str, Parts]) -> Parts:
    return four[request.param]


@pytest.fixture
def judge(told: Story, tmp_path: Path) -> Callable[..., Report]:
    def run(spoiled: Parts, **options: Any) -> Report:
        return packs.judge(spoiled, options.pop("pin", told.book.pin), tmp_path, **options)

    return run


def found(report: Report, question: Question) -> tuple[str, int | None] | None:
    """Code and index of a verdict's fault; the report must not be valid then."""
    fault = report.verdicts[question].fault
    if fault is not None:
        assert report.valid is False
    return None if fault is None else (fault.code, fault.index)
