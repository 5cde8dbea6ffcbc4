"""What is looked at after a crash: the end of the service's output, and of files that the playbook names.

Reads bounded amounts only, and follows no link out of a folder that a pattern names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dragons.core.errors import InvalidInputError

TAIL_BYTES_MAX = 256 * 1024
FILES_MAX = 16
_WILD = frozenset("*?[")


class Source(NamedTuple):
    """One part of what was collected; `lines` of it are shown."""

    name: str
    text: str

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())


class Collected(NamedTuple):
    """Everything together. `missing` are patterns and files that gave nothing, with the reason."""

    sources: tuple[Source, ...]
    missing: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All parts, the service's own output last: it is the nearest to the crash."""
        return "".join(f"==> {one.name} <==\n{one.text}\n" for one in self.sources)


def last_lines(data: bytes, count: int) -> str:
    """The last `count` lines of `data`; what is no UTF-8 is replaced."""
    lines = data[-TAIL_BYTES_MAX:].decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-count:])


def collect(output: bytes, patterns: Sequence[str], folder: Path, count: int) -> Collected:
    """The last `count` lines of each file that a pattern names, and of the service's own output."""
    sources: list[Source] = []
    missing: list[str] = []
    for pattern in patterns:
        files = find_files(folder, pattern)
        if not files:
            missing.append(f"{pattern}: no such file")
        for path in files:
            if len(sources) >= FILES_MAX:
                missing.append(f"{path.name}: more than {FILES_MAX} files")
                continue
            try:
                sources.append(Source(path.name, last_lines(_tail(path), count)))
            except OSError as error:
                missing.append(f"{path.name}: {error.strerror}")
    sources.append(Source("output", last_lines(output, count)))
    return Collected(tuple(sources), tuple(missing))


def find_files(folder: Path, pattern: str) -> list[Path]:
    """The regular files that `pattern` names, relative to `folder` or absolute; the newest last."""
    base, rest = _fixed(folder, pattern)
    try:
        found = [base] if not rest else list(base.glob(rest))
    except (ValueError, OSError) as error:
        raise InvalidInputError(
            "pattern_malformed",
            f"{pattern!r} is no pattern for files: {error}.",
            fix="Correct on_crash.collect.",
        ) from error
    root = base if rest else base.parent
    inside = [path for path in found if path.is_file() and path.resolve().is_relative_to(root.resolve())]
    return sorted(inside, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _fixed(folder: Path, pattern: str) -> tuple[Path, str]:
    """The part of a pattern without wildcards as a path, and the rest of it."""
    parts = Path(pattern).parts
    wild = next((at for at, part in enumerate(parts) if _WILD & set(part)), len(parts))
    return folder.joinpath(*parts[:wild]), "/".join(parts[wild:])


def _tail(path: Path) -> bytes:
    # A name may be replaced by a pipe between finding and opening; opening one would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b""
        file.seek(max(0, status.st_size - TAIL_BYTES_MAX))
        return file.read(TAIL_BYTES_MAX)
