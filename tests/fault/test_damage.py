"""Damage that somebody did to the database's rows: each kind is found, and the line says what and where."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dragons.adapters.sql.schema import APPEND_ONLY, metadata
from dragons.authority.revocation import Target
from dragons.control.append import append_claim, check_claim
from dragons.control.fsck import fsck
from dragons.core.errors import StorageError
from dragons.core.keys import KeyRole
from tests.support.plane import Plane, Tenancy, assert_sound

# More than 256, so that a Merkle node is stored, and a checkpoint before the end.
RECEIPTS = 270
Change = Callable[[sqlite3.Connection], object]


def _build(path: Path) -> Tenancy:
    acme = Plane(path).tenant()
    manifest = acme.ready()
    agent = acme.started(manifest)
    acme.rotate(KeyRole.LEDGER)
    acme.revoke(Target.DOCK, acme.dock("reconciler", ["send:email"]))
    acme.revoke_key(acme.hire("operator").key_id)
    acme.sweep()
    acme.beat(agent, 1)

    key = agent.signer.public_key
    claims = [check_claim(agent.caller, acme.claim(agent), key) for _ in range(RECEIPTS - 20)]
    acme.plane.write(lambda tx: [append_claim(tx, acme.issuer, agent.caller, one) for one in claims])
    acme.sweep()
    return acme


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenancy]:
    made = _build(tmp_path_factory.mktemp("damage") / "control.db")
    assert 256 < made.size() < 512
    assert_sound(made.plane, made)
    yield made
    made.plane.store.close()


def change(acme: Tenancy, path: Path, *changes: Change) -> None:
    """A copy of the database in which somebody who drops the triggers made changes."""
    with sqlite3.connect(acme.plane.path) as source, sqlite3.connect(path) as copy:
        source.backup(copy)
        for table in APPEND_ONLY:
            for verb in ("update", "delete"):
                copy.execute(f"DROP TRIGGER {table}_no_{verb}")
        for one in changes:
            one(copy)
    copy.close()
    source.close()


def damage_in(acme: Tenancy, path: Path) -> list[str]:
    """What fsck says about the tenant in another file."""
    plane = Plane(path, acme.plane.clock, acme.plane.keyring)
    try:
        return plane.read(lambda reader: fsck(reader, acme.tenant_id)).damage
    finally:
        plane.store.close()


def sql(statement: str, *values: object) -> Change:
    def run(connection: sqlite3.Connection) -> None:
        done = connection.execute(statement, values)
        assert done.rowcount != 0, f"{statement} changed nothing"

    return run


def receipt(column: str, value: str, seq: int = 30) -> Change:
    return sql(f"UPDATE receipts SET {column} = {value} WHERE seq = ?", seq)  # noqa: S608


FLIPPED = "CAST(substr({0}, 1, 40) || x'00' || substr({0}, 42) AS BLOB)"
DIFFER = "receipt 30: the columns it is found by differ from its signed header"


def flipped(column: str) -> str:
    return FLIPPED.format(column)


def swap(connection: sqlite3.Connection) -> None:
    for before, after in ((30, -1), (31, 30), (-1, 31)):
        sql("UPDATE receipts SET seq = ? WHERE seq = ?", after, before)(connection)


@pytest.mark.parametrize(
    ("done", "lines"),
    [
        (receipt("header", flipped("header")), ["receipt 30: "]),
        (receipt("header_signature", "randomblob(64)"), ["receipt 30: the ledger's signature does not hold"]),
        (receipt("ledger_key_id", "'lgk_0'"), ["receipt 30: the ledger's signature does not hold"]),
        (receipt("statement", flipped("statement")), ["receipt 30: its statement was altered"]),
        (receipt("statement_type", "statement_type || 'x'"), ["receipt 30: the stored leaf hash is wrong"]),
        (
            receipt("statement_signatures", "CAST('[]' AS BLOB)"),
            ["receipt 30: the stored leaf hash is wrong"],
        ),
        (receipt("statement_signatures", "x'ff'"), ["signatures of its statement are unreadable"]),
        (receipt("leaf_hash", "randomblob(32)"), ["receipt 30: the stored leaf hash is wrong"]),
        (receipt("kind", "'denied'"), [DIFFER]),
        (receipt("issued_ms", "issued_ms + 1"), [DIFFER]),
        (receipt("receipt_id", "'rcp_0'"), [DIFFER]),
        (receipt("agent", "'other'"), [DIFFER]),
        (receipt("agent_seq", "9999"), [DIFFER]),
        (receipt("session_id", "NULL"), [DIFFER]),
        (receipt("session_position", "9999"), [DIFFER]),
        (receipt("claim_id", "'clm_0'"), [DIFFER]),
        (receipt("header", "'text'"), ["receipt 30: a column holds a value of another type"]),
        (receipt("issued_ms", "'noon'"), ["receipt 30: a column holds a value of another type"]),
        (receipt("header", "x'7b7d'"), ["receipt 30: "]),
    ],
)
def test_a_changed_receipt_is_named(acme: Tenancy, tmp_path: Path, done: Change, lines: list[str]) -> None:
    change(acme, tmp_path / "control.db", done)
    found = damage_in(acme, tmp_path / "control.db")
    assert found
    for line in lines:
        assert any(line in one for one in found), found


@pytest.mark.parametrize(
    ("done", "line"),
    [
        (sql("DELETE FROM receipts WHERE seq = 0"), "receipt 0 is missing: the next stored one is 1"),
        (sql("DELETE FROM receipts WHERE seq = 30"), "receipt 30 is missing: the next stored one is 31"),
        (sql("DELETE FROM receipts WHERE seq > 260"), "exists, but the ledger ends at 261"),
        (sql("DELETE FROM receipts"), "the tenant exists, but its ledger is empty"),
        (swap, "receipt 30: parent_root is not the chain_root of receipt 29"),
        (swap, "receipt 31: parent_root is not the chain_root of receipt 30"),
        (
            sql("UPDATE ledger_nodes SET hash = randomblob(32) WHERE level = 8"),
            "the stored Merkle node (8, 0) is wrong",
        ),
        (
            sql("UPDATE ledger_nodes SET hash = randomblob(32) WHERE level = 4 AND position = 3"),
            "the stored Merkle node (4, 3) is wrong",
        ),
        (sql("DELETE FROM ledger_nodes WHERE level = 8"), "Hashes of level 8 between 0 and 1 are missing"),
        (sql("DELETE FROM ledger_nodes WHERE position = 5"), "Hashes of level 4 between 5 and 6 are missing"),
        (
            sql("INSERT INTO ledger_nodes SELECT tenant_id, 8, 1, hash FROM ledger_nodes WHERE level = 8"),
            "(8, 1) is stored",
        ),
        (sql("UPDATE checkpoints SET note = 'x'"), "the checkpoint of size"),
        (sql("UPDATE checkpoints SET size = size + 1000"), "is not signed by a ledger key"),
        (
            sql("UPDATE checkpoints SET note = (SELECT min(note) FROM checkpoints)"),
            "is not signed by a ledger key",
        ),
    ],
)
def test_a_changed_ledger_is_named(acme: Tenancy, tmp_path: Path, done: Change, line: str) -> None:
    change(acme, tmp_path / "control.db", done)
    found = damage_in(acme, tmp_path / "control.db")
    assert any(line in one for one in found), found


def test_an_end_that_was_cut_with_its_checkpoints_is_named_by_its_nodes(
    acme: Tenancy, tmp_path: Path
) -> None:
    cut = (sql("DELETE FROM receipts WHERE seq >= 250"), sql("DELETE FROM checkpoints"))
    change(acme, tmp_path / "control.db", *cut)
    found = damage_in(acme, tmp_path / "control.db")
    assert found == [
        "a Merkle node (4, 15) is stored, but the ledger ends at 250",
        "a Merkle node (8, 0) is stored, but the ledger ends at 250",
    ]


NOBODY = "SELECT tenant_id, 'opk_0', role, randomblob(32), subject, roles, not_before_ms, not_after_ms, registered_ms"


@pytest.mark.parametrize(
    ("done", "line"),
    [
        (
            sql(f"INSERT INTO keys {NOBODY}, NULL, NULL FROM keys WHERE role = 'operator' LIMIT 1"),
            "the key opk_0 is in the store, but no receipt registered it",
        ),
        (sql("UPDATE keys SET roles = '[\"admin\"]' WHERE role = 'operator'"), "is not as its receipts say"),
        (sql("UPDATE keys SET revoked_ms = NULL WHERE revoked_ms > 0"), "is not as its receipts say"),
        (sql("DELETE FROM keys WHERE role = 'issuer'"), "was registered, but the store has lost it"),
        (sql("DELETE FROM revocations WHERE entry LIKE 'dock:%'"), "but the store has lost that"),
        (sql("DELETE FROM revocations WHERE entry LIKE 'operator:%'"), "but the store has lost that"),
        (sql("UPDATE instances SET instance_id = 'x'"), "the instance x is in the store, but no receipt"),
        (sql("UPDATE sessions SET session_id = 'x'"), "the session x is in the store, but no receipt"),
        (sql("UPDATE keys SET public_key = x'00' WHERE role = 'ledger'"), "the ledger key "),
    ],
)
def test_rows_that_say_otherwise_than_the_ledger_are_named(
    acme: Tenancy, tmp_path: Path, done: Change, line: str
) -> None:
    change(acme, tmp_path / "control.db", done)
    found = damage_in(acme, tmp_path / "control.db")
    assert any(line in one for one in found), found


def test_an_index_that_lost_a_row_is_named(acme: Tenancy, tmp_path: Path) -> None:
    """A revocation that its index does not have would not be found, and what it ends would live again."""

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA writable_schema=ON")
        kept = connection.execute(
            "SELECT * FROM sqlite_master WHERE name = 'revocations_by_entry'"
        ).fetchone()
        connection.execute("DELETE FROM sqlite_master WHERE name = 'revocations_by_entry'")
        connection.execute("PRAGMA writable_schema=RESET")
        sql("INSERT INTO revocations SELECT tenant_id, 9, 'agent:x', 1 FROM tenants")(connection)
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
        connection.execute("PRAGMA writable_schema=RESET")

    change(acme, tmp_path / "control.db", lose)
    found = damage_in(acme, tmp_path / "control.db")
    assert "the database itself: table revocations: row 3 missing from index revocations_by_entry" in found


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_a_missing_table_is_named_and_not_made_anew(acme: Tenancy, tmp_path: Path, table: str) -> None:
    change(acme, tmp_path / "control.db", lambda connection: connection.execute(f"DROP TABLE {table}"))
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            damage_in(acme, tmp_path / "control.db")
        assert caught.value.code == "storage_damaged"
        assert table in caught.value.message
        assert "backup" in caught.value.fix


def test_a_missing_index_is_named(acme: Tenancy, tmp_path: Path) -> None:
    """An index is what keeps a claim from being appended twice."""
    change(
        acme, tmp_path / "control.db", lambda connection: connection.execute("DROP INDEX receipts_by_claim")
    )
    with pytest.raises(StorageError) as caught:
        damage_in(acme, tmp_path / "control.db")
    assert (caught.value.code, "receipts_by_claim" in caught.value.message) == ("storage_damaged", True)


def test_a_table_that_goes_while_the_store_is_open_is_named(acme: Tenancy, tmp_path: Path) -> None:
    change(acme, tmp_path / "control.db")
    plane = Plane(tmp_path / "control.db", acme.plane.clock, acme.plane.keyring)
    with sqlite3.connect(plane.path) as other:
        other.execute("DROP TABLE checkpoints")
    other.close()
    found = plane.read(lambda reader: fsck(reader, acme.tenant_id)).damage
    assert found == ["the database itself: table checkpoints: no such table: checkpoints"]
    with pytest.raises(StorageError) as caught:
        plane.read(lambda reader: reader.checkpoint(acme.tenant_id))
    assert (caught.value.code, "checkpoints" in caught.value.message) == ("storage_damaged", True)
    plane.store.close()


def test_another_tenant_is_not_blamed(tmp_path: Path) -> None:
    plane = Plane(tmp_path / "control.db")
    acme, globex = plane.tenant("acme"), plane.tenant("globex")
    with sqlite3.connect(plane.path) as other:
        other.execute("DROP TRIGGER receipts_no_update")
        other.execute("UPDATE receipts SET statement = x'00' WHERE tenant_id = ?", (acme.tenant_id,))
    other.close()
    assert plane.read(lambda reader: fsck(reader, acme.tenant_id)).damage
    assert_sound(plane, globex)
    plane.store.close()


BLOBS = ["header", "header_signature", "statement", "statement_signatures", "leaf_hash"]


@pytest.mark.parametrize("seed", range(20))
def test_no_byte_of_a_receipt_can_change_unnoticed(acme: Tenancy, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    seq, column = chance.randrange(acme.size()), chance.choice(BLOBS)

    def flip(connection: sqlite3.Connection) -> None:
        query = f"SELECT {column} FROM receipts WHERE seq = ?"  # noqa: S608 - one of BLOBS
        (found,) = connection.execute(query, (seq,)).fetchone()
        data = bytearray(found)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        statement = f"UPDATE receipts SET {column} = ? WHERE seq = ?"  # noqa: S608 - one of BLOBS
        connection.execute(statement, (bytes(data), seq))

    change(acme, tmp_path / "control.db", flip)
    found = damage_in(acme, tmp_path / "control.db")
    assert any(f"receipt {seq}" in line for line in found), (column, found)
