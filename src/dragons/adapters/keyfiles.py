"""Private keys as files: PKCS#8 PEM, mode 0600, written whole or not at all, never overwritten.

Refuses to read a key that its group or others can read. Never shows key material or a passphrase in
an error, and never guesses a role: the file's name and the caller say what a key is for.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dragons.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from dragons.core.ids import TENANT, check_id
from dragons.core.keys import KeyRole, LocalSigner

KEY_FILE_BYTES_MAX = 16_384
FILE_MODE = 0o600
FOLDER_MODE = 0o700


def write_key(path: Path, signer: LocalSigner, passphrase: str | None = None) -> None:
    """Keep the private key at `path`; ConflictError when there is a file already."""
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        if not passphrase:
            raise InvalidInputError("passphrase_empty", "An empty passphrase protects nothing.")
        encryption = BestAvailableEncryption(passphrase.encode())
    private = Ed25519PrivateKey.from_private_bytes(signer.seed())
    write_secret(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def read_key(path: Path, role: KeyRole, passphrase: str | None = None) -> LocalSigner:
    """The key at `path`, to be used as `role`."""
    data = read_secret(path)
    encrypted = b"ENCRYPTED" in data[:200]
    if encrypted and passphrase is None:
        raise InvalidInputError(
            "passphrase_missing", f"{path} is encrypted.", fix="Give the passphrase it was made with."
        )
    try:
        private = load_pem_private_key(data, passphrase.encode() if encrypted and passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise InvalidInputError("passphrase_wrong", f"The passphrase does not open {path}.") from error
        raise _malformed(path) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _malformed(path)
    return LocalSigner(private, role)


def write_secret(path: Path, data: bytes) -> None:
    """A new file that only its owner reads, durable and complete; ConflictError when it exists."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A hard link, unlike a rename, fails where the name is taken.
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise ConflictError(
            "key_file_exists",
            f"{path} exists already and is not overwritten.",
            fix="Move it away if it is no longer needed.",
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """The folder and all above it that are missing, for their owner only."""
    # `mkdir(parents=True)` would give the mode to the last one alone.
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def read_secret(path: Path) -> bytes:
    """The contents of a file that nobody but its owner can read."""
    try:
        # Non-blocking, or a pipe in the file's place would hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFoundError(
            "key_file_missing", f"There is no key file {path}.", fix="Restore it, or check the path."
        ) from error
    except OSError as error:
        raise ForbiddenError("key_file_unreadable", f"{path} can't be read: {error.strerror}.") from error
    try:
        # Of the open file, not of the path, so that nothing can be swapped in between.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _malformed(path)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ForbiddenError(
                "key_file_exposed",
                f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}).",
                fix=f"Run `chmod 600 {path}`, and rotate the key if others were on this machine.",
            )
        data = os.read(descriptor, KEY_FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(data) > KEY_FILE_BYTES_MAX:
        raise _malformed(path)
    return data


class _Loaded(NamedTuple):
    """A signer and the folder's time of change that it was looked up at."""

    signer: LocalSigner
    changed_ns: int


class FileKeyring:
    """`<home>/control/keys/<tenant>/{issuer,ledger}.pem`: the keys that the control plane holds.

    After a rotation the newest counts: `issuer-2.pem` follows `issuer.pem`. A file that appears is
    found without a restart, because its folder changes.
    """

    def __init__(self, home: Path, passphrase: str | None = None) -> None:
        self._folder = home / "control" / "keys"
        self._passphrase = passphrase
        self._loaded: dict[tuple[str, KeyRole], _Loaded] = {}
        self._lock = Lock()

    def issuer(self, tenant_id: str) -> LocalSigner:
        """The key that signs leases and workload tokens."""
        return self._signer(tenant_id, KeyRole.ISSUER)

    def ledger(self, tenant_id: str) -> LocalSigner:
        """The key that signs receipts and checkpoints."""
        return self._signer(tenant_id, KeyRole.LEDGER)

    def add(self, tenant_id: str, signer: LocalSigner) -> Path:
        """Keep a key as the newest of its role; register it in the ledger first."""
        folder = self._folder_of(tenant_id)
        name = _name(signer.role)
        number = max(_numbers(folder, name), default=0) + 1
        path = folder / (f"{name}.pem" if number == 1 else f"{name}-{number}.pem")
        write_key(path, signer, self._passphrase)
        return path

    def _signer(self, tenant_id: str, role: KeyRole) -> LocalSigner:
        folder = self._folder_of(tenant_id)
        try:
            changed_ns = folder.stat().st_mtime_ns
        except OSError as error:
            raise NotFoundError(
                "key_file_missing",
                f"There are no control-plane keys for {tenant_id}.",
                fix=f"Restore {folder} from a backup.",
            ) from error
        found = self._loaded.get((tenant_id, role))
        if found is not None and found.changed_ns == changed_ns:
            return found.signer
        with self._lock:
            signer = read_key(newest_key(folder, role), role, self._passphrase)
            self._loaded[tenant_id, role] = _Loaded(signer, changed_ns)
        return signer

    def _folder_of(self, tenant_id: str) -> Path:
        # The name becomes part of a path: nothing but the one form of an id may.
        return self._folder / check_id(TENANT, tenant_id)


def newest_key(folder: Path, role: KeyRole) -> Path:
    """The file of the newest key of `role` in `folder`; NotFoundError when there is none."""
    name = _name(role)
    numbers = _numbers(folder, name)
    if not numbers:
        raise NotFoundError(
            "key_file_missing", f"There is no {name} key in {folder}.", fix="Restore it from a backup."
        )
    number = max(numbers)
    return folder / (f"{name}.pem" if number == 1 else f"{name}-{number}.pem")


def _numbers(folder: Path, name: str) -> list[int]:
    pattern = re.compile(rf"{name}(?:-([1-9][0-9]{{0,5}}))?\.pem", re.ASCII)
    if not folder.is_dir():
        return []
    matches = (pattern.fullmatch(entry.name) for entry in folder.iterdir())
    return [int(match[1] or 1) for match in matches if match is not None]


def _name(role: KeyRole) -> str:
    return role.name.lower()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        "key_file_unwritable",
        f"{path} could not be written: {error.strerror}.",
        fix="Check the disk and the folder's owner.",
    )


def _malformed(path: Path) -> InvalidInputError:
    return InvalidInputError(
        "key_file_malformed",
        f"{path} is no Ed25519 private key in PKCS#8 PEM.",
        fix="Restore it from a backup.",
    )
