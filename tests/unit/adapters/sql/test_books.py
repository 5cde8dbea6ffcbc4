from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from dragons.adapters.sql import books
from dragons.adapters.sql.books import Book
from dragons.adapters.sql.transaction import SqlTransaction
from dragons.authority.revocation import Target
from dragons.core import ids
from dragons.core.canonical import decode
from dragons.core.errors import StorageError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import new_id
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Header
from tests.support.appending import append, rows_of, statement_of
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy

T = TypeVar("T")
SESSIONS = [new_id(ids.SESSION, number) for number in range(4)]


def with_book(acme: Tenancy, look: Callable[[Book], T]) -> T:
    """What `look` says of a book that was opened on the database as it is. Nothing is kept."""

    def job(tx: SqlTransaction) -> T:
        return look(Book(tx._connection, acme.tenant_id, acme.ledger))

    return acme.plane.write(job)  # type: ignore[arg-type]


def seal(acme: Tenancy, book: Book, now_ms: int = 0, **about: Any) -> tuple[Header, list[Any]]:
    made, row, nodes = book.seal(Kind.ERASED, statement_of(acme), about, now_ms or acme.now_ms, None)  # type: ignore[arg-type]
    header = decode(Header, row[5])
    assert (made.seq, made.chain_root) == (header.seq, sha256_hex(row[5]))
    return header, nodes


def test_a_book_begins_where_the_ledger_ends(acme: Tenancy) -> None:
    append(acme, agent="reconciler@v1", session_id=SESSIONS[0])
    last = rows_of(acme)[-1]
    assert with_book(acme, lambda book: (book.size, book.key_id)) == (last.seq + 1, acme.ledger.key_id)

    def look(book: Book) -> None:
        first, _ = seal(acme, book, agent="reconciler@v2", session_id=SESSIONS[0])
        assert (first.seq, first.parent_root) == (last.seq + 1, sha256_hex(last.header))
        assert (first.agent_seq, first.session_position) == (1, 1)
        assert first.session_parent == sha256_hex(last.header)
        second, _ = seal(acme, book, agent="reconciler@v2", session_id=SESSIONS[0])
        assert (second.agent_seq, second.session_position) == (2, 2)
        assert (second.parent_root, second.session_parent) == (first.chain_root(), first.chain_root())

    with_book(acme, look)


def test_an_empty_ledger_begins_at_zero(plane: Plane, acme: Tenancy) -> None:
    def job(tx: SqlTransaction) -> tuple[int, str]:
        book = Book(tx._connection, "tnt_none", acme.ledger)
        return book.size, book._head.chain_root

    assert plane.write(job) == (0, "0" * 64)  # type: ignore[arg-type]


def test_first_of_a_session_has_no_session_parent(acme: Tenancy) -> None:
    header, _ = with_book(acme, lambda book: seal(acme, book, session_id=SESSIONS[1]))
    assert header.session_position == 0
    assert not isinstance(header.session_parent, str)
    plain, _ = with_book(acme, lambda book: seal(acme, book))
    assert not isinstance(plain.session_position, int)
    assert not isinstance(plain.agent_seq, int)


def test_a_books_time_does_not_go_back(acme: Tenancy) -> None:
    append(acme)
    last = acme.receipts()[-1].issued_at

    def look(book: Book) -> None:
        assert seal(acme, book, acme.now_ms - 5_000)[0].issued_at == last
        later = seal(acme, book, acme.now_ms + 5_000)[0].issued_at
        assert later > last
        assert seal(acme, book, acme.now_ms)[0].issued_at == later

    with_book(acme, look)


def test_revocations_are_numbered_from_the_receipts(acme: Tenancy) -> None:
    acme.ready()
    acme.revoke(Target.AGENT, "reconciler")

    def look(book: Book) -> list[object]:
        made = [
            book.seal(kind, statement_of(acme), {}, acme.now_ms, None)[1][5]
            for kind in (Kind.KEY_REVOKED, Kind.ERASED, Kind.REVOKED)
        ]
        return [decode(Header, one).revocation_seq for one in made]

    first, none, second = with_book(acme, look)
    assert (first, isinstance(none, int), second) == (1, False, 2)


def test_every_fourth_level_is_stored(acme: Tenancy) -> None:
    def look(book: Book) -> list[Any]:
        return [node for _ in range(270) for node in seal(acme, book)[1]]

    assert sorted(node[1:3] for node in with_book(acme, look)) == [*((4, n) for n in range(17)), (8, 0)]


def test_another_key_signs_from_the_next_transaction_on(acme: Tenancy) -> None:
    other = LocalSigner.generate(KeyRole.LEDGER)

    def look(book: Book) -> tuple[str, str]:
        before = book.key_id
        book.begin(other)
        return before, book.key_id

    assert with_book(acme, look) == (acme.ledger.key_id, other.key_id)


def test_heads_that_were_forgotten_are_read_again(acme: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "_HEADS_MAX", 2)
    for _ in range(3):
        for number, session in enumerate(SESSIONS):
            append(acme, agent=f"agent-{number}@v1", session_id=session)
    for number, session in enumerate(SESSIONS):
        rows = rows_of(acme, session_id=session)
        assert [row.session_position for row in rows] == [row.agent_seq for row in rows] == [0, 1, 2]
        assert {row.agent for row in rows} == {f"agent-{number}"}


def test_a_ledger_shorter_than_its_checkpoint_has_no_book(plane: Plane, acme: Tenancy) -> None:
    size = acme.size()
    plane.write(lambda tx: tx.put_checkpoint(acme.tenant_id, size, "all of it"))
    assert with_book(acme, lambda book: book.size) == size
    plane.write(lambda tx: tx.put_checkpoint(acme.tenant_id, size + 1, "one more"))
    with fails(StorageError, "ledger_truncated"):
        with_book(acme, lambda book: book.size)
