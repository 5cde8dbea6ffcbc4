"""Homes with keys in files, and file systems that are small or read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.home import found_home

MountDisk = Callable[[int], Path]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A closed home with one tenant and a docked agent."""
    folder = tmp_path / "home"
    folder.mkdir()
    found_home(folder).plane.store.close()
    return folder


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[MountDisk]:
    """Makes a file system of so many bytes; skips where this user may not mount one."""
    mounted: list[Path] = []

    def mount(size_bytes: int) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "dragons-test", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small file system needs the right to mount: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, *options: str) -> None:
    """Change a mounted file system, for example to `ro`."""
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(place)], check=True)
