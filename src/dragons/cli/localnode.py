"""The node that `dragons up` runs beside the control plane: a process of its own that never outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PAUSE_SECONDS_FIRST = 1.0
PAUSE_SECONDS_MAX = 60.0
# A node ends its programs first: SIGTERM, a grace, SIGKILL, and their last receipts.
END_SECONDS_MAX = 40.0


def node_command(home: Path, url: str) -> list[str]:
    """How the node is started; it ends with this process."""
    from dragons.node.standing import LOCAL

    return [
        sys.executable, "-m", "dragons.cli", "node", "--name", LOCAL, "--parent", str(os.getpid()),
        "--home", str(home), "--url", url,
    ]  # fmt: skip


class LocalNode:
    """Started again when it ends by itself. The kernel binds it to the thread that calls `keep`."""

    def __init__(
        self,
        command: Sequence[str],
        tell: Callable[[str], object],
        *,
        pause_seconds: float = PAUSE_SECONDS_FIRST,
    ) -> None:
        self._command = list(command)
        self._tell = tell
        self._pause_seconds = pause_seconds
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Run the node until `end`."""
        pause_seconds = self._pause_seconds
        while (process := self._start()) is not None:
            code = process.wait()
            if self._ending.is_set():
                return
            self._tell(f"The node ended with status {code}; it is started again in {pause_seconds:.0f} s.")
            self._ending.wait(pause_seconds)
            pause_seconds = min(PAUSE_SECONDS_MAX, pause_seconds * 2)

    def end(self) -> None:
        """Have the node end its programs and leave; returns when it is gone."""
        with self._lock:
            self._ending.set()
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes] | None:
        from dragons.node.child import environment_of

        with self._lock:
            if self._ending.is_set():
                return None
            # Ctrl-C at a terminal is for the control plane, which ends the node while it still answers it.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment_of(os.environ, {}),
                start_new_session=True,
            )
            return self._process
