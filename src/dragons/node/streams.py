"""A program's output on its way to the launcher's own: passed on at once, counted and digested.

Keeps no output. What nobody reads any more is not read either, so the program learns it as it would
without us.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass, field
from threading import Lock

from dragons.liveness.heartbeat import Progress

_CHUNK_BYTES = 1 << 16
OUTPUT = "output"


@dataclass(slots=True)
class Stream:
    """One stream: read from `source`, written to `target`."""

    name: str
    source: int
    target: int
    size: int = 0
    open: bool = True
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """The digest of everything so far."""
        return self._digest.hexdigest()

    def pass_on(self) -> bytes:
        """Read what is there and write it on; empty at the end, when the stream is closed."""
        try:
            data = os.read(self.source, _CHUNK_BYTES)
        except OSError as error:
            # A terminal whose other side is gone ends like this.
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.close()
            return b""
        self._digest.update(data)
        self.size += len(data)
        if not _write_all(self.target, data):
            self.close()
        return data

    def close(self) -> None:
        """Stop reading."""
        if self.open:
            self.open = False
            os.close(self.source)


class OutputProgress:
    """Progress by what a program writes: how much, and a running digest of it. Shared by two threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._digest = hashlib.sha256()
        self.bytes = 0

    def take(self, data: bytes) -> None:
        """The program wrote something."""
        with self._lock:
            self._digest.update(data)
            self.bytes += len(data)

    def now(self, receipts: Progress | None) -> Progress | None:
        """What was seen so far, together with the receipts on the record; None when there is nothing.

        Both counts only grow, so their sum does; the digest is of the output where there is some,
        bound to the newest receipt where there is one.
        """
        with self._lock:
            sequence = self.bytes + (0 if receipts is None else receipts.sequence)
            if not self.bytes:
                return receipts
            digest = self._digest.copy()
        if receipts is not None:
            digest.update(bytes.fromhex(receipts.digest))
        return Progress(sequence=sequence, digest=digest.hexdigest(), source=OUTPUT)


def _write_all(target: int, data: bytes) -> bool:
    """False when nobody reads the target any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BrokenPipeError:
            return False
        except BlockingIOError:
            # A terminal or pipe that another program made non-blocking.
            os.set_blocking(target, True)
    return True
