"""The folder that a client works from: which control plane, which token, which keys, which local store.

`config.json` names the control plane and the pinned root; `operator/<tenant>/` holds the token and the
private keys of the tenant's people, `tenant/<tenant>/` what never leaves the tenant. Never reads a
secret that others can read, and never writes a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner

HOME_VARIABLE = "DRAGONS_HOME"
CONFIG_FILE = "config.json"
TOKEN_FILE = "token"  # noqa: S105 - a file name
STORE_FILE = "local.db"
SECRET_MODE = 0o600
FOLDER_MODE = 0o700


class Config(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a client needs of `config.json`; other programs may keep more in it."""

    url: str
    tenant_id: str
    root_fingerprint: str = ""


class Home:
    """One home folder. Nothing is read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()

    def __repr__(self) -> str:
        return f"Home({str(self.folder)!r})"

    def config(self) -> Config:
        """The configuration; NotFoundError when the home was never set up."""
        path = self.folder / CONFIG_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Config)
        except FileNotFoundError as error:
            raise NotFoundError(
                "home_missing", f"There is no {path}.", fix="Run `dragons init`, or set DRAGONS_HOME."
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError("home_malformed", f"{path}: {error}.", fix="Correct the file.") from error

    def operator_folder(self, tenant_id: str) -> Path:
        """Token and keys of the tenant's people."""
        return self.folder / "operator" / tenant_id

    def store_path(self, tenant_id: str) -> Path:
        """The file of a tenant's local store."""
        return self.folder / "tenant" / tenant_id / STORE_FILE

    def token(self, tenant_id: str) -> str:
        """The API token; NotFoundError when there is none."""
        data = read_secret(self.operator_folder(tenant_id) / TOKEN_FILE, "API token")
        return data.decode("ascii", "replace").strip()

    def has_key(self, tenant_id: str, role: KeyRole) -> bool:
        """True when the private key of that role is in this home."""
        return self._key_path(tenant_id, role).is_file()

    def key(self, tenant_id: str, role: KeyRole, passphrase: str = "") -> LocalSigner:
        """The private key (PKCS#8 PEM) of that role; NotFoundError when it is kept elsewhere."""
        path = self._key_path(tenant_id, role)
        data = read_secret(path, f"{role.name.lower()} key")
        try:
            private = load_pem_private_key(data, passphrase.encode() or None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInputError(
                "key_file_malformed", f"{path} can't be opened.", fix="Give the passphrase it was made with."
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise InvalidInputError("key_file_malformed", f"{path} is no Ed25519 key.")
        return LocalSigner(private, role)

    def _key_path(self, tenant_id: str, role: KeyRole) -> Path:
        return self.operator_folder(tenant_id) / f"{role.name.lower()}.pem"


def find_home(environment: Mapping[str, str] | None = None) -> Home:
    """The home that the environment names, else `.dragons` in the user's own folder."""
    named = (os.environ if environment is None else environment).get(HOME_VARIABLE, "")
    return Home(Path(named or "~/.dragons"))


def read_secret(path: Path, what: str) -> bytes:
    """The contents of a secret file; InvalidInputError when others may read it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise InvalidInputError(
                    "secret_exposed", f"Others may read {path}.", fix=f"Run `chmod 600 {path}`."
                )
            return file.read()
    except FileNotFoundError as error:
        raise NotFoundError(
            "secret_missing", f"There is no {what} at {path}.", fix="Run `dragons init`, or copy it there."
        ) from error


def write_secret(path: Path, data: bytes) -> None:
    """Replace a file that only its owner may read, in one step and durably."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
