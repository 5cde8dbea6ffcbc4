from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.sdk.home import Config, Home, find_home, read_secret, write_secret


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_the_configuration_tolerates_what_others_keep_in_it(home: Home) -> None:
    with pytest.raises(NotFoundError):
        home.config()
    path = home.folder / "config.json"
    path.write_text(json.dumps({"url": "http://x", "tenant_id": "t", "root_fingerprint": "f", "more": 1}))
    assert home.config() == Config(url="http://x", tenant_id="t", root_fingerprint="f")
    path.write_text("{")
    with pytest.raises(InvalidInputError):
        home.config()


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    assert find_home({"DRAGONS_HOME": str(tmp_path)}).folder == tmp_path
    assert find_home({}).folder == Path("~/.dragons").expanduser()
    assert find_home({}).store_path("t").relative_to(find_home({}).folder).as_posix() == "tenant/t/local.db"


def test_a_secret_is_whole_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    write_secret(path, b"one")
    write_secret(path, b"two")
    assert read_secret(path, "secret") == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["secret"]
    path.chmod(0o640)
    with pytest.raises(InvalidInputError, match="chmod 600"):
        read_secret(path, "secret")
    with pytest.raises(NotFoundError):
        read_secret(tmp_path / "none", "secret")


def test_the_token_is_read_without_its_newline(home: Home) -> None:
    write_secret(home.operator_folder("t") / "token", b"dgt_x\n")
    assert home.token("t") == "dgt_x"


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_keys_are_read(home: Home, passphrase: str) -> None:
    private = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    data = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    assert not home.has_key("t", KeyRole.OPERATOR)
    write_secret(home.operator_folder("t") / "operator.pem", data)
    assert home.has_key("t", KeyRole.OPERATOR)
    expected = LocalSigner(private, KeyRole.OPERATOR)
    assert home.key("t", KeyRole.OPERATOR, passphrase).key_id == expected.key_id
    with pytest.raises(InvalidInputError):
        home.key("t", KeyRole.OPERATOR, "wrong")


def test_what_is_no_key_is_refused(home: Home) -> None:
    path = home.operator_folder("t") / "root.pem"
    write_secret(path, b"garbage")
    with pytest.raises(InvalidInputError):
        home.key("t", KeyRole.ROOT)
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(path, other)
    with pytest.raises(InvalidInputError, match="Ed25519"):
        home.key("t", KeyRole.ROOT)
