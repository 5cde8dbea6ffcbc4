from __future__ import annotations

from dataclasses import replace

import pytest

from dragons.core.vocabulary import Outcome
from dragons.node.options import Ended, RunResult

ENDED = Ended(0, "", 5, "a" * 64, 1, "b" * 64, 2)
RESULT = RunResult(
    goal="g", command=("x",), ended=ENDED, agent="a", version="a@v1", manifest_hash="m", instance_id="i",
    lease_id="l", scope=(), session_id="s", receipt_id="r", chain_root="c", replay="pass", states=(),
    heartbeat_age_ms=1, waiting=0, actions={"read:payments": 40, "write:ledger": 7},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({}, Outcome.COMPLETED, 0),
        ({"exit_status": 3}, Outcome.FAILED, 3),
        ({"exit_status": 130, "signal": "SIGINT"}, Outcome.FAILED, 130),
        ({"exit_status": 143, "signal": "SIGTERM", "stopped_because": "lease_revoked"}, Outcome.FAILED, 143),
        # It answered the stop as if all were well: the run was stopped all the same.
        ({"stopped_because": "lease_revoked"}, Outcome.FAILED, 1),
    ],
)
def test_only_a_program_that_says_so_completed(
    changes: dict[str, object], outcome: Outcome, code: int
) -> None:
    ended = replace(ENDED, **changes)
    assert ended.outcome is outcome
    assert replace(RESULT, ended=ended).exit_code == code


def test_operations_are_the_sum_of_actions() -> None:
    assert RESULT.operations == 47


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "exit status 0"),
        ({"exit_status": 3}, "exit status 3"),
        ({"exit_status": 139, "signal": "SIGSEGV"}, "killed by SIGSEGV"),
        (
            {"exit_status": 143, "signal": "SIGTERM", "stopped_because": "stopped"},
            "stopped on demand: killed by SIGTERM",
        ),
    ],
)
def test_how_it_ended_in_words(changes: dict[str, object], said: str) -> None:
    assert replace(ENDED, **changes).describe() == said
