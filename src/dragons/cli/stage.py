"""Where the demo plays: runs the real commands, shows each with its real output, checks each exit code."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dragons.cli.output import console
from dragons.core.clock import SystemClock

if TYPE_CHECKING:
    from dragons.sdk.client import OperatorClient

_START_SECONDS_MAX = 60
_COMMAND_SECONDS_MAX = 300
# The node ends what it runs first.
_STOP_SECONDS_MAX = 60
_LOOK_SECONDS = 0.2
_LOOKS_MAX = 600
_WIDTH_MIN = 60


def _everything(_line: str) -> bool:
    return True


class Surprise(Exception):  # noqa: N818 - not an error of the program but of the play
    """Something did not come out as it should."""


class Stage:
    """A temporary home with a control plane of its own, and a numbered narrative on standard output."""

    def __init__(self, home: Path, *, steps: int) -> None:
        self.home = home
        self.steps = steps
        self._step = 0
        self._server: subprocess.Popen[str] | None = None
        self._client: OperatorClient | None = None
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DRAGONS_") or name == "DRAGONS_VECTORS"
        } | {"DRAGONS_HOME": str(home), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        # Commands of the demo find the interpreter that the demo itself runs in.
        folder = str(Path(sys.executable).parent)
        self._environment["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"

    def say(self, text: str) -> None:
        """A line of the narrative."""
        console().print(text, markup=False, highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """The next step."""
        self._step += 1
        self.say("")
        console().print(
            f"{self._step}/{self.steps}  {text}", style="bold", markup=False, highlight=False, soft_wrap=True
        )

    def expect(self, holds: bool, otherwise: str) -> None:
        """Surprise with `otherwise` unless it holds."""
        if not holds:
            raise Surprise(otherwise)

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait until it holds; Surprise with `otherwise` when it does not come to that."""
        for _ in range(_LOOKS_MAX):
            if holds():
                return
            time.sleep(_LOOK_SECONDS)
        raise Surprise(otherwise)

    def start(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Start the control plane and wait until it says that it is ready."""
        given = [f"{name}={value}" for name, value in environment.items()]
        self._show(" ".join([*given, "dragons"]), ["up", "--port", "0"])
        command = [*_DRAGONS, "up", "--port", "0", "-o", "json"]
        log = self.home.parent / "control-plane.log"
        with log.open("w", encoding="utf-8") as errors:
            self._server = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env={**self._environment, **environment},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._server.stdout is not None  # noqa: S101 - it is a pipe
        ready = _first_line(self._server, _START_SECONDS_MAX)
        if not ready:
            self.close()
            raise Surprise(f"the control plane did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
        told = json.loads(ready)
        self._environment["DRAGONS_URL"] = told["url"]
        # Here, because help and verification need no HTTP client.
        from dragons.sdk.client import OperatorClient
        from dragons.sdk.home import Home

        token = Home(self.home).token(told["tenant_id"])
        self._client = OperatorClient(told["url"], token, clock=SystemClock())
        self.say(f"  ready at {told['url']}, tenant {told['tenant_id']}")

    def client(self) -> OperatorClient:
        """A client of the control plane that runs: what is waited for is asked without a command."""
        if self._client is None:
            raise Surprise("there is no control plane to ask")
        return self._client

    def stop(self) -> None:
        """Stop the control plane, as a person would with Ctrl-C."""
        self._hang_up()
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Surprise("the control plane did not stop when told to") from None
        finally:
            _end(server)

    def close(self) -> None:
        """Leave nothing running."""
        self._hang_up()
        server, self._server = self._server, None
        if server is not None:
            _end(server)

    def dragons(
        self, *words: str, expected: int = 0, shows: Callable[[str], bool] = _everything
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the program; Surprise when it ends with another exit code.

        Lines of its output that `shows` refuses are counted instead of shown.
        """
        self._show("dragons", words)
        return self._run([*_DRAGONS, *words], expected, cwd=None, shows=shows)

    def program(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run another program in `cwd`."""
        self._show(words[0], words[1:])
        return self._run(list(words), 0, cwd=cwd)

    def _run(
        self,
        words: list[str],
        expected: int,
        *,
        cwd: Path | None,
        shows: Callable[[str], bool] = _everything,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - commands of the demo, no shell
            words,
            env=self._environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS_MAX,
        )
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        shown = [line for line in lines if shows(line)]
        for line in shown:
            self.say(f"  {line}".rstrip())
        if len(shown) < len(lines):
            self.say(f"  ({len(lines) - len(shown)} more lines)")
        if done.returncode != expected:
            raise Surprise(f"it ended with exit code {done.returncode}, not {expected}")
        if expected:
            self.say(f"  (exit code {done.returncode})")
        return done

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _show(self, program: str, words: Sequence[str]) -> None:
        """The command as a person could paste it, an option and its value never on different lines."""
        lines = [f"  $ {program}"]
        for piece in pieces(words):
            if len(lines[-1]) + len(piece) + 3 > _width():
                lines[-1] += " \\"
                lines.append("     ")
            lines[-1] += f" {piece}"
        for line in lines:
            console().print(line, style="cyan", markup=False, highlight=False, soft_wrap=True)


def pieces(words: Sequence[str]) -> list[str]:
    """Quoted words; an option together with the value that follows it."""
    found: list[str] = []
    for word in words:
        quoted = shlex.quote(word)
        before = found[-1] if found else ""
        if before.startswith("--") and before != "--" and " " not in before and not word.startswith("--"):
            found[-1] = f"{before} {quoted}"
        else:
            found.append(quoted)
    return found


_DRAGONS = [sys.executable, "-m", "dragons.cli"]


def _end(server: subprocess.Popen[str]) -> None:
    if server.poll() is None:
        server.kill()
    server.wait()
    if server.stdout is not None:
        server.stdout.close()


def _width() -> int:
    return max(_WIDTH_MIN, min(console().width, 110) - 4)


def _first_line(server: subprocess.Popen[str], seconds: int) -> str:
    """The first line of the server's output; empty when it ended or stayed silent."""
    assert server.stdout is not None  # noqa: S101 - as above
    with selectors.DefaultSelector() as waiting:
        waiting.register(server.stdout, selectors.EVENT_READ)
        return server.stdout.readline() if waiting.select(seconds) else ""
