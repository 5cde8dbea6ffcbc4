"""Progress by the files that a program changes: contents that were not seen before.

Looks at size and time first and reads only what changed, within limits for each look. Follows no symbolic
link, opens regular files only, and what can't be read is left out. Keeps digests, never contents.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from dragons.core.errors import NotFoundError
from dragons.liveness.progress import observe
from dragons.node.progress import Counted

FILES = "files"
FILES_MAX = 10_000
LOOK_BYTES_MAX = 64 << 20
# Of a longer file, its size and both of its ends stand for it.
FILE_BYTES_MAX = 8 << 20
MEMORY_DIGESTS = 1024
_CHUNK_BYTES = 1 << 20


class _Mark(NamedTuple):
    """How a file looked; `digest` is None until it was read."""

    size: int
    mtime_ns: int
    digest: str | None = None


class Files:
    """The files beneath `paths`, except those beneath `without`. One thread looks."""

    source = FILES

    def __init__(self, paths: Sequence[Path], without: Sequence[Path] = ()) -> None:
        """What they hold now is no progress. NotFoundError for a path whose folder does not exist."""
        self._paths = [path.resolve() for path in paths]
        self._without = {path.resolve() for path in without}
        for path in self._paths:
            # The program may make what is watched, but not where that lies: a slip of the pen would.
            if not path.parent.is_dir():
                raise NotFoundError(
                    "watch_missing",
                    f"There is no {path} to watch.",
                    fix="Make its folder, or correct the path.",
                )
        self._memory = b""
        self._counted = Counted(0, "")
        self._marks = dict(self._found())

    def look(self) -> Counted:
        """How many novel contents were seen so far, and a digest that binds them."""
        found = dict(self._found())
        changed = [name for name, mark in found.items() if not _same(self._marks.get(name), mark)]
        unread = [
            name for name, mark in self._marks.items() if mark.digest is None and _same(mark, found.get(name))
        ]
        self._marks = {name: mark for name, mark in self._marks.items() if name in found}
        left = LOOK_BYTES_MAX
        for name, counts in [*((one, True) for one in changed), *((one, False) for one in unread)]:
            mark = found[name]
            left -= min(mark.size, FILE_BYTES_MAX)
            if left < 0:
                break
            digest = _digest(name, mark.size)
            self._marks[name] = mark._replace(digest=digest)
            if digest:
                self._see(digest, counts=counts)
        return self._counted

    def _see(self, digest: str, *, counts: bool) -> None:
        self._memory, novel = observe(self._memory, digest, digests_max=MEMORY_DIGESTS)
        if novel and counts:
            self._counted = self._counted.then(bytes.fromhex(digest))

    def _found(self) -> Iterator[tuple[str, _Mark]]:
        """The first `FILES_MAX` files, in the order of their names."""
        count = 0
        for root in self._paths:
            for path in self._walk(root):
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield path, _Mark(status.st_size, status.st_mtime_ns)
                    count += 1
                if count >= FILES_MAX:
                    return

    def _walk(self, root: Path) -> Iterator[str]:
        if not root.is_dir():
            yield str(root)
            return
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(one for one in folders if Path(folder, one) not in self._without)
            for name in sorted(files):
                yield os.path.join(folder, name)  # noqa: PTH118 - ten thousand of them at every beat


def _same(before: _Mark | None, after: _Mark | None) -> bool:
    return before is not None and after is not None and before[:2] == after[:2]


def _digest(name: str, size: int) -> str:
    """SHA-256 of a file's contents, or of size and both ends; empty when it can't be read."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            if size <= FILE_BYTES_MAX:
                return sha256(file.read(FILE_BYTES_MAX)).hexdigest()
            digest = sha256(str(size).encode())
            digest.update(file.read(FILE_BYTES_MAX // 2))
            file.seek(size - FILE_BYTES_MAX // 2)
            digest.update(file.read(FILE_BYTES_MAX // 2))
            return digest.hexdigest()
        except OSError:
            return ""
