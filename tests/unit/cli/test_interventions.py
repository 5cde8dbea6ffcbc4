"""What an intervention touched, and what happens next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragons.cli import interventions as module
from dragons.cli.output import Format
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.wire.dispatches import DispatchDetail, Dispatches, DispatchView
from dragons.wire.liveness import InstanceView
from tests.unit.cli.answers import RECORDED, cli_with
from tests.unit.cli.test_fleet import fleet, member

ONE = member()


def dispatch(state: str = "open") -> DispatchView:
    return DispatchView(
        dispatch_id="dsp_1", agent="clerk", dispatcher="process", target="here", state=state,
        state_reason="odd", epoch=2, restarts=0, created_at="", ordered_by="",
    )  # fmt: skip


def instance(state: str) -> InstanceView:
    return InstanceView(
        instance_id=ONE.instance_id, agent="clerk", version=3, manifest_hash="", dock_id="", lease_id="",
        dispatch_id="dsp_1", epoch=2, state=state, state_reason="odd", state_since="", started_at="",
        stopped_at="", lease_left_seconds=0, pulse_age_ms=0, progress_sequence=0, progress_age_ms=0,
        progress_source="", mtboi_seconds=0,
    )  # fmt: skip


def answers(after: str, dispatch_after: str = "open", **more: Any) -> dict[str, Any]:
    detail = DispatchDetail(
        view=dispatch(dispatch_after),
        statement=None,
        instances=[],
        orders=[],
        starts=[],  # type: ignore[arg-type]
    )
    return {
        "fleet": fleet(ONE),
        "dispatches": Dispatches(dispatches=[dispatch()]),
        "dispatch": detail,
        "instance": instance(after),
        "intervene": RECORDED,
        **more,
    }


def sent(asked: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    ((_, arguments, named),) = [one for one in asked.asked if one[0] == "intervene"]
    return arguments, named


@pytest.mark.parametrize(
    ("act", "action", "after", "says"),
    [
        (module.stop, "stop", "stopped", "stopped for good"),
        (module.quarantine, "quarantine", "quarantined", "agents release clerk"),
        (module.release, "release", "stopped", "clean count of restarts"),
        (module.redispatch, "redispatch", "autohealing", "dragons fleet --agent clerk"),
    ],
)
def test_all_of_an_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Any, action: str, after: str, says: str
) -> None:
    cli, asked = cli_with(tmp_path, **answers(after, "held"))
    act(cli, agent="clerk", reason="odd")
    assert sent(asked) == ((), {"agent": "clerk", "reason": "odd", "action": action})
    out = capsys.readouterr().out
    for text in (says, "rcp_1", ONE.instance_id, after, "dsp_1", "held"):
        assert text in out


def test_one_instance_by_the_end_of_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, Format.JSON, **answers("stopped"))
    module.stop(cli, agent="clerk", instance="0CE9")
    assert sent(asked) == ((ONE.instance_id,), {"reason": "stopped by the operator", "action": "stop"})
    found = json.loads(capsys.readouterr().out)
    assert found["receipt"]["receipt_id"] == "rcp_1"
    # The dispatch is as it was, so it was not touched.
    assert [(one["what"], one["before"], one["after"]) for one in found["touched"]] == [
        ("instance", "running", "stopped")
    ]


def test_an_agent_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, **answers("x", fleet=fleet(), dispatches=Dispatches(dispatches=[])))
    module.quarantine(cli, agent="clerk", reason="odd")
    assert "Nothing of it ran." in capsys.readouterr().out


def test_an_instance_is_named_without_doubt() -> None:
    other = member(instance_id="1" * 20 + "545855ee0ce9")
    with pytest.raises(InvalidInputError) as doubtful:
        module.one_of([ONE, other], "clerk", "0ce9")
    assert ONE.instance_id in doubtful.value.fix
    with pytest.raises(NotFoundError) as missing:
        module.one_of([ONE], "clerk", "abc")
    assert "dragons fleet --agent clerk" in missing.value.fix
    assert module.one_of([ONE, other], "clerk", ONE.instance_id) == ONE.instance_id
