from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.adapters.keyfiles import write_key
from dragons.cli.context import Cli, Globals
from dragons.cli.output import Format
from dragons.cli.run import activation_of, final_state, operator_at_hand, read_handover_file
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.node.options import Ended, RunResult
from tests.unit.cli.answers import cli_with

TENANT = "tnt_" + "0" * 32
SIGNER = LocalSigner.from_seed(b"\x01" * 32, KeyRole.OPERATOR)
ENDED = Ended(
    exit_status=3,
    signal="",
    duration_ms=5,
    stdout_sha256="",
    stdout_bytes=0,
    stderr_sha256="",
    stderr_bytes=0,
)
RESULT = RunResult(
    goal="g",
    command=("true",),
    ended=ENDED,
    agent="clerk",
    version="clerk@v2",
    manifest_hash="ab" * 32,
    instance_id="i",
    lease_id="lse_1",
    scope=("read:a",),
    session_id="ses_1",
    receipt_id="rcp_1",
    chain_root="cd" * 32,
    replay="pass",
    states=("running",),
    heartbeat_age_ms=10,
    waiting=0,
    actions={"read:a": 2, "write:b": 3},
    denied={"send:c": "capability_not_leased"},
    sessions=("ses_1", "ses_2"),
    progress=("files", "output"),
)


def cli_of(home: Path) -> Cli:
    return Cli(Globals(home), Format.TABLE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "tenant_id": TENANT}))
    folder = tmp_path / "operator" / TENANT
    folder.mkdir(parents=True)
    (folder / "token").write_text("dgt_x")
    (folder / "token").chmod(0o600)
    return tmp_path


def test_the_receipt_shows_what_the_run_left() -> None:
    made = activation_of(RESULT, "stopped")
    assert made.operations == 5
    assert made.agent == "clerk@v2"
    assert made.states == ["running", "stopped"]
    assert made.exit_status == 3
    assert made.outcome == "failed"
    assert made.sessions == ["ses_1", "ses_2"]
    assert made.progress == "files, output"


@pytest.mark.parametrize("final", ["running", ""])
def test_a_state_is_not_repeated_and_not_invented(final: str) -> None:
    assert activation_of(RESULT, final).states == ["running"]


def test_an_unreachable_control_plane_leaves_the_state_open(home: Path) -> None:
    class Down:
        def instance(self, _instance_id: str) -> None:
            raise NotFoundError("control_plane_unreachable", "gone")

    cli, _ = cli_with(home)
    cli.__dict__["client"] = Down()
    assert final_state(cli, "i") == ""


def test_a_home_without_an_operator_key_launches_only(home: Path) -> None:
    assert operator_at_hand(cli_of(home), needed=False) is None
    with pytest.raises(NotFoundError):
        operator_at_hand(cli_of(home), needed=True)


def test_an_operators_key_is_at_hand(home: Path) -> None:
    write_key(home / "operator" / TENANT / "operator.pem", SIGNER)
    found = operator_at_hand(cli_of(home), needed=False)
    assert found is not None
    assert found.signer.key_id == SIGNER.key_id


def test_a_locked_key_is_opened_only_where_it_is_needed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGONS_PASSPHRASE_FILE", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    write_key(home / "operator" / TENANT / "operator.pem", SIGNER, "open sesame")
    assert operator_at_hand(cli_of(home), needed=False) is None
    with pytest.raises(InvalidInputError) as caught:
        operator_at_hand(cli_of(home), needed=True)
    assert caught.value.code == "passphrase_missing"


def test_a_handover_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "handover.json"
    path.write_text('{"epoch": 1, "progress_sequence": 7}')
    assert read_handover_file(path) == {"epoch": 1, "progress_sequence": 7}
    for wrong in (b"[1]", b"{", b"\xff"):
        path.write_bytes(wrong)
        with pytest.raises(InvalidInputError) as caught:
            read_handover_file(path)
        assert caught.value.code == "handover_malformed"
