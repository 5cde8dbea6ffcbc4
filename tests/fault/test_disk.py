"""A disk that is full, limited or read-only: what is said, what is kept, and that it works again afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragons.core.errors import StorageError
from tests.fault.appender import FAILED
from tests.fault.conftest import MountDisk, remount
from tests.fault.processes import acknowledged, appending, assert_kept, hear, reopened
from tests.functional.cli.conftest import Program, start_plane, stop_plane
from tests.support.home import found_home
from tests.support.plane import Tenancy, assert_sound

MIB = 1024 * 1024


def fill(disk: Path) -> Path:
    """A file that takes what room the disk has."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (64 * 1024, 4096, 512):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def work_until_it_fails(tenancy: Tenancy) -> tuple[dict[int, str], StorageError]:
    """What was acknowledged, and how the store then failed."""
    agent = tenancy.started(tenancy.ready("notifier"))
    told: dict[int, str] = {}
    try:
        for _ in range(20_000):
            appended = tenancy.work(agent).appended
            told[appended.seq] = appended.chain_root
    except StorageError as error:
        return told, error
    pytest.fail("it never failed")


def test_a_full_disk_is_named_and_does_no_harm(mount_disk: MountDisk) -> None:
    disk = mount_disk(6 * MIB)
    tenancy = found_home(disk)
    room = fill(disk)
    os.truncate(room, room.stat().st_size - 2 * MIB)
    told, error = work_until_it_fails(tenancy)
    assert told
    assert (error.code, error.status) == ("storage_full", 503)
    assert "Free space" in error.fix
    assert_kept(tenancy, told)
    size = tenancy.size()
    with pytest.raises(StorageError):
        tenancy.revoke("agent", "reconciler")
    assert tenancy.size() == size
    room.unlink()
    tenancy.revoke("agent", "reconciler")
    assert_kept(tenancy, told)
    tenancy.plane.reopen()
    assert_sound(tenancy.plane, tenancy)
    tenancy.plane.store.close()


def test_a_store_on_a_full_disk_does_not_open_or_does_not_write(mount_disk: MountDisk) -> None:
    disk = mount_disk(3 * MIB)
    tenancy = found_home(disk)
    tenancy.plane.store.close()
    room = fill(disk)
    with pytest.raises(StorageError) as caught, reopened(disk) as again:
        again.revoke("agent", "reconciler")
    assert caught.value.code in {"storage_full", "storage_io"}
    assert "disk" in caught.value.fix
    room.unlink()
    with reopened(disk) as again:
        again.revoke("agent", "reconciler")
        assert_sound(again.plane, again)


def test_a_limit_on_file_sizes_is_named_and_does_no_harm(home: Path) -> None:
    with appending(home, 3, MIB) as process:
        heard = []
        for line in hear(process):
            heard.append(line)
            if line.startswith("failed"):
                break
        assert heard[-1] in {"failed storage_io", "failed storage_full"}
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        after = list(hear(process))
        assert process.wait() == 0 != FAILED
    told = acknowledged([*heard, *after])
    assert acknowledged(after)
    with reopened(home) as tenancy:
        assert_kept(tenancy, told)
        assert_sound(tenancy.plane, tenancy)


def test_a_disk_that_becomes_read_only_is_named(mount_disk: MountDisk) -> None:
    disk = mount_disk(8 * MIB)
    tenancy = found_home(disk)
    tenancy.plane.store.close()
    remount(disk, "ro")
    with pytest.raises(StorageError) as caught, reopened(disk):
        pass
    assert caught.value.code == "storage_read_only"
    assert "writable" in caught.value.fix
    remount(disk, "rw")
    with reopened(disk) as again:
        again.revoke("agent", "reconciler")
        assert_sound(again.plane, again)


def test_a_folder_that_may_not_be_written_is_named(home: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; a read-only file system is the other test")
    for file in home.glob("control.db*"):
        file.chmod(0o400)
    home.chmod(0o500)
    try:
        with pytest.raises(StorageError) as caught, reopened(home):
            pass
        assert caught.value.code == "storage_read_only"
    finally:
        home.chmod(0o700)


def test_the_program_says_what_a_read_only_home_needs(mount_disk: MountDisk) -> None:
    disk = mount_disk(8 * MIB)
    stop_plane(start_plane(disk / "home"))
    program = Program(disk / "home")
    remount(disk, "ro")
    error = program.error("up", "--port", "0", expected=6)
    assert error["code"] == "storage_read_only"
    assert "writable" in error["fix"]
    # The same address as before, so nothing but the database would be written.
    error = program.error("up", expected=6)
    assert error["code"] == "storage_read_only"
    elsewhere = Program(disk / "other")
    for word in ("up", "init"):
        assert elsewhere.error(word, expected=6)["code"] == "storage_read_only"
    remount(disk, "rw")
    plane = start_plane(disk / "home")
    assert program.json("ledger", "fsck")["sound"] is True
    assert stop_plane(plane) == 0


def test_the_program_says_what_a_full_disk_needs(mount_disk: MountDisk) -> None:
    disk = mount_disk(3 * MIB)
    stop_plane(start_plane(disk / "home"))
    program = Program(disk / "home")
    room = fill(disk)
    assert program.error("up", expected=6)["code"] in {"storage_full", "storage_io"}
    elsewhere = Program(disk / "other")
    error = elsewhere.error("init", expected=6)
    assert error["code"] in {"storage_full", "storage_io", "key_file_unwritable"}
    assert "disk" in error["fix"]
    room.unlink()
    plane = start_plane(disk / "home")
    assert program.json("ledger", "fsck")["sound"] is True
    assert stop_plane(plane) == 0
