"""A home whose database was put back to an older state: whoever kept a checkpoint sees what is gone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

from tests.functional.cli.conftest import Program, start_plane, stop_plane


def publish(program: Program, folder: Path, version: int) -> None:
    """One more receipt in the ledger."""
    entries = {f"read:table-{version}": {"description": "Read it.", "risk": "low"}}
    file = folder / f"catalogue-{version}.yaml"
    file.write_text(json.dumps({"capabilities": entries}))
    program.run("capabilities", "publish", str(file))


def test_lost_and_rewritten_receipts_contradict_a_kept_checkpoint(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = Program(home)
    kept, old = tmp_path / "kept.note", tmp_path / "old"
    plane = start_plane(home)
    publish(program, tmp_path, 1)
    stop_plane(plane)
    database = next(home.rglob("*.db"))
    shutil.copyfile(database, old)

    plane = start_plane(home)
    publish(program, tmp_path, 2)
    publish(program, tmp_path, 3)
    program.run("ledger", "checkpoint", "--out", str(kept))
    assert "the past is as it was" in program.run("ledger", "consistency", str(kept)).stdout
    stop_plane(plane)

    shutil.copyfile(old, database)
    plane = start_plane(home)
    assert program.json("ledger", "fsck")["sound"] is True, "a beginning of the ledger is sound by itself"
    assert "RECEIPTS ARE LOST" in program.run("ledger", "consistency", str(kept), expected=1).stdout
    for version in (4, 5, 6):
        publish(program, tmp_path, version)
    assert program.json("ledger", "fsck")["sound"] is True
    assert "THE PAST WAS REWRITTEN" in program.run("ledger", "consistency", str(kept), expected=1).stdout
    assert stop_plane(plane) == 0


def test_the_program_names_damage(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = Program(home)
    stop_plane(start_plane(home))
    database = next(home.rglob("*.db"))
    with sqlite3.connect(database) as other:
        other.execute("DROP TRIGGER receipts_no_update")
        other.execute("UPDATE receipts SET statement = x'7b7d' WHERE seq = 1")
    other.close()
    plane = start_plane(home)
    found = program.json("ledger", "fsck", expected=6)
    assert "receipt 1: its statement was altered" in found["damage"]
    stop_plane(plane)
    with sqlite3.connect(database) as other:
        other.execute("DROP TABLE receipts")
    other.close()
    error = program.error("up", "--port", "0", expected=6)
    assert error["code"] == "storage_damaged"
    assert "receipts" in error["message"]
    assert "backup" in error["fix"]
