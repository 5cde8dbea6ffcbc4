"""The service as a process: started, its output kept at its end, watched, stopped.

It gets no variable of Dragons, no terminal and no input, and dies with the runner. Never restarts
anything: what is to be done about an end is decided elsewhere.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2

from dragons.core.clock import Clock
from dragons.node.child import Child, environment_of, flush_own, signal_name
from dragons.node.playbook.collect import TAIL_BYTES_MAX
from dragons.node.playbook.format import Ready, Service
from dragons.node.streams import Stream

# What the service's own children still write after its end is waited for this long.
DRAIN_MS = 1_000
PROBE_SECONDS = 2.0
_DRAIN_TICK_SECONDS = 0.05
_SIGNAL_BASE = 128
_BAD_STATUS = 400
_PROBE_BYTES = 4_096

Take = Callable[[str, bytes], None]


class Ended(NamedTuple):
    """How the service ended, and what it wrote, as digests. `exit_status` is as a shell says it."""

    exit_status: int
    signal: str
    duration_ms: int
    stdout_sha256: str
    stdout_bytes: int
    stderr_sha256: str
    stderr_bytes: int

    @property
    def how(self) -> str:
        """`exit status 3` or `signal SIGKILL`."""
        return f"signal {self.signal}" if self.signal else f"exit status {self.exit_status}"


class Tail:
    """The end of what was written, both streams together as they came."""

    def __init__(self, bytes_max: int = TAIL_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._data = bytearray()

    def take(self, data: bytes) -> None:
        """Keep this, and forget what is too old."""
        self._data += data
        if len(self._data) > 2 * self._bytes_max:
            del self._data[: -self._bytes_max]

    @property
    def data(self) -> bytes:
        """At most the last `bytes_max` bytes."""
        return bytes(self._data[-self._bytes_max :])


class Running:
    """One start of the service. Made in the thread that lives longest: its end is the service's."""

    def __init__(
        self, service: Service, folder: Path, clock: Clock, take: Take, *, hidden: Sequence[str] = ()
    ) -> None:
        """InvalidInputError when it can't be started. `hidden` variables of ours are not for it."""
        self._clock = clock
        self._take = take
        self._grace_ms = int(service.stop_grace_seconds * 1000)
        self._kill_ms = -1
        self.tail = Tail()
        flush_own()
        own = {name: value for name, value in os.environ.items() if name not in hidden}
        environment = environment_of(own, service.environment)
        self.started_boot_ms = clock.boot_ms()
        self._child = Child(service.command, environment, folder, attended=False)
        self._selector = selectors.DefaultSelector()
        for stream in self._child.streams:
            self._selector.register(stream.source, selectors.EVENT_READ, stream)
        self._selector.register(self._child.pidfd, selectors.EVENT_READ, None)

    @property
    def pid(self) -> int:
        return self._child.pid

    def serve(self, seconds: float) -> Ended | None:
        """Pass on what it writes for at most `seconds`; how it ended, None while it runs."""
        self._turn(seconds)
        if 0 <= self._kill_ms <= self._clock.boot_ms():
            self._child.signal(signal.SIGKILL)
        return self._ending() if self._child.has_ended() else None

    def stop(self) -> None:
        """Ask it to end; after its grace it is killed. Asked again, it is killed at once."""
        if self._kill_ms >= 0:
            self._kill_ms = self._clock.boot_ms()
            return
        self._kill_ms = self._clock.boot_ms() + self._grace_ms
        self._child.signal(signal.SIGTERM)
        # A stopped program could not even notice.
        self._child.signal(signal.SIGCONT)

    @property
    def is_stopping(self) -> bool:
        """True once it was asked to end."""
        return self._kill_ms >= 0

    def freeze(self) -> None:
        """Hold it still while there is no authority for it."""
        self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._child.signal(signal.SIGCONT)

    def close(self) -> None:
        """Give everything back; the service is killed if it still runs."""
        self._selector.close()
        self._child.close()

    def _turn(self, seconds: float) -> bool:
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if isinstance(key.data, Stream):
                self._pass(key.data)
        return any(key.data is not None for key, _ in ready)

    def _pass(self, stream: Stream) -> None:
        source = stream.source
        data = stream.pass_on()
        self.tail.take(data)
        self._take(stream.name, data)
        if not stream.open:
            self._selector.unregister(source)

    def _ending(self) -> Ended:
        until_ms = self._clock.boot_ms() + DRAIN_MS
        self._selector.unregister(self._child.pidfd)
        while any(stream.open for stream in self._child.streams) and self._clock.boot_ms() < until_ms:
            if not self._turn(_DRAIN_TICK_SECONDS) and not _group_lives(self._child.pid):
                break
        code = self._child.finish()
        out, err = self._child.streams
        ended = Ended(
            exit_status=code if code >= 0 else _SIGNAL_BASE - code,
            signal="" if code >= 0 else signal_name(-code),
            duration_ms=self._clock.boot_ms() - self.started_boot_ms,
            stdout_sha256=out.sha256,
            stdout_bytes=out.size,
            stderr_sha256=err.sha256,
            stderr_bytes=err.size,
        )
        self.close()
        return ended


def probe(ready: Ready) -> bytes | None:
    """What the service answered, None when it did not; a connection taken is an answer without bytes."""
    if ready.tcp:
        host, _, port = ready.tcp.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), PROBE_SECONDS):
                return b""
        except (OSError, OverflowError):
            return None
    try:
        with httpx2.stream("GET", ready.url, timeout=PROBE_SECONDS, trust_env=False) as response:
            data = next(response.iter_bytes(_PROBE_BYTES), b"")
            return data if response.status_code < _BAD_STATUS else None
    except (httpx2.HTTPError, OSError):
        return None


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
