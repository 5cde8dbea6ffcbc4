"""Processes that a measurement talks to: one JSON value a line, to and fro. None outlives its measurement."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 30


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
