from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dragons.adapters.keyfiles import write_key
from dragons.cli import tokens
from dragons.cli.output import Format
from dragons.cli.tokens import TokenRole
from dragons.core.errors import ConflictError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Role
from dragons.wire.identity import TokenIssued, Tokens, TokenView
from tests.unit.cli.answers import Answers, cli_with

VIEW = TokenView(
    token_id="tok_1",
    role="auditor",
    label="audit",
    key_id="opk_1",
    created_at="2026-11-20T19:44:03.123Z",
    expires_at="2026-12-20T19:44:03.123Z",
    status="valid",
)
ISSUED = TokenIssued(token="dgt_secret", view=VIEW)


def test_a_token_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, asked = cli_with(tmp_path, Format.JSON, issue_token=ISSUED)
    tokens.issue(cli, role=TokenRole.AUDITOR, label="audit", ttl="30d")
    assert json.loads(capsys.readouterr().out)["token"] == "dgt_secret"
    request = asked.asked[0][1][0]
    assert (request.role, request.ttl_seconds) == ("auditor", 30 * 86_400)


def test_a_token_in_a_file_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, issue_token=ISSUED)
    file = tmp_path / "token"
    tokens.issue(cli, role=TokenRole.AUDITOR, label="audit", out=file)
    assert "dgt_secret" not in "".join(capsys.readouterr())
    assert file.read_text() == "dgt_secret\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_operator_key_asks_without_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signer = LocalSigner.from_seed(b"\x01" * 32, KeyRole.OPERATOR)
    write_key(tmp_path / "bob.pem", signer)
    config = {"url": "http://127.0.0.1:9", "tenant_id": "tnt_1", "root_fingerprint": "ab" * 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    cli, asked = cli_with(tmp_path, Format.JSON)
    guest = Answers(issue_token=ISSUED)
    cli.__dict__["guest"] = guest
    tokens.issue(cli, role=TokenRole.OPERATOR, label="bob", ttl="1d", key=tmp_path / "bob.pem")
    assert json.loads(capsys.readouterr().out)["token"] == "dgt_secret"
    assert not asked.asked
    ((_, (request, credential), _),) = guest.asked
    assert (request.role, credential.signer.key_id) == ("operator", signer.key_id)


def test_a_file_that_is_there_is_kept_and_nothing_is_issued(tmp_path: Path) -> None:
    cli, asked = cli_with(tmp_path, issue_token=ISSUED)
    (tmp_path / "token").write_text("old")
    with pytest.raises(ConflictError):
        tokens.issue(cli, role=TokenRole.AUDITOR, label="audit", out=tmp_path / "token")
    assert (tmp_path / "token").read_text() == "old"
    assert not asked.asked


def test_roles_are_the_products(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {role.value for role in TokenRole} == {role.value for role in Role} - {
        "instance",
        "keyholder",
        "anyone",
    }
    cli, _ = cli_with(tmp_path, tokens=Tokens(tokens=[VIEW]), revoke_token=None)
    tokens.list_tokens(cli)
    assert "tok_1" in capsys.readouterr().out
    tokens.revoke(cli, "tok_1")
    assert "revoked" in capsys.readouterr().out
