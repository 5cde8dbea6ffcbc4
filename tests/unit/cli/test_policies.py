from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.cli import policies
from dragons.cli.output import Format
from dragons.core.errors import InvalidInputError
from dragons.wire.dispatches import EffectivePolicy, Policies, PolicyVersion, Thresholds
from tests.unit.cli.answers import RECORDED, cli_with

THRESHOLDS = Thresholds(
    degrade_after_seconds=1800, autoheal_after_seconds=3600, lease_grace_seconds=300, heal_timeout_seconds=300,
    waiting_max_seconds=86_400, restarts_max=3, restart_window_seconds=21_600, backoff_first_seconds=10,
    backoff_longest_seconds=1800, progress_required=True, progress_sources=["files", "output"],
)  # fmt: skip
VERSION = PolicyVersion(
    agent="clerk",
    version=2,
    published_at="2026-11-20T19:44:03.123Z",
    published_by="opk_1",
    thresholds=THRESHOLDS,
)
EFFECTIVE = EffectivePolicy(
    agent="clerk", origin="clerk", version=2, next_version=3, thresholds=THRESHOLDS, versions=[VERSION]
)


def set_policy(home: Path, **given: Any) -> dict[str, Any]:
    """What is published for these options."""
    cli, asked = cli_with(home, policy=EFFECTIVE, publish_policy=RECORDED)
    policies.set_policy(cli, agent="clerk", **given)
    ((agent, values),) = [arguments for name, arguments, _ in asked.asked if name == "publish_policy"]
    assert agent == "clerk"
    return dict(values)


def test_only_what_is_given_changes(tmp_path: Path) -> None:
    before = msgspec.structs.asdict(THRESHOLDS)
    changed = set_policy(tmp_path, degrade_after="5m", restarts_max=0, progress=False)
    assert changed == {
        **before, "degrade_after_seconds": 300, "restarts_max": 0, "progress_required": False,
    }  # fmt: skip


@pytest.mark.parametrize("name", policies._LENGTHS)
def test_each_length_has_its_option(tmp_path: Path, name: str) -> None:
    assert set_policy(tmp_path, **{name: "2h"})[f"{name}_seconds"] == 7200


def test_sources_are_replaced(tmp_path: Path) -> None:
    assert set_policy(tmp_path, source=["receipts", "files", "files"])["progress_sources"] == [
        "files",
        "receipts",
    ]


def test_nothing_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        set_policy(tmp_path)
    assert caught.value.code == "policy_unchanged"
    with pytest.raises(InvalidInputError):
        set_policy(tmp_path, degrade_after="soon")


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("default", "the product's defaults"),
        ("*", "the policy for every agent (*)"),
        ("clerk", "its own policy"),
    ],
)
def test_what_counts_and_whose_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], origin: str, words: str
) -> None:
    cli, _ = cli_with(tmp_path, policy=msgspec.structs.replace(EFFECTIVE, origin=origin))
    policies.show(cli, "clerk")
    shown = capsys.readouterr().out
    assert words in shown
    for text in ("30 min", "1 h", "files · output", "opk_1"):
        assert text in shown


def test_every_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, policies=Policies(default=THRESHOLDS, policies=[VERSION]))
    policies.show(cli)
    assert "opk_1" in capsys.readouterr().out
    cli, _ = cli_with(tmp_path, policies=Policies(default=THRESHOLDS, policies=[]))
    policies.show(cli)
    assert "No policy was published" in capsys.readouterr().out
    cli, _ = cli_with(tmp_path, Format.JSON, policies=Policies(default=THRESHOLDS, policies=[VERSION]))
    policies.show(cli)
    assert json.loads(capsys.readouterr().out)["default"]["restarts_max"] == 3
