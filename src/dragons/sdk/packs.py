"""Evidence packs: what the control plane exports, completed with payloads that never left the tenant.

Streams: a pack of any size takes little memory, and the file appears whole or not at all. Never changes
what the control plane signed; a payload that is not in the local store leaves the pack redacted.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from dragons.audit.pack import (
    PAGE_FILE,
    README_FILE,
    Contents,
    PackReader,
    open_pack,
    parse_line,
    write_pack,
)
from dragons.core.errors import StorageError
from dragons.evidence.payload import Payload, opens
from dragons.sdk.client import OperatorClient
from dragons.sdk.localstore import LocalStore
from dragons.wire.evidence import PackRequest

_SELECTED = b'"selected":true}'


class Exported(NamedTuple):
    """A pack that was written: how many payloads it shows, and how many commitments it can't open."""

    path: Path
    bytes: int
    payloads: int
    withheld: int


class _Commitment(msgspec.Struct):
    """The one field of a header that matters here."""

    payload_hash: str = ""


_commitment = msgspec.json.Decoder(_Commitment)


def export_pack(
    client: OperatorClient, request: PackRequest, target: Path, store: LocalStore | None = None
) -> Exported:
    """Write the pack of `request` to `target`, with the payloads in `store`; redacted without a store."""
    folder = target.absolute().parent
    try:
        with tempfile.TemporaryDirectory(prefix=".pack-", dir=folder) as work:
            redacted = Path(work) / "redacted.zip"
            with client.export_pack(request) as chunks, redacted.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            finished = redacted
            shown, withheld = 0, 0
            if store is not None:
                finished = Path(work) / "complete.zip"
                shown, withheld = complete_pack(redacted, finished, store)
            _sync(finished)
            size = finished.stat().st_size
            finished.replace(target)
    except OSError as error:
        raise StorageError(
            "pack_unwritable", f"{target} could not be written: {error.strerror}.", fix="Check the folder."
        ) from error
    return Exported(target, size, shown, withheld)


def complete_pack(redacted: Path, target: Path, store: LocalStore) -> tuple[int, int]:
    """Write `redacted` again with the payloads in `store`; returns how many it shows and lacks."""
    with open_pack(redacted) as reader, zipfile.ZipFile(redacted) as archive, target.open("wb") as file:
        found = _Payloads(reader, store)
        contents = Contents(
            lines=reader.lines(),
            payloads=found.iterate(),
            heartbeats=reader.heartbeats(),
            page=archive.read(PAGE_FILE),
            readme=archive.read(README_FILE),
        )
        head = reader.head
        write_pack(file, contents, lambda: msgspec.structs.replace(head, redacted=found.withheld > 0))
    return found.shown, found.withheld


class _Payloads:
    """The payloads of the selected receipts, in their order."""

    def __init__(self, reader: PackReader, store: LocalStore) -> None:
        self._reader = reader
        self._store = store
        self.shown = 0
        self.withheld = 0

    def iterate(self) -> Iterator[Payload]:
        for line in self._reader.lines():
            if not line.endswith(_SELECTED):
                continue
            record = parse_line(line).record
            if isinstance(record, msgspec.UnsetType):
                continue
            payload_hash = _commitment.decode(record.header.payload).payload_hash
            if not payload_hash:
                continue
            payload = self._store.payload(payload_hash)
            if payload is None or not opens(payload, payload_hash):
                self.withheld += 1
                continue
            self.shown += 1
            yield payload


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
