from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import pytest

from dragons.adapters.keyfiles import write_key
from dragons.cli.context import DEFAULT_URL, Cli, Globals, ask_passphrase
from dragons.cli.output import Format
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.settings import load_settings
from dragons.wire.base import Recorded

TENANT = "tnt_" + "0" * 32
SIGNER = LocalSigner.from_seed(b"\x01" * 32, KeyRole.OPERATOR)


def cli_of(home: Path, **options: object) -> Cli:
    return Cli(Globals(home, **options), Format.JSON)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = {"url": "http://127.0.0.1:9", "tenant_id": TENANT, "root_fingerprint": "ab" * 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_key(tmp_path / "operator" / TENANT / "operator.pem", SIGNER)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    monkeypatch.delenv("DRAGONS_PASSPHRASE_FILE", raising=False)


def test_a_home_says_where_things_are(home: Path) -> None:
    cli = cli_of(home)
    assert cli.tenant_id == TENANT
    assert cli.url == "http://127.0.0.1:9"
    assert cli.token_file == home / "operator" / TENANT / "token"
    assert cli.signer.key_id == SIGNER.key_id


def test_options_win_over_the_home(home: Path) -> None:
    cli = cli_of(home, url="http://10.0.0.1:1", token_file=home / "mine")
    assert cli.url == "http://10.0.0.1:1"
    assert cli.token_file == home / "mine"


def test_without_a_home_there_is_the_usual_place(tmp_path: Path) -> None:
    cli = cli_of(tmp_path / "none")
    assert cli.url == DEFAULT_URL
    with pytest.raises(NotFoundError):
        _ = cli.tenant_id


def test_the_usual_port_is_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGONS_PORT", raising=False)
    assert load_settings().url == DEFAULT_URL


def test_a_missing_token_says_where_it_should_be(home: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        _ = cli_of(home).client
    assert "token" in caught.value.message


def test_an_encrypted_key_needs_its_passphrase(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "locked.pem"
    write_key(path, SIGNER, "open sesame")
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    cli = cli_of(home)
    assert cli.key(path, KeyRole.OPERATOR, secret).key_id == SIGNER.key_id
    with pytest.raises(InvalidInputError) as caught:
        cli.key(path, KeyRole.OPERATOR)
    assert caught.value.code == "passphrase_missing"
    assert "--passphrase-file" in caught.value.fix


def test_the_passphrase_file_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    monkeypatch.setenv("DRAGONS_PASSPHRASE_FILE", str(secret))
    assert ask_passphrase("Passphrase", None) == "open sesame"


def test_what_was_recorded_is_the_wire_shape(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Recorded(receipt_id="rcp_1", seq=4, chain_root="ab" * 32, issued_at="2026-11-20T19:44:03.123Z")
    cli_of(home).recorded(recorded, "Done.")
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "receipt_id": "rcp_1",
        "seq": 4,
        "chain_root": "ab" * 32,
        "issued_at": "2026-11-20T19:44:03.123Z",
    }
    assert not err
