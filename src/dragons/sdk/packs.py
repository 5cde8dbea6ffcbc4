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
    README_FILE,
    Contents,
    PackReader,
    open_pack,
    parse_line,
    write_pack,
)
from dragons.audit.page import EmbeddedPage
from dragons.core.errors import StorageError
from dragons.core.statement import payload_type
from dragons.evidence.payload import Payload, opens
from dragons.evidence.receipt import ERASURE, Erasure
from dragons.sdk.client import OperatorClient
from dragons.sdk.localstore import LocalStore
from dragons.wire.evidence import PackRequest

_SELECTED = b'"selected":true}'
_ERASURE = payload_type(ERASURE).encode()


class Exported(NamedTuple):
    """A pack that was written: how many payloads it shows, lacks, and lacks because they were erased."""

    path: Path
    bytes: int
    payloads: int = 0
    withheld: int = 0
    erased: int = 0


class Shown(NamedTuple):
    """What a store could add to a pack."""

    payloads: int = 0
    withheld: int = 0
    erased: int = 0


class _Commitment(msgspec.Struct):
    """The fields of a header that matter here."""

    receipt_id: str
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
            finished, shown = redacted, Shown()
            if store is not None:
                finished = Path(work) / "complete.zip"
                shown = complete_pack(redacted, finished, store)
            _sync(finished)
            size = finished.stat().st_size
            finished.replace(target)
    except OSError as error:
        raise StorageError(
            "pack_unwritable", f"{target} could not be written: {error.strerror}.", fix="Check the folder."
        ) from error
    return Exported(target, size, *shown)


def complete_pack(redacted: Path, target: Path, store: LocalStore) -> Shown:
    """Write `redacted` again with the payloads in `store`.

    It is no longer called redacted when nothing is missing but what was erased on the record.
    """
    with open_pack(redacted) as reader, zipfile.ZipFile(redacted) as archive, target.open("wb") as file:
        found = _Payloads(reader, store)
        contents = Contents(
            lines=reader.lines(),
            payloads=found.iterate(),
            heartbeats=reader.heartbeats(),
            page=EmbeddedPage(),
            readme=archive.read(README_FILE),
        )
        head = reader.head
        write_pack(file, contents, lambda: msgspec.structs.replace(head, redacted=found.shown().withheld > 0))
    return found.shown()


class _Payloads:
    """The payloads of the selected receipts, in their order."""

    def __init__(self, reader: PackReader, store: LocalStore) -> None:
        self._reader = reader
        self._store = store
        self._payloads = 0
        self._missing: set[str] = set()
        self._erased: set[str] = set()

    def iterate(self) -> Iterator[Payload]:
        for line in self._reader.lines():
            if _ERASURE in line:
                self._note_erasure(line)
            if not line.endswith(_SELECTED):
                continue
            record = parse_line(line).record
            if isinstance(record, msgspec.UnsetType):
                continue
            commitment = _commitment.decode(record.header.payload)
            if not commitment.payload_hash:
                continue
            payload = self._store.payload(commitment.payload_hash)
            if payload is None or not opens(payload, commitment.payload_hash):
                self._missing.add(commitment.receipt_id)
                continue
            self._payloads += 1
            yield payload

    def shown(self) -> Shown:
        """What was found, once all of it was asked for."""
        erased = len(self._missing & self._erased)
        return Shown(self._payloads, len(self._missing) - erased, erased)

    def _note_erasure(self, line: bytes) -> None:
        record = parse_line(line).record
        if not isinstance(record, msgspec.UnsetType) and record.statement.kind == ERASURE:
            self._erased.update(record.statement.body(ERASURE, Erasure).receipts)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
