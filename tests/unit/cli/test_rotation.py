"""A rotation leaves a key and a token that work, and can be repeated after a crash at any point."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dragons.adapters.keyfiles import FileKeyring, read_key, write_key, write_secret
from dragons.cli.context import Cli
from dragons.cli.rotation import rotate_operator, rotate_service
from dragons.core.clock import ManualClock
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError, UnauthenticatedError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.identity.records import KEY, Key
from dragons.wire.identity import Keys, KeyView, TokenIssued, TokenView
from tests.unit.cli.answers import RECORDED, Answers, cli_with

TENANT = "tnt_" + "0" * 32
ROOT = LocalSigner.from_seed(b"\x01" * 32, KeyRole.ROOT)
OLD = LocalSigner.from_seed(b"\x02" * 32, KeyRole.OPERATOR)
VIEW = TokenView(
    token_id="tok_1", role="admin", label="Ada", key_id="opk_1", created_at="t", expires_at="t", status="valid"
)  # fmt: skip


def known(signer: LocalSigner, roles: list[str], subject: str = "Ada") -> Keys:
    view = KeyView(
        key_id=signer.key_id, role="operator", subject=subject, roles=roles,
        public_key=signer.public_key.raw, not_before="t", not_after="t", status="valid",
    )  # fmt: skip
    return Keys(keys=[view])


def home_of(folder: Path, roles: list[str], subject: str = "Ada") -> tuple[Cli, Answers, Answers]:
    """A home with an operator's key, what stands for the client, and for the client without a token."""
    (folder / "config.json").write_text(
        json.dumps({"url": "http://127.0.0.1:9", "tenant_id": TENANT, "root_fingerprint": "ab" * 32})
    )
    cli, client = cli_with(folder, keys=known(OLD, roles, subject), register_key=RECORDED)
    client.clock, client.tenant_id = ManualClock(), TENANT
    guest = Answers(issue_token=TokenIssued(token="dgt_new", view=VIEW))
    cli.__dict__["guest"] = guest
    write_key(cli.people / "operator.pem", OLD)
    (cli.people / "token").write_text("dgt_old\n")
    return cli, client, guest


def test_key_and_token_are_the_new_ones(tmp_path: Path) -> None:
    cli, client, guest = home_of(tmp_path, ["admin", "operator"])
    old, new = rotate_operator(cli, ROOT, 86_400_000)
    assert old == OLD.key_id
    assert read_key(cli.people / "operator.pem", KeyRole.OPERATOR).key_id == new
    assert read_key(next(cli.people.glob("operator-retired-*.pem")), KeyRole.OPERATOR).key_id == old
    assert (cli.people / "token").read_text() == "dgt_new\n"
    assert stat.S_IMODE((cli.people / "token").stat().st_mode) == 0o600
    statement = next(asked[1][0] for asked in client.asked if asked[0] == "register_key")
    body = statement.body(KEY, Key)
    assert (body.key_id, body.replaces, body.roles) == (new, old, ["admin", "operator"])
    ((_, (request, credential), _),) = guest.asked
    assert (request.role, request.label) == ("admin", "Ada")
    assert credential.signer.key_id == new


@pytest.mark.parametrize(
    ("roles", "role"),
    [(["operator"], "operator"), (["auditor"], "auditor"), (["auditor", "operator"], "operator")],
)
def test_a_token_is_the_mightiest_that_the_key_can_have(tmp_path: Path, roles: list[str], role: str) -> None:
    cli, _, guest = home_of(tmp_path, roles, subject="A" * 200)
    rotate_operator(cli, ROOT, 86_400_000)
    request = guest.asked[0][1][0]
    assert (request.role, request.label) == (role, "A" * 100)


def test_a_key_that_can_have_no_token_leaves_the_old_one(tmp_path: Path) -> None:
    cli, _, guest = home_of(tmp_path, [])
    rotate_operator(cli, ROOT, 86_400_000)
    assert not guest.asked
    assert (cli.people / "token").read_text() == "dgt_old\n"


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    cli, client, guest = home_of(tmp_path, ["admin"])
    guest.issue_token = lambda *_: (_ for _ in ()).throw(UnauthenticatedError("x", "m"))  # type: ignore[attr-defined]
    with pytest.raises(UnauthenticatedError):
        rotate_operator(cli, ROOT, 86_400_000)
    waiting = read_key(cli.people / "operator-next.pem", KeyRole.OPERATOR)
    assert read_key(cli.people / "operator.pem", KeyRole.OPERATOR).key_id == OLD.key_id
    assert (cli.people / "token").read_text() == "dgt_old\n"
    del guest.issue_token  # type: ignore[attr-defined]
    client.register_key = lambda _: (_ for _ in ()).throw(ConflictError("key_exists", "m"))  # type: ignore[attr-defined]
    assert rotate_operator(cli, ROOT, 86_400_000) == (OLD.key_id, waiting.key_id)
    assert read_key(cli.people / "operator.pem", KeyRole.OPERATOR).key_id == waiting.key_id
    assert not (cli.people / "operator-next.pem").exists()


def test_an_encrypted_key_is_followed_by_an_encrypted_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, _, _ = home_of(tmp_path, ["admin"])
    file = cli.people / "operator.pem"
    file.unlink()
    write_key(file, OLD, "horse")
    write_secret(tmp_path / "passphrase", b"horse\n")
    monkeypatch.setenv("DRAGONS_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    _, new = rotate_operator(cli, ROOT, 86_400_000)
    with pytest.raises(InvalidInputError) as caught:
        read_key(file, KeyRole.OPERATOR)
    assert caught.value.code == "passphrase_missing"
    assert read_key(file, KeyRole.OPERATOR, "horse").key_id == new


def test_a_key_that_is_not_on_the_record_is_not_rotated(tmp_path: Path) -> None:
    cli, client, _ = home_of(tmp_path, ["admin"])
    client.answers["keys"] = Keys(keys=[])
    with pytest.raises(NotFoundError) as caught:
        rotate_operator(cli, ROOT, 86_400_000)
    assert caught.value.code == "key_missing"


@pytest.mark.parametrize("role", [KeyRole.ISSUER, KeyRole.LEDGER])
def test_the_control_planes_key_is_on_the_record_before_it_is_used(tmp_path: Path, role: KeyRole) -> None:
    cli, client, _ = home_of(tmp_path, ["admin"])
    keyring = FileKeyring(tmp_path)
    for one in (KeyRole.ISSUER, KeyRole.LEDGER):
        keyring.add(TENANT, LocalSigner.generate(one))
    used = keyring.issuer(TENANT) if role is KeyRole.ISSUER else keyring.ledger(TENANT)
    client.answers["keys"] = known(used, [])
    old, new = rotate_service(cli, ROOT, role, 86_400_000)
    assert old == used.key_id
    again = FileKeyring(tmp_path)
    assert new == (again.issuer(TENANT) if role is KeyRole.ISSUER else again.ledger(TENANT)).key_id
    client.register_key = lambda _: (_ for _ in ()).throw(ConflictError("x", "m"))  # type: ignore[attr-defined]
    client.answers["keys"] = known(
        again.issuer(TENANT) if role is KeyRole.ISSUER else again.ledger(TENANT), []
    )
    with pytest.raises(ConflictError):
        rotate_service(cli, ROOT, role, 86_400_000)
    after = FileKeyring(tmp_path)
    assert new == (after.issuer(TENANT) if role is KeyRole.ISSUER else after.ledger(TENANT)).key_id
