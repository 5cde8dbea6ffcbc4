"""Evidence packs, written in full before the first byte is sent.

A failure is therefore a problem, and never a pack that ends early.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import msgspec
from starlette.responses import StreamingResponse

from dragons.api.operation import Call, Operation
from dragons.audit.pack import Pack, Selection
from dragons.control.export import export_pack
from dragons.control.ports import Reader
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import StorageError
from dragons.wire.evidence import PackRequest

MEDIA_TYPE = "application/zip"
_CHUNK = 256 * 1024
_BEGINNING = format_time(0)


async def export(call: Call[PackRequest]) -> StreamingResponse:
    """A redacted pack of a session, an agent, a window or, when nothing is named, the whole ledger."""
    backend, tenant_id = call.backend, call.caller.tenant_id
    now_ms = backend.clock.now_ms()
    selection = select(call.input, now_ms)
    ledger = backend.keyring.ledger(tenant_id)

    def job(reader: Reader) -> tuple[Pack, IO[bytes]]:
        with ExitStack() as failed:
            try:
                file = failed.enter_context(tempfile.TemporaryFile(dir=backend.settings.home))
                pack = export_pack(reader, ledger, tenant_id, selection, file, now_ms=now_ms)
            except OSError as error:
                raise StorageError(
                    "export_failed",
                    f"The pack could not be written: {error.strerror}.",
                    fix="Free disk space.",
                ) from error
            failed.pop_all()
            return pack, file

    pack, file = await backend.work(job)
    size = file.seek(0, os.SEEK_END)
    return StreamingResponse(
        _chunks(file),
        media_type=MEDIA_TYPE,
        headers={
            "content-length": str(size),
            "content-disposition": f'attachment; filename="{pack.pack_id}.zip"',
            "cache-control": "no-store",
        },
    )


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(_CHUNK):
            yield chunk


def select(wanted: PackRequest, now_ms: int) -> Selection:
    """The selection that a request means; an open window begins with the ledger and ends now."""
    if wanted.session_id:
        kind = "session"
    elif wanted.agent:
        kind = "agent"
    else:
        kind = "window" if wanted.since or wanted.until else "ledger"
    since, until = wanted.since, wanted.until
    if kind == "window":
        since, until = since or _BEGINNING, until or format_time(now_ms)
    for time in filter(None, (since, until)):
        parse_time(time)
    return Selection(
        kind=kind,
        session_id=wanted.session_id or msgspec.UNSET,
        agent=wanted.agent or msgspec.UNSET,
        since=since or msgspec.UNSET,
        until=until or msgspec.UNSET,
    )


OPERATIONS = (Operation("packs.export", "POST", "/v1/packs", export, PackRequest, MEDIA_TYPE),)
