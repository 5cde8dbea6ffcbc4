"""Starting the appender, listening to it, and checking what it was told against the ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dragons.control.fsck import fsck
from dragons.core.hashing import sha256_hex
from tests.support.home import open_home
from tests.support.plane import Tenancy

ROOT = Path(__file__).resolve().parents[2]
APPENDER = Path(__file__).with_name("appender.py")
WAIT_SECONDS = 120

Acknowledged = dict[int, str]
Process = subprocess.Popen[str]


def start(folder: Path, *arguments: int | str, program: Path = APPENDER) -> Process:
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(program), str(folder), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def appending(folder: Path, *arguments: int | str, program: Path = APPENDER) -> Iterator[Process]:
    """A running appender, or another program beside it, which is gone afterwards."""
    process = start(folder, *arguments, program=program)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)


def hear(process: Process, most: int | None = None) -> Iterator[str]:
    """The lines of the process as they come, at most `most` of them."""
    assert process.stdout is not None
    heard = 0
    while most is None or heard < most:
        line = process.stdout.readline()
        if not line:
            return
        heard += 1
        yield line.rstrip("\n")


def acknowledged(lines: Iterable[str]) -> Acknowledged:
    """seq → chain_root of the lines that acknowledge; no seq is acknowledged twice."""
    found: Acknowledged = {}
    for line in lines:
        seq, _, chain_root = line.partition(" ")
        if seq.isdigit():
            assert int(seq) not in found, f"{seq} was acknowledged twice"
            found[int(seq)] = chain_root
    return found


def assert_kept(tenancy: Tenancy, receipts: Acknowledged) -> None:
    """Every acknowledged receipt is at its place with its hash, and the store is sound."""
    with tenancy.plane.store.read() as reader:
        for seq, chain_root in receipts.items():
            row = reader.receipt_at(tenancy.tenant_id, seq)
            assert row is not None, f"the acknowledged receipt {seq} is lost"
            assert sha256_hex(row.header) == chain_root, f"receipt {seq} is another than was acknowledged"
        found = fsck(reader, tenancy.tenant_id)
    assert not found.damage


@contextmanager
def reopened(folder: Path) -> Iterator[Tenancy]:
    """The home, opened by this process."""
    tenancy = open_home(folder)
    try:
        yield tenancy
    finally:
        tenancy.plane.store.close()
