"""What the comparisons with peers share: whether one is installed, and a file made durable."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from bench.figures import Found


def missing(module: str, package: str) -> Found | None:
    """Why a peer can't be measured; None when it is installed."""
    if find_spec(module) is not None:
        return None
    return Found(missing=f"{package} is not installed here; `make bench` makes an environment that has it")


def make_durable(path: Path) -> None:
    """What a caller of a log without fsync has to do before it may acknowledge an entry."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
