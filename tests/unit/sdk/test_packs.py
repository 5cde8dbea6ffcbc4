from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragons.audit.pack import PAGE_FILE, open_pack
from dragons.audit.page import build_page
from dragons.audit.verify import verify_file
from dragons.core.errors import ForbiddenError, InvalidInputError, StorageError
from dragons.sdk.localstore import LocalStore
from dragons.sdk.packs import Shown, complete_pack, export_pack
from dragons.wire.evidence import PackRequest
from tests.support import packs, story

STORY = story.short(cycles=3)
FULL = packs.export(STORY.book, packs.session_of(STORY.session.session_id))
REQUEST = PackRequest(session_id=STORY.session.session_id)


class Client:
    """Exports what the control plane would: the same pack without its payloads."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @contextmanager
    def export_pack(self, request: PackRequest) -> Iterator[Iterator[bytes]]:
        assert request == REQUEST
        yield (self.data[at : at + 1_000] for at in range(0, len(self.data), 1_000))


@pytest.fixture
def client(tmp_path: Path) -> Any:
    redacted = replace(FULL, payloads=[]).with_head(redacted=True)
    return Client(packs.write(redacted, tmp_path / "redacted.zip").read_bytes())


def test_a_pack_is_completed_and_verifies(client: Any, store: LocalStore, tmp_path: Path) -> None:
    store.commit(FULL.payloads, [])
    target = tmp_path / "pack.zip"
    exported = export_pack(client, REQUEST, target, store)
    assert exported == (target, target.stat().st_size, len(FULL.payloads), 0, 0)
    with open_pack(target) as reader:
        assert list(reader.payloads()) == FULL.payloads
        assert list(reader.lines()) == FULL.lines
        assert reader.head == FULL.head
    report = verify_file(target, STORY.book.pin, require_payloads=True)
    assert report.valid, report.to_json()


def test_the_page_shows_the_payloads_too(client: Any, store: LocalStore, tmp_path: Path) -> None:
    store.commit(FULL.payloads, [])
    target = tmp_path / "pack.zip"
    export_pack(client, REQUEST, target, store)
    with zipfile.ZipFile(target) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    page = entries.pop(PAGE_FILE)
    assert page == build_page(entries)
    assert b'data-entry="payloads.jsonl"' in page


def test_a_payload_that_is_missing_leaves_it_redacted(client: Any, store: LocalStore, tmp_path: Path) -> None:
    store.commit(FULL.payloads[1:], [])
    exported = export_pack(client, REQUEST, tmp_path / "pack.zip", store)
    assert (exported.payloads, exported.withheld) == (len(FULL.payloads) - 1, 1)
    with open_pack(tmp_path / "pack.zip") as reader:
        assert reader.head.redacted
    assert verify_file(tmp_path / "pack.zip", STORY.book.pin).valid


def test_a_payload_that_does_not_open_is_not_shown(client: Any, store: LocalStore, tmp_path: Path) -> None:
    store.commit(FULL.payloads, [])
    store._db.execute(
        "UPDATE payload SET body = ? WHERE payload_hash = ?", (b"{}", FULL.payloads[0].payload_hash)
    )
    assert export_pack(client, REQUEST, tmp_path / "pack.zip", store).withheld == 1


def test_what_was_erased_on_the_record_is_not_withheld(store: LocalStore, tmp_path: Path) -> None:
    told = story.full(cycles=3)
    full = packs.export(told.book)
    redacted = packs.write(replace(full, payloads=[]).with_head(redacted=True), tmp_path / "redacted.zip")
    store.commit(full.payloads, [])
    shown = complete_pack(redacted, tmp_path / "pack.zip", store)
    assert shown.payloads == len(full.payloads)
    assert shown.erased > 0
    assert shown.withheld == 0
    assert verify_file(tmp_path / "pack.zip", told.book.pin, require_payloads=True).valid


def test_without_a_store_it_stays_as_it_came(client: Any, tmp_path: Path) -> None:
    exported = export_pack(client, REQUEST, tmp_path / "pack.zip")
    assert (tmp_path / "pack.zip").read_bytes() == client.data
    assert exported[2:] == Shown()


def test_a_file_appears_whole_or_not_at_all(client: Any, store: LocalStore, tmp_path: Path) -> None:
    target = tmp_path / "out" / "pack.zip"
    with pytest.raises(StorageError):
        export_pack(client, REQUEST, target, store)
    target.parent.mkdir()
    client.data = client.data[:500]
    with pytest.raises(InvalidInputError):
        export_pack(client, REQUEST, target, store)

    @contextmanager
    def refuse(_: PackRequest) -> Iterator[Iterator[bytes]]:
        raise ForbiddenError("role_forbidden", "")
        yield iter(())

    client.export_pack = refuse
    with pytest.raises(ForbiddenError):
        export_pack(client, REQUEST, target, store)
    assert list(target.parent.iterdir()) == []
