"""The process of a peer: makes the object named `Worker` of a module, then calls its methods as it is told.

Runs in the environment of the peers, and imports nothing of Dragons.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import msgspec


def serve(worker: Any, orders: BinaryIO, answers: BinaryIO) -> None:  # noqa: ANN401 - any of the peers
    """Answer every order with one line."""
    for line in orders:
        order = msgspec.json.decode(line)
        call: Callable[..., object] = getattr(worker, order["name"])
        answers.write(msgspec.json.encode(call(**order["numbers"])) + b"\n")
        answers.flush()


def main(module: str, folder: str) -> None:
    worker = import_module(module).Worker(Path(folder))
    serve(worker, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
