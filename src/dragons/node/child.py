"""Starting a program under a launcher: unmodified, its streams passed through, never outliving us.

The kernel kills the program when its launcher dies (PR_SET_PDEATHSIG); what the program itself started
is reached through its process group. Never uses a shell, and never hands on a variable of Dragons but
its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dragons.core.errors import InvalidInputError
from dragons.node.streams import Sink, Stream

_PR_SET_PDEATHSIG = 1
_LOST_PARENT = 127
_PREFIX = "DRAGONS_"
STDIN, STDOUT, STDERR = 0, 1, 2


def environment_of(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The program's environment: ours without any variable of Dragons, and those it is given."""
    return {name: value for name, value in own.items() if not name.startswith(_PREFIX)} | dict(given)


class Child:
    """A program that runs. Where we have a terminal, it has one of its own in between.

    `attended` False says that our terminal and our input are not for it: it reads nothing. `sink` takes its
    output instead of our own streams. It dies with the thread that started it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path | None,
        *,
        attended: bool = True,
        sink: Sink | None = None,
    ) -> None:
        self._sink = sink
        self._terminal: tuple[int, int] | None = None
        self._saved: list[Any] | None = None
        self._attended = attended
        self._is_terminal = [
            attended and sink is None and os.isatty(number) for number in (STDIN, STDOUT, STDERR)
        ]
        self.command = list(command)
        self.streams: list[Stream] = []
        self._theirs: list[int] = []
        self._process = self._start(dict(environment), folder)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    @property
    def keyboard(self) -> tuple[int, int] | None:
        """Where to read keys and where to write them, when our input is a terminal."""
        return (STDIN, self._terminal[0]) if self._terminal and self._is_terminal[STDIN] else None

    def signal(self, number: int) -> None:
        """Send a signal to the program and all of its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def resize(self) -> None:
        """Give the program's terminal the size of ours."""
        if self._terminal is not None:
            with suppress(OSError):
                size = fcntl.ioctl(self._own_terminal(), termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
                fcntl.ioctl(self._terminal[0], termios.TIOCSWINSZ, size)

    def raw(self) -> None:
        """Let every key go to the program: its terminal decides what Ctrl-C means."""
        if self.keyboard is not None:
            self._saved = termios.tcgetattr(STDIN)
            tty.setraw(STDIN)

    def has_ended(self) -> bool:
        """True when the program itself is over."""
        return self._process.poll() is not None

    def finish(self) -> int:
        """Wait for the program and end what it left in its group; negative when a signal ended it."""
        code = self._process.wait()
        self.signal(signal.SIGKILL)
        return code

    def close(self) -> None:
        """Give everything back; the program is killed if it still runs."""
        if self._saved is not None:
            with suppress(termios.error):
                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._saved)
            self._saved = None
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait()
        for stream in self.streams:
            stream.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self._terminal is not None:
            with suppress(OSError):
                os.close(self._terminal[0])
            self._terminal = None

    def _start(self, environment: dict[str, str], folder: Path | None) -> subprocess.Popen[bytes]:
        if self._is_terminal[STDIN] or self._is_terminal[STDOUT]:
            self._terminal = self._pair()
            self.resize()
        stdin = self._terminal[1] if self._terminal and self._is_terminal[STDIN] else None
        if not self._attended:
            stdin = subprocess.DEVNULL
        stdout = self._outlet("stdout", STDOUT)
        stderr = self._outlet("stderr", STDERR)
        try:
            return subprocess.Popen(
                self.command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                cwd=folder,
                start_new_session=self._terminal is not None,
                process_group=None if self._terminal is not None else 0,
                # Binding to the launcher has to happen in the new process, before the program begins.
                preexec_fn=_binding(self._terminal[1] if self._terminal else None),  # noqa: PLW1509
            )
        except OSError as error:
            self._abandon()
            raise InvalidInputError(
                "program_unstartable",
                f"{self.command[0]!r} can't be started: {error.strerror}.",
                fix="Check the name, the PATH and its permissions.",
            ) from error
        finally:
            for descriptor in self._theirs:
                os.close(descriptor)

    def _outlet(self, name: str, target: int) -> int:
        """The descriptor that the program writes to."""
        if target == STDOUT and self._is_terminal[STDOUT] and self._terminal is not None:
            self.streams.append(Stream(name, os.dup(self._terminal[0]), target))
            return self._terminal[1]
        if target == STDERR and self._is_terminal[STDERR]:
            ours, theirs = self._pair()
        else:
            ours, theirs = os.pipe()
            self._theirs.append(theirs)
        self.streams.append(Stream(name, ours, target if self._sink is None else self._sink))
        return theirs

    def _pair(self) -> tuple[int, int]:
        ours, theirs = pty.openpty()
        self._theirs.append(theirs)
        return ours, theirs

    def _own_terminal(self) -> int:
        return STDIN if self._is_terminal[STDIN] else STDOUT

    def _abandon(self) -> None:
        for stream in self.streams:
            stream.close()
        if self._terminal is not None:
            os.close(self._terminal[0])
            self._terminal = None


def _binding(terminal: int | None) -> Callable[[], None]:
    # Loaded here, because little is safe between fork and exec.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(_LOST_PARENT)
        if terminal is not None:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    return bind


def signal_name(number: int) -> str:
    """`SIGTERM` for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def flush_own() -> None:
    """Write out what this process has printed, so that it stands before the program's own."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
