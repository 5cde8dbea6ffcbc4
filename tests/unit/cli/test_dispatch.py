from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.cli import dispatch as command
from dragons.cli.context import Cli
from dragons.cli.output import Format
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, new_id
from dragons.core.statement import Envelope
from dragons.node.logs import Log, log_path
from dragons.sdk.home import Home
from dragons.wire.dispatches import (
    DispatchDetail,
    DispatchedInstance,
    Dispatches,
    DispatchView,
    Nodes,
    NodeView,
    OrderView,
    StartView,
)
from dragons.wire.identity import History, VersionView
from tests.unit.cli.answers import RECORDED, Answers, cli_with

TENANT = "tnt_" + "0" * 32
DISPATCH_ID = new_id(DISPATCH, 0)
VIEW = DispatchView(
    dispatch_id=DISPATCH_ID, agent="clerk", dispatcher="process", target="n1", state="open",
    state_reason="ordered", epoch=2, restarts=1, created_at="2026-11-20T19:44:03.123Z", ordered_by="opk_1",
)  # fmt: skip
DETAIL = DispatchDetail(
    view=VIEW,
    statement=Envelope(payload=b"{}", payloadType="x", signatures=[]),
    instances=[
        DispatchedInstance(
            instance_id="i1", epoch=1, state="stopped", state_reason="replaced by epoch 2", started_at="",
            stopped_at="", node="n1",
        )
    ],
    orders=[
        OrderView(
            order_id="ord_1", kind="start", dispatch_id=DISPATCH_ID, agent="clerk", epoch=2, target="n1",
            due_at="2026-11-20T19:44:03.123Z", created_at="",
        )
    ],
    starts=[
        StartView(
            receipt_id="rcp_9", seq=9, order_id="ord_1", epoch=2, reason="exit status 3", fenced_by="death", at=""
        )
    ],
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = {"url": "http://127.0.0.1:9", "tenant_id": TENANT}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def write_log(home: Path, epoch: int, *texts: bytes, bytes_max: int = 1000) -> None:
    log = Log(log_path(Home(home), TENANT, DISPATCH_ID, epoch), bytes_max=bytes_max)
    for text in texts:
        log.write(text)
    log.close()


def test_a_list_shows_where_and_why(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hooked = msgspec.structs.replace(VIEW, dispatcher="webhook", target="ops")
    cli, asked = cli_with(home, dispatches=Dispatches(dispatches=[VIEW, hooked]))
    command.list_dispatches(cli, agent="clerk", open_only=True)
    assert asked.asked == [("dispatches", ("clerk",), {"open_only": True})]
    shown = capsys.readouterr().out
    assert DISPATCH_ID in shown
    assert "webhook:ops" in shown


def test_a_dispatch_is_shown_with_its_history(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(home, dispatch=DETAIL)
    command.show(cli, DISPATCH_ID)
    shown = capsys.readouterr().out
    for text in ("i1", "replaced by epoch 2", "ord_1", "rcp_9", "exit status 3", "death", "open: ordered"):
        assert text in shown
    with pytest.raises(InvalidInputError):
        command.show(cli, "dsp_1")


def test_the_same_for_machines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(home, Format.JSON, dispatch=DETAIL)
    command.show(cli, DISPATCH_ID)
    assert json.loads(capsys.readouterr().out)["view"]["dispatch_id"] == DISPATCH_ID


def test_cancelling_leaves_a_receipt(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(home, cancel_dispatch=RECORDED)
    command.cancel(cli, dispatch=DISPATCH_ID, reason="over")
    assert asked.asked == [("cancel_dispatch", (DISPATCH_ID,), {"reason": "over"})]
    assert RECORDED.receipt_id in capsys.readouterr().out


def test_logs_are_the_newest_epoch_s_oldest_first(
    home: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_log(home, 1, b"first")
    write_log(home, 2, b"abcd", b"efgh", b"ij", bytes_max=4)
    cli, _ = cli_with(home)
    command.logs(cli, dispatch=DISPATCH_ID, epoch=0, follow=False)
    assert capfdbinary.readouterr().out == b"abcdefghij"
    command.logs(cli, dispatch=DISPATCH_ID, epoch=1, follow=False)
    assert capfdbinary.readouterr().out == b"first"


def test_logs_that_are_elsewhere(home: Path) -> None:
    cli, _ = cli_with(home)
    with pytest.raises(NotFoundError) as caught:
        command.logs(cli, dispatch=DISPATCH_ID, epoch=0, follow=False)
    assert caught.value.code == "log_missing"


def test_following_goes_on_with_the_next_epoch_until_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ended = msgspec.structs.replace(VIEW, ended_at="2026-11-20T19:44:03.123Z")
    cli, stand_in = cli_with(home, dispatch=DETAIL)
    steps = iter(
        [
            lambda: write_log(home, 1, b"one\n"),
            lambda: write_log(home, 1, b"two\n"),
            lambda: write_log(home, 2, b"three\n"),
            lambda: stand_in.answers.update(dispatch=msgspec.structs.replace(DETAIL, view=ended)),
        ]
    )
    monkeypatch.setattr(command, "_ASK_EVERY", 1)
    monkeypatch.setattr("time.sleep", lambda _: next(steps, lambda: None)())
    command.logs(cli, dispatch=DISPATCH_ID, epoch=0, follow=True)
    assert capfdbinary.readouterr().out == b"one\ntwo\nthree\n"


# --- creating ------------------------------------------------------------------------------------


def create(home: Path, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> tuple[Cli, Answers, Path]:
    monkeypatch.chdir(home)
    program = home / "clerk.py"
    program.write_text("print(1)\n")
    monkeypatch.setattr("dragons.node.prepare.prepare", lambda *_: None)
    monkeypatch.setattr(command, "check_active", lambda *_: None)
    cli, stand_in = cli_with(home, create_dispatch=RECORDED, nodes=Nodes(nodes=[]), **answers)
    return cli, stand_in, program


def order(cli: Cli, program: Path, **changes: Any) -> None:
    given: dict[str, Any] = {"words": [sys.executable, program.name], "goal": "count", **changes}
    command.create(cli, **given)


def test_creating_keeps_the_specification_and_signs_the_order(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, stand_in, program = create(home, monkeypatch)
    order(cli, program, node="n1", env=["A=1"], ttl="10m")
    (body,) = next(arguments for name, arguments, _ in stand_in.asked if name == "create_dispatch")
    path = home / "tenant" / TENANT / "dispatches" / f"{body.dispatch_id}.json"
    kept = json.loads(path.read_text())
    assert kept["command"] == [sys.executable, str(program)]
    assert (kept["folder"], kept["environment"]["A"], kept["ttl_seconds"]) == (str(home), "1", 600)
    assert (body.agent, body.target, body.dispatcher, body.ttl_seconds) == ("clerk", "n1", "process", 600)
    told = capsys.readouterr()
    assert body.dispatch_id in told.out
    assert "No node n1 has reported yet" in told.err


def test_a_node_that_reported_is_not_missed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, stand_in, program = create(home, monkeypatch)
    stand_in.answers["nodes"] = Nodes(
        nodes=[NodeView(node="local", first_at="", seen_at="", seen_age_ms=1, running=0, version="1")]
    )
    order(cli, program)
    assert capsys.readouterr().err == ""


def test_a_webhook_is_told_instead(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli, stand_in, program = create(home, monkeypatch)
    order(cli, program, webhook="ops")
    (body,) = next(arguments for name, arguments, _ in stand_in.asked if name == "create_dispatch")
    assert (body.dispatcher, body.target) == ("webhook", "ops")


def test_what_was_refused_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli, _, program = create(home, monkeypatch)

    class Refusing:
        def create_dispatch(self, _: object) -> None:
            raise ConflictError("organism_quarantined", "No.")

    cli.__dict__["operator"] = Refusing()
    with pytest.raises(ConflictError):
        order(cli, program)
    assert not list((home / "tenant" / TENANT / "dispatches").iterdir())


def test_a_target_must_be_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli, _, program = create(home, monkeypatch)
    with pytest.raises(InvalidInputError) as caught:
        order(cli, program, node="A node")
    assert caught.value.code == "node_name_malformed"


def test_an_agent_is_measured_before_anything_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    view = VersionView(
        name="clerk@v1", agent="clerk", version=1, manifest_hash="0" * 64, registered_at="t", registered_by="o",
        active=True, files=1, capabilities=[],
    )  # fmt: skip
    cli, _ = cli_with(home, agent=History(agent="clerk", versions=[view], activations=[]))
    (home / "clerk.py").write_text("print(2)\n")
    with pytest.raises(Exception, match="not what is on the record") as caught:
        order(cli, home / "clerk.py")
    assert getattr(caught.value, "code", "") == "manifest_unrecorded"
    assert not (home / "tenant").exists()
