from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.cli import incidents as module
from dragons.cli.output import Format
from dragons.core.errors import ConflictError
from dragons.evidence.payload import commit
from dragons.sdk import packs
from dragons.sdk.home import Home
from dragons.sdk.localstore import LocalStore
from dragons.wire.incidents import IncidentDetail, IncidentLine, Incidents, IncidentView
from tests.unit.cli.answers import cli_with

VIEW = IncidentView(
    incident_id="inc_1", agent="clerk", dispatch_id="dsp_1", instance_id="i" * 32, state="quarantined",
    reason="3 restarts within 360 min", opened_at="2026-11-20T19:44:03.123Z", opened_seq=29, closed_at="",
    closed_seq=-1, resolution="",
)  # fmt: skip


def line(**changes: Any) -> IncidentLine:
    made = IncidentLine(
        seq=29, receipt_id="rcp_29", at="2026-11-20T19:44:03.123Z", kind="state.changed", phase="incident",
        what="running → autohealing: exit status 3", signed_by="isk_1", instance_id="i" * 32,
        facts={"trigger": "crashed", "heartbeat_hash": "ab" * 32, "detail": ""}, payload_hash="",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def detail(*lines: IncidentLine, **changes: Any) -> IncidentDetail:
    made = IncidentDetail(
        view=VIEW, lines=list(lines), limits=[], unrelated=0, since="2026-11-20T19:44:03.123Z",
        until="2026-11-20T19:45:03.124Z",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_a_list_says_what_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = msgspec.structs.replace(
        VIEW, closed_at="2026-11-20T19:45:03.123Z", resolution="healed by epoch 2"
    )
    cli, asked = cli_with(tmp_path, incidents=Incidents(incidents=[VIEW, ended]))
    module.list_incidents(cli, agent="clerk", open_only=True)
    assert asked.asked == [("incidents", ("clerk",), {"open_only": True, "limit": 50})]
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert " open " in first
    assert "healed by epoch 2" in second


def test_a_story_in_its_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = detail(
        line(seq=4, phase="identity", kind="manifest.registered", what="clerk@v1 was registered"),
        line(seq=28, phase="before", kind="work", what="pay:supplier: failed"),
        line(),
        line(seq=30, what="a\x1b[2J", kind="denied"),
        unrelated=1,
        limits=["work", "denied"],
    )
    cli, _ = cli_with(tmp_path, incident=told)
    module.show(cli, incident="inc_1")
    out = capsys.readouterr().out
    places = [out.index(text) for text in ("Who it was", "clerk@v1 was", "What led to it", "What happened")]
    assert places == sorted(places)
    for text in (
        "11-20 19:44:03.123", "running → autohealing: exit status 3", "rcp_29", "trigger crashed",
        "heartbeat_hash abababababababab…", "signed by isk_1", "at seq 29", "1 receipt in between",
        "more than is shown of: work, denied",
    ):  # fmt: skip
        assert text in out
    assert "detail" not in out
    assert "\x1b[2J" not in out


def test_payloads_come_from_this_home_and_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = commit({"goal": "reconcile May"}), commit({"goal": "x"})
    cli, _ = cli_with(
        tmp_path,
        incident=detail(
            line(payload_hash=mine.payload_hash), line(receipt_id="rcp_30", payload_hash=other.payload_hash)
        ),
    )
    cli.__dict__["config"] = type("Config", (), {"tenant_id": "tnt_1", "root_fingerprint": "5f0c"})
    with LocalStore(Home(tmp_path.absolute()).store_path("tnt_1")) as store:
        store.commit([mine], [])
    module.show(cli, incident="inc_1", payloads=True)
    out = capsys.readouterr().out
    assert '{"goal":"reconcile May"}' in out
    module.show(cli, incident="inc_1")
    assert "reconcile May" not in capsys.readouterr().out


def test_a_pack_of_the_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def export(client: Any, request: Any, target: Path, store: Any = None) -> packs.Exported:
        asked.append((request.since, request.until, store is None))
        return packs.Exported(path=target, bytes=2048, payloads=3, withheld=1)

    monkeypatch.setattr(packs, "export_pack", export)
    cli, _ = cli_with(tmp_path, Format.JSON, incident=detail(line()))
    cli.__dict__["config"] = type("Config", (), {"tenant_id": "tnt_1", "root_fingerprint": "5f0c"})
    out = tmp_path / "inc.zip"
    module.show(cli, incident="inc_1", pack=out, redacted=True)
    assert asked == [(detail().since, detail().until, True)]
    assert json.loads(capsys.readouterr().out)["pack"]["withheld"] == 1
    cli, _ = cli_with(tmp_path, incident=detail(line()))
    cli.__dict__["config"] = type("Config", (), {"tenant_id": "tnt_1", "root_fingerprint": "5f0c"})
    module.show(cli, incident="inc_1", pack=out, redacted=True)
    assert f"dragons verify {out} --root 5f0c" in capsys.readouterr().err
    out.write_text("here")
    with pytest.raises(ConflictError):
        module.show(cli, incident="inc_1", pack=out)
