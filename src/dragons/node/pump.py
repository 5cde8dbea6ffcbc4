"""The launcher's waiting room: passes output, keys and signals until the program is over.

Freezes the program while its lease has lapsed and may yet be renewed; stops it when it has lost its
authority: SIGTERM, then after a grace SIGKILL. Never leaves a signal handler behind.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import NamedTuple

from dragons.core.clock import Clock
from dragons.node.child import Child, flush_own, signal_name
from dragons.node.options import Ended
from dragons.node.streams import Stream

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
GRACE_MS = 10_000
TICK_SECONDS = 0.2
# What the program's own children still write after its end is waited for this long.
DRAIN_MS = 1_000
_KEYS_BYTES = 4096
_SIGNAL_BASE = 128
# Ctrl-C and Ctrl-\ on a keyboard.
_ENDING_KEYS = frozenset(b"\x03\x1c")


class Verdict(NamedTuple):
    """Whether the program may run: it may, unless there is a reason to `stop` it, or to `freeze` it for now.

    `wait` leaves it as it is.
    """

    stop: str = ""
    freeze: str = ""
    wait: bool = False


class Pump:
    """One program from start to end. `tell` hears when it is frozen and when it goes on."""

    def __init__(
        self,
        child: Child,
        take: Callable[[str, bytes], None],
        judge: Callable[[], Verdict],
        clock: Clock,
        *,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._child = child
        self._take = take
        self._judge = judge
        self._clock = clock
        self._tell = tell
        self._selector = selectors.DefaultSelector()
        self._stopped_because = ""
        self._frozen_because = ""
        self._kill_ms = 0

    def run(self, early: Sequence[int] = ()) -> Ended:
        """Wait for the end; `early` are signals that came before the program had begun."""
        started_ms = self._clock.boot_ms()
        flush_own()
        with forwarding(self._signal):
            self._child.raw()
            try:
                self._register()
                for number in early:
                    self._signal(number)
                while not self._child.has_ended():
                    self._turn(TICK_SECONDS)
                    self._watch()
                self._rest()
                code = self._child.finish()
            finally:
                self._selector.close()
                self._child.close()
        out, err = self._child.streams
        return Ended(
            exit_status=code if code >= 0 else _SIGNAL_BASE - code,
            signal="" if code >= 0 else signal_name(-code),
            duration_ms=self._clock.boot_ms() - started_ms,
            stdout_sha256=out.sha256,
            stdout_bytes=out.size,
            stderr_sha256=err.sha256,
            stderr_bytes=err.size,
            stopped_because=self._stopped_because,
        )

    def _register(self) -> None:
        for stream in self._child.streams:
            self._selector.register(stream.source, selectors.EVENT_READ, stream)
        self._selector.register(self._child.pidfd, selectors.EVENT_READ, None)
        keyboard = self._child.keyboard
        if keyboard is not None:
            self._selector.register(keyboard[0], selectors.EVENT_READ, self._keys)

    def _turn(self, seconds: float) -> bool:
        """Serve what is ready; False when nothing was."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if isinstance(key.data, Stream):
                self._pass(key.data)
            elif key.data is not None:
                key.data()
        return any(key.data is not None for key, _ in ready)

    def _pass(self, stream: Stream) -> None:
        source = stream.source
        data = stream.pass_on()
        self._take(stream.name, data)
        if not stream.open:
            self._selector.unregister(source)

    def _keys(self) -> None:
        keyboard = self._child.keyboard
        if keyboard is None:
            return
        data = os.read(keyboard[0], _KEYS_BYTES)
        if not data:
            self._selector.unregister(keyboard[0])
            return
        os.write(keyboard[1], data)
        if self._frozen_because and not _ENDING_KEYS.isdisjoint(data):
            self._stop(self._frozen_because)

    def _watch(self) -> None:
        """Freeze the program while it may not run, and stop it when it never may again."""
        if self._stopped_because:
            if self._clock.boot_ms() >= self._kill_ms:
                self._child.signal(signal.SIGKILL)
            return
        verdict = self._judge()
        if verdict.stop:
            self._tell(f"{verdict.stop}: the program is stopped")
            self._stop(verdict.stop)
        elif verdict.freeze:
            # Every time: somebody else could let it go on, and it could start others.
            self._child.signal(signal.SIGSTOP)
            if not self._frozen_because:
                self._tell(f"{verdict.freeze}: the program is frozen until its lease is renewed")
            self._frozen_because = verdict.freeze
        elif self._frozen_because and not verdict.wait:
            self._frozen_because = ""
            self._tell("the lease was renewed: the program goes on")
            self._child.signal(signal.SIGCONT)

    def _stop(self, reason: str) -> None:
        self._stopped_because, self._frozen_because = reason, ""
        self._kill_ms = self._clock.boot_ms() + GRACE_MS
        self._child.signal(signal.SIGTERM)
        # A stopped program could not even notice.
        self._child.signal(signal.SIGCONT)

    def _rest(self) -> None:
        """Pass on what was written before the end."""
        until_ms = self._clock.boot_ms() + DRAIN_MS
        while any(stream.open for stream in self._child.streams) and self._clock.boot_ms() < until_ms:
            if not self._turn(0.05) and not _group_lives(self._child.pid):
                break

    def _signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._child.resize()
            return
        self._child.signal(number)
        if self._frozen_because:
            # Whoever wants it to end now need not wait for a lease.
            self._stop(self._frozen_because)


@contextmanager
def forwarding(take: Callable[[int], None]) -> Iterator[None]:
    """Hand our signals to `take`; only the main thread of a program can."""
    if current_thread() is not main_thread():
        yield
        return
    numbers = (*FORWARDED, signal.SIGWINCH)
    before = {number: signal.signal(number, lambda given, _: take(given)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
