"""What was measured on: processor, cores, memory, versions. Never a host's name, a user or a path."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from cryptography.hazmat.backends.openssl.backend import backend

PACKAGES = ("dragons-control-plane", "cryptography", "msgspec", "sqlalchemy", "uvicorn", "uvloop")


class Machine(msgspec.Struct, frozen=True):
    """`cores` is what this process may use; `packages` leaves out what is not installed."""

    processor: str
    cores: int
    memory_gb: int
    system: str
    python: str
    sqlite: str
    openssl: str
    packages: dict[str, str]


def this_machine() -> Machine:
    """The machine and the environment that this process runs in."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=processor(Path("/proc/cpuinfo").read_text("utf-8")),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(pages * page_bytes / 2**30),
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        openssl=backend.openssl_version_text(),
        packages={name: found for name in PACKAGES if (found := _version(name)) is not None},
    )


def processor(cpuinfo: str) -> str:
    """The model that /proc/cpuinfo names, or the architecture where it names none."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
