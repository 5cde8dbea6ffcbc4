"""Processes of a measurement: one that is talked to, one JSON value a line, and one that ends with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 30


# prctl(2): the signal that the kernel sends to a process when its parent ends.
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that was ended.

    For the workers of a pool, which otherwise go on with minutes of work that nobody waits for.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused PR_SET_PDEATHSIG")
    if os.getppid() == 1:
        # The parent ended before the kernel was told.
        os.kill(os.getpid(), signal.SIGTERM)


class Talk:
    """Both ends of a process's pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def say(self, what: object) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")
        self._process.stdin.flush()

    def hear(self, form: type[T]) -> T:
        """The next line as `form`; AssertionError when the process has ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a process of the benchmark ended; what it said is above"
        return msgspec.json.decode(line, type=form)


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Talk]:
    """A process of ours, run at the root of the checkout; it has ended when this ends."""
    with subprocess.Popen(  # noqa: S603 - our own programs
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield Talk(process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
