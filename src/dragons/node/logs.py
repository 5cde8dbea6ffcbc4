"""The output of supervised programs as files: one for each epoch of a dispatch, bounded in size and number.

A file that is full is set aside as `.1`, the one before as `.2`; older ones go. A disk that takes nothing
more loses output, never the program.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dragons.core.ids import DISPATCH, check_id
from dragons.sdk.home import FOLDER_MODE, SECRET_MODE, Home

FOLDER = "logs"
BYTES_MAX = 10 << 20
KEPT = 2
EPOCHS_MAX = 20


def log_path(home: Home, tenant_id: str, dispatch_id: str, epoch: int) -> Path:
    """The file of one epoch."""
    folder = home.store_path(tenant_id).parent / FOLDER / check_id(DISPATCH, dispatch_id)
    return folder / f"{epoch}.log"


def epochs_in(folder: Path) -> list[int]:
    """The epochs that have output in a dispatch's folder, oldest first."""
    names = [path.stem for path in folder.glob("*.log")] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


class Log:
    """The output of one epoch; used by one thread. `tell` hears once that output is lost."""

    def __init__(
        self,
        path: Path,
        tell: Callable[[str], object] = lambda _: None,
        *,
        bytes_max: int = BYTES_MAX,
        kept: int = KEPT,
    ) -> None:
        self._path = path
        self._tell = tell
        self._bytes_max = bytes_max
        self._kept = kept
        self._file = -1
        self._size = 0
        self._losing = False

    def write(self, data: bytes) -> None:
        """Append; what can't be written is lost."""
        try:
            view = memoryview(data)
            while view:
                if self._file < 0:
                    self._open()
                if self._size >= self._bytes_max:
                    self._rotate()
                written = os.write(self._file, view[: self._bytes_max - self._size])
                self._size += written
                view = view[written:]
        except OSError as error:
            if not self._losing:
                self._tell(f"output is lost: {self._path}: {error.strerror}")
            self._losing = True
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        folder = self._path.parent
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        self._prune()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, SECRET_MODE)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            newer = self._path.with_name(f"{self._path.name}.{number - 1}" if number > 1 else self._path.name)
            with suppress(FileNotFoundError):
                newer.replace(self._path.with_name(f"{self._path.name}.{number}"))
        self._open()

    def _prune(self) -> None:
        """Delete the output of all but the newest epochs."""
        folder = self._path.parent
        for epoch in epochs_in(folder)[:-EPOCHS_MAX]:
            for old in folder.glob(f"{epoch}.log*"):
                with suppress(OSError):
                    old.unlink()
