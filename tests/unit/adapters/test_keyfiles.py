"""Key files: private, whole, never overwritten, and clear about what is wrong."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dragons.adapters.keyfiles import (
    FileKeyring,
    newest_key,
    read_key,
    read_secret,
    write_key,
    write_secret,
)
from dragons.core.errors import (
    ConflictError,
    DragonsError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from dragons.core.keys import KeyRole, LocalSigner

TENANT = "tnt_" + "1" * 32


def signer(number: int = 1, role: KeyRole = KeyRole.OPERATOR) -> LocalSigner:
    return LocalSigner.from_seed(number.to_bytes(32), role)


@pytest.mark.parametrize("passphrase", [None, "correct horse", "ü€🐉"])
def test_a_key_comes_back_as_it_was(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "deep" / "folder" / "operator.pem"
    write_key(path, signer(), passphrase)
    again = read_key(path, KeyRole.OPERATOR, passphrase)
    assert again.seed() == signer().seed()
    assert again.key_id == signer().key_id


def test_the_file_is_private_and_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_key(tmp_path / "keys" / "root.pem", signer())
    finally:
        os.umask(old)
    path = tmp_path / "keys" / "root.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["root.pem"]


def test_a_passphrase_hides_the_key(tmp_path: Path) -> None:
    write_key(tmp_path / "a.pem", signer(), "secret")
    assert b"ENCRYPTED" in (tmp_path / "a.pem").read_bytes()
    assert signer().seed() not in (tmp_path / "a.pem").read_bytes()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    write_key(tmp_path / "a.pem", signer(1))
    with pytest.raises(ConflictError) as caught:
        write_key(tmp_path / "a.pem", signer(2))
    assert caught.value.code == "key_file_exists"
    assert read_key(tmp_path / "a.pem", KeyRole.OPERATOR).seed() == signer(1).seed()
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".a.pem.{os.getpid()}.part").write_bytes(b"half")
    write_key(tmp_path / "a.pem", signer())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pem"]


def test_an_unwritable_place_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        write_secret(tmp_path / "file" / "below.pem", b"x")
    assert caught.value.code == "key_file_unwritable"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.pem"
    write_key(path, signer())
    path.chmod(mode)
    with pytest.raises(ForbiddenError) as caught:
        read_key(path, KeyRole.OPERATOR)
    assert caught.value.code == "key_file_exposed"
    assert f"chmod 600 {path}" in caught.value.fix


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_accepted(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.pem"
    write_key(path, signer())
    path.chmod(mode)
    assert read_secret(path)


def _other_algorithm() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", _other_algorithm(), b"-----BEGIN PRIVATE KEY-----\n\n", b"x" * 20_000],
    ids=["empty", "nonsense", "another-algorithm", "no-key", "too-large"],
)
def test_other_contents_are_refused(tmp_path: Path, data: bytes) -> None:
    write_secret(tmp_path / "a.pem", data)
    with pytest.raises(InvalidInputError) as caught:
        read_key(tmp_path / "a.pem", KeyRole.OPERATOR)
    assert caught.value.code == "key_file_malformed"


def test_each_passphrase_fault_has_its_own_code(tmp_path: Path) -> None:
    write_key(tmp_path / "a.pem", signer(), "right")
    codes = []
    for given in (None, "wrong", ""):
        with pytest.raises(InvalidInputError) as caught:
            read_key(tmp_path / "a.pem", KeyRole.OPERATOR, given)
        codes.append(caught.value.code)
        assert "right" not in str(caught.value)
    assert codes == ["passphrase_missing", "passphrase_wrong", "passphrase_wrong"]
    with pytest.raises(InvalidInputError) as caught:
        write_key(tmp_path / "b.pem", signer(), "")
    assert caught.value.code == "passphrase_empty"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_key(tmp_path / "a.pem", KeyRole.OPERATOR)
    assert caught.value.code == "key_file_missing"
    with pytest.raises(DragonsError):
        read_key(tmp_path, KeyRole.OPERATOR)


# --- the keyring ---------------------------------------------------------------------------------


@pytest.mark.parametrize("passphrase", [None, "control"])
def test_the_keyring_finds_the_newest_key(tmp_path: Path, passphrase: str | None) -> None:
    keyring = FileKeyring(tmp_path, passphrase)
    for number in range(1, 12):
        keyring.add(TENANT, signer(number, KeyRole.ISSUER))
        assert keyring.issuer(TENANT).seed() == signer(number).seed()
    folder = tmp_path / "control" / "keys" / TENANT
    assert newest_key(folder, KeyRole.ISSUER).name == "issuer-11.pem"
    assert (folder / "issuer.pem").is_file()
    assert FileKeyring(tmp_path, passphrase).issuer(TENANT).seed() == signer(11).seed()


def test_issuer_and_ledger_are_apart(tmp_path: Path) -> None:
    keyring = FileKeyring(tmp_path)
    keyring.add(TENANT, signer(1, KeyRole.ISSUER))
    keyring.add(TENANT, signer(2, KeyRole.LEDGER))
    assert keyring.issuer(TENANT).key_id.startswith("isk_")
    assert keyring.ledger(TENANT).key_id.startswith("lgk_")
    assert keyring.ledger(TENANT).seed() == signer(2).seed()


def test_a_key_is_read_once(tmp_path: Path) -> None:
    keyring = FileKeyring(tmp_path)
    keyring.add(TENANT, signer(1, KeyRole.ISSUER))
    assert keyring.issuer(TENANT) is keyring.issuer(TENANT)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    keyring = FileKeyring(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        keyring.issuer(TENANT)
    assert caught.value.code == "key_file_missing"
    keyring.add(TENANT, signer(1, KeyRole.ISSUER))
    with pytest.raises(NotFoundError) as caught:
        keyring.ledger(TENANT)
    assert "ledger" in caught.value.message


@pytest.mark.parametrize("name", ["", "..", "../x", "tnt_", "tnt_" + "1" * 31 + "/", "lse_" + "1" * 32])
def test_a_tenant_id_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError):
        FileKeyring(tmp_path).issuer(name)


@pytest.mark.parametrize(
    "name", ["issuer-0.pem", "issuer-01.pem", "issuer-x.pem", "issuer.pem.bak", "xissuer-9.pem"]
)
def test_other_files_are_no_keys(tmp_path: Path, name: str) -> None:
    keyring = FileKeyring(tmp_path)
    path = keyring.add(TENANT, signer(1, KeyRole.ISSUER))
    write_secret(path.with_name(name), b"nonsense")
    assert FileKeyring(tmp_path).issuer(TENANT).seed() == signer(1).seed()
