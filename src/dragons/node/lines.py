"""Progress by what a program prints: lines that it has not printed lately. A line said again is nothing done.

Dates and times of day are left out before lines are compared, so that a clock in front of the same words
makes nothing new. Keeps digests of lines, never a line.
"""

from __future__ import annotations

import re
from hashlib import sha256
from threading import Lock

from dragons.liveness.progress import observe
from dragons.node.progress import Counted

OUTPUT = "output"
LINE_BYTES_MAX = 4096
# A traceback that comes again and again is a repetition as a whole.
MEMORY_DIGESTS = 1024
# Of one piece of output; who prints more at once is judged by these.
LINES_MAX = 256

_TIMES = re.compile(
    rb"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    rb"|\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?|\b\d{1,2}:\d{2}\b"
)
_BREAKS = re.compile(rb"[\r\n]+")


class Lines:
    """The novel lines of a program's streams. Written by one thread, read by another."""

    source = OUTPUT

    def __init__(self) -> None:
        self._lock = Lock()
        self._memory = b""
        self._begun: dict[str, bytes] = {}
        self._counted = Counted(0, "")

    def take(self, stream: str, data: bytes) -> None:
        """The program wrote `data` to `stream`; a carriage return ends a line as a line feed does."""
        *lines, rest = _BREAKS.split(self._begun.pop(stream, b"") + data)
        while len(rest) >= LINE_BYTES_MAX:
            lines.append(rest[:LINE_BYTES_MAX])
            rest = rest[LINE_BYTES_MAX:]
        if rest and data:
            self._begun[stream] = rest
        elif rest:
            # The stream has ended.
            lines.append(rest)
        # Each once and in order, before anything costly is done with them.
        for line in list(dict.fromkeys(lines))[:LINES_MAX]:
            self._see(line)

    def look(self) -> Counted:
        """How many novel lines there were, and a digest that binds them."""
        with self._lock:
            return self._counted

    def _see(self, line: bytes) -> None:
        said = _TIMES.sub(b"", line[:LINE_BYTES_MAX]).strip()
        if not said:
            return
        digest = sha256(said)
        self._memory, novel = observe(self._memory, digest.hexdigest(), digests_max=MEMORY_DIGESTS)
        if novel:
            with self._lock:
                self._counted = self._counted.then(digest.digest())
