"""How a launcher hands its instance to the programs that it starts: one file, readable by its owner only.

`DRAGONS_INSTANCE` names the file. The launcher renews the lease and replaces the file whole; attached
programs follow. Other files of the run lie beside it under the same stem; `DRAGONS_HANDOVER` names one.
Never passes authority by the environment itself, which other users could read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
HANDOVER_VARIABLE = "DRAGONS_HANDOVER"
HANDOVER_BYTES_MAX = 64_000


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


def remove_attachment(path: Path) -> None:
    """Delete the file and what lies beside it under its stem."""
    path.unlink(missing_ok=True)
    for other in path.parent.glob(f"{path.stem}.*"):
        other.unlink(missing_ok=True)


def write_handover(attachment: Path, handover: Mapping[str, Any]) -> Path:
    """Leave `handover` beside the attachment; returns where. InvalidInputError when it is no plain data."""
    try:
        data = msgspec.json.encode(dict(handover))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            "handover_malformed",
            f"The handover can't be written as JSON: {error}.",
            fix="Hand over names, numbers and texts only.",
        ) from error
    if len(data) > HANDOVER_BYTES_MAX:
        raise InvalidInputError(
            "handover_malformed",
            f"The handover has {len(data)} bytes; the limit is {HANDOVER_BYTES_MAX}.",
            fix="Hand over digests and names, not the work itself.",
        )
    path = attachment.with_suffix(".handover")
    write_secret(path, data)
    return path


def read_handover(environment: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Where the instance before had got to, None where nothing was handed over."""
    named = (os.environ if environment is None else environment).get(HANDOVER_VARIABLE, "")
    if not named:
        return None
    try:
        return msgspec.json.decode(read_secret(Path(named), "handover"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            "handover_malformed", f"{named} is no handover.", fix="Use `dragons run`."
        ) from error


def sweep_attachments(folder: Path, now_ms: int) -> None:
    """Delete what launchers left behind that were killed, files whose lease is over, and what belongs to none."""
    for path in folder.glob("*.json") if folder.is_dir() else ():
        try:
            lease = read_attachment(path).granted.lease.body(LEASE, Lease)
            over = parse_time(lease.expires_at) <= now_ms
        except NotFoundError:
            continue
        except DragonsError:
            over = True
        if over:
            remove_attachment(path)
    for path in folder.glob("*.*") if folder.is_dir() else ():
        # What a program left after its launcher had cleaned up.
        own = path.with_name(f"{path.name.partition('.')[0]}.json")
        if path.name[0] != "." and not own.exists():
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
