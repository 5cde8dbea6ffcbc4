"""The runner's side of the notifier: starts its program, delegates to the key it made, hears what came of it.

The runner holds `notify:…` only to hand it on. The notifier's process gets no token, no key of the runner's
and none of its variables of Dragons; what it may do is its own lease.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError
from dragons.core.keys import PublicKey
from dragons.identity.manifest import Manifest
from dragons.node.child import environment_of
from dragons.node.playbook.channel import LINE_BYTES_MAX, Handed, Hello, Notice, Order, Report
from dragons.sdk.session import Session
from dragons.sdk.statements import Child

LEASE_SECONDS = 600
ANSWER_SECONDS = 60.0
# Three attempts of at most ten seconds each, and the pauses between them.
NOTICE_SECONDS = 40.0
END_SECONDS = 10.0
_CHUNK_BYTES = 1 << 16

_Line = TypeVar("_Line", Hello, Report)


@dataclass(frozen=True, slots=True)
class NotifierProgram:
    """The notifier as an agent: what was measured of it, how it is started, and its channels' file."""

    manifest: Manifest
    command: tuple[str, ...]
    notifiers: Path


class NotifierError(DragonsError):
    """The notifier did not do its work; nobody was told by it."""

    status = 502

    def __init__(self, why: str) -> None:
        super().__init__(
            "notifier_failed", f"The notifier failed: {why}.", fix="Look at its session's receipts."
        )


def send_notices(program: NotifierProgram, session: Session, order: Order, clock: Clock) -> Report:
    """Let a notifier tell `order`'s notices under a lease of its own; NotifierError when it could not."""
    with _Process(program.command, clock, ANSWER_SECONDS + NOTICE_SECONDS * len(order.notices)) as process:
        process.write(order)
        hello = process.read(Hello)
        child = Child(program.manifest.agent, hello.instance_id, PublicKey(hello.key))
        granted = session.grant(child, program.manifest, scope=order.scope, ttl_seconds=LEASE_SECONDS)
        process.write(Handed(granted=granted))
        report = process.read(Report)
    if report.error:
        raise NotifierError(report.error)
    return report


def order_for(program: NotifierProgram, session: Session, notices: Sequence[Notice]) -> Order:
    """What the notifier is told to do."""
    place = session.instance.place
    return Order(
        url=place.url,
        tenant_id=session.instance.authority.lease.tenant_id,
        store=str(place.store.path),
        notifiers=str(program.notifiers),
        parent_session_id=session.session_id,
        goal=f"tell people: {session.goal}",
        scope=sorted({one.capability for one in notices}),
        notices=list(notices),
    )


class _Process:
    """A notifier that runs; it is ended when the block is left."""

    def __init__(self, command: Sequence[str], clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until_ms = clock.boot_ms() + int(seconds * 1000)
        self._begun = b""
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment_of(os.environ, {}),
                cwd="/",
                # Ctrl-C is for the runner, which decides what is still told.
                start_new_session=True,
            )
        except OSError as error:
            raise NotifierError(f"it can't be started: {error.strerror}") from error

    def write(self, value: Order | Handed) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - a pipe
        try:
            stdin.write(msgspec.json.encode(value) + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            # It has told why, if it could.
            raise NotifierError(self.read(Report).error or "it ended early") from error

    def read(self, kind: type[_Line]) -> _Line:
        """The next line; NotifierError when it is another one, or does not come in time."""
        line = self._line()
        try:
            answer = msgspec.json.decode(line, type=Hello | Report)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotifierError("it sent something else" if line else "it ended without a word") from error
        if not isinstance(answer, kind):
            raise NotifierError(getattr(answer, "error", "") or f"it sent no {kind.__name__}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _line(self) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._begun:
                left_ms = self._until_ms - self._clock.boot_ms()
                if left_ms <= 0 or not selector.select(left_ms / 1000):
                    raise NotifierError("it took too long")
                data = os.read(stdout.fileno(), _CHUNK_BYTES)
                if not data or len(self._begun) > LINE_BYTES_MAX:
                    break
                self._begun += data
        line, _, self._begun = self._begun.partition(b"\n")
        return line
