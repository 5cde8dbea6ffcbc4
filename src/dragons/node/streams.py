"""A program's output on its way to the launcher's own: passed on at once, counted and digested.

Keeps no output. What nobody reads any more is not read either, so the program learns it as it would
without us.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

# Takes output that is for no stream of ours.
Sink = Callable[[bytes], object]

_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Stream:
    """One stream: read from `source`, written to `target`, a descriptor or whatever takes bytes."""

    name: str
    source: int
    target: int | Sink
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
        if not isinstance(self.target, int):
            self.target(data)
        elif not _write_all(self.target, data):
            self.close()
        return data

    def close(self) -> None:
        """Stop reading."""
        if self.open:
            self.open = False
            os.close(self.source)


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
