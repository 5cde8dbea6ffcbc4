"""Peers of Dragons, measured in the same run by a process of their own environment.

One of them needs an older `cryptography` than Dragons ships with; in one environment, Dragons would be
measured with a library that its users don't have. So Dragons runs in its own, and peers in `.venv-bench`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.figures import Found
from bench.processes import ROOT, Talk, started

PYTHON = ROOT / ".venv-bench" / "bin" / "python"


class Order(msgspec.Struct, frozen=True):
    """Call the method `name` of the peer with these numbers."""

    name: str
    numbers: dict[str, int]


class Peer:
    """A peer at work in its process."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def ask(self, name: str, **numbers: int) -> float:
        """What its method `name` returns: a rate, a time, or 1 for a check that held."""
        self._talk.say(Order(name, numbers))
        return self._talk.hear(float)

    def tell(self, name: str) -> str:
        """As `ask`, for a method that returns a word."""
        self._talk.say(Order(name, {}))
        return self._talk.hear(str)


def missing(python: Path | None = None) -> Found | None:
    """Why peers can't be measured; None when their environment is there."""
    if (python or PYTHON).is_file():
        return None
    return Found(missing="peers have an environment of their own, which is not there; `make bench` makes it")


@contextmanager
def working(worker: str, folder: Path) -> Iterator[Peer]:
    """The peer of the module `worker`, which keeps its files in `folder`."""
    command = [
        str(PYTHON),
        "-W",
        "ignore::DeprecationWarning",
        "-m",
        "bench.peer_process",
        worker,
        str(folder),
    ]
    with started(command, os.environ) as talk:
        yield Peer(talk)
