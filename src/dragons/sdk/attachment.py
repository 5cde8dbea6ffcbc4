"""How a launcher hands its instance to the programs that it starts: one file, readable by its owner only.

`DRAGONS_INSTANCE` names the file. The launcher renews the lease and replaces the file whole; attached
programs follow. Never passes authority by the environment itself, which other users could read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from dragons.authority.decide import Now
from dragons.authority.lease import LEASE, Lease
from dragons.core.clock import parse_time
from dragons.core.errors import DragonsError, InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.sdk.authority import Span
from dragons.sdk.home import read_secret, write_secret
from dragons.wire.authority import Granted

INSTANCE_VARIABLE = "DRAGONS_INSTANCE"


class Attachment(msgspec.Struct, kw_only=True):
    """An instance as its launcher hands it on. Boot times are the machine's CLOCK_BOOTTIME."""

    url: str
    tenant_id: str
    instance_id: str
    seed: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    granted: Granted
    sent_wall_ms: int
    sent_boot_ms: int
    received_boot_ms: int
    session_id: str
    goal: str
    store: str
    home: str

    def __repr__(self) -> str:
        return f"Attachment({self.instance_id})"

    @property
    def signer(self) -> LocalSigner:
        """The instance's key."""
        return LocalSigner.from_seed(self.seed, KeyRole.INSTANCE)

    @property
    def span(self) -> Span:
        """When the launcher asked for the grant and got it."""
        return Span(Now(self.sent_wall_ms, self.sent_boot_ms), self.received_boot_ms)


def attachment_path(environment: Mapping[str, str] | None = None) -> Path | None:
    """The file that the launcher named, None where there is no launcher."""
    named = (os.environ if environment is None else environment).get(INSTANCE_VARIABLE, "")
    return Path(named) if named else None


def read_attachment(path: Path) -> Attachment:
    """The instance in the file; InvalidInputError when it is none."""
    try:
        return msgspec.json.decode(read_secret(path, "instance of a launcher"), type=Attachment)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            "attachment_malformed", f"{path} does not describe an instance.", fix="Use `dragons run`."
        ) from error


def write_attachment(path: Path, attachment: Attachment) -> None:
    """Replace the file in one step."""
    write_secret(path, msgspec.json.encode(attachment))


def sweep_attachments(folder: Path, now_ms: int) -> None:
    """Delete what launchers left behind that were killed: files whose lease is over."""
    for path in folder.glob("*.json") if folder.is_dir() else ():
        try:
            lease = read_attachment(path).granted.lease.body(LEASE, Lease)
            over = parse_time(lease.expires_at) <= now_ms
        except NotFoundError:
            continue
        except DragonsError:
            over = True
        if over:
            path.unlink(missing_ok=True)


class Follower:
    """Notices that the launcher replaced the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._mark()

    def changed(self) -> Attachment | None:
        """The new contents, None while the file is the same."""
        mark = self._mark()
        if mark == self._seen:
            return None
        attachment = read_attachment(self._path)
        self._seen = mark
        return attachment

    def _mark(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_ino, status.st_mtime_ns)
