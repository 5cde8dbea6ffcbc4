"""The file: written as a stream with the same bytes each time, read with limits, refused when damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from dragons.audit import pack as pack_module
from dragons.audit.pack import (
    HEAD_FILE,
    PAGE_FILE,
    RECEIPTS_FILE,
    RECORD_END_SELECTED,
    RECORD_END_UNSELECTED,
    RECORD_START,
    Contents,
    GapNode,
    Line,
    gap_line,
    open_pack,
    parse_line,
    record_line,
    write_pack,
)
from dragons.audit.page import EmbeddedPage, build_page
from dragons.core.canonical import encode
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.evidence.merkle import Node
from tests.support import packs, story

STORY = story.short(cycles=1)
PARTS = packs.export(STORY.book, packs.session_of(STORY.session.session_id))


def written(tmp_path: Path, changes: dict[str, bytes | None] | None = None, *, twice: str = "") -> Path:
    """The pack with some entries replaced or left out, or one of them twice."""
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(BytesIO(packs.to_bytes(PARTS))) as archive:
        entries: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    entries |= changes or {}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            if data is not None:
                archive.writestr(name, data)
        if twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(twice, entries[twice] or b"")
    return path


def read(path: Path) -> list[bytes]:
    with open_pack(path) as reader:
        list(reader.payloads())
        return list(reader.lines())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = packs.write(PARTS, tmp_path / "pack.zip")
    assert packs.read(path) == PARTS


@pytest.mark.parametrize("compress", [True, False])
def test_equal_content_gives_equal_bytes(compress: bool) -> None:
    one, two = (packs.to_bytes(PARTS, compress=compress) for _ in range(2))
    assert one == two


def test_lines_do_not_depend_on_how_they_were_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packs.write(PARTS, tmp_path / "pack.zip")
    for size in (1, 7, 4096):
        monkeypatch.setattr(pack_module, "_CHUNK_BYTES", size)
        assert read(path) == PARTS.lines


def test_the_leaf_is_a_part_of_the_line() -> None:
    record = STORY.book.placed[3].record
    for selected, end in ((True, RECORD_END_SELECTED), (False, RECORD_END_UNSELECTED)):
        assert record_line(record, selected=selected)[RECORD_START:-end] == record.leaf()


def test_a_line_is_a_receipt_or_a_gap() -> None:
    record = STORY.book.placed[0].record
    gap = [GapNode(level=0, index=0, hash=bytes(32))]
    for line in (
        Line(),
        Line(record=record),
        Line(selected=True),
        Line(gap=gap, selected=False),
        Line(record=record, gap=gap),
        Line(record=record, gap=gap, selected=True),
    ):
        with pytest.raises(InvalidInputError) as error:
            parse_line(encode(line))
        assert error.value.code == "line_malformed"
    assert parse_line(gap_line([Node(0, 0, bytes(32))])).gap == gap


@pytest.mark.parametrize(
    "change", [(b'"level":0', b'"level":53'), (b"AAAA", b""), (b'"index":0', b'"index":-1')]
)
def test_a_gap_node_has_limits(change: tuple[bytes, bytes]) -> None:
    line = gap_line([Node(0, 0, bytes(32))]).replace(*change, 1)
    with pytest.raises(InvalidInputError):
        parse_line(line)


def test_a_line_has_one_encoding() -> None:
    line = PARTS.lines[0]
    for spoiled in (line + b" ", b" " + line, line.replace(b":", b": ", 1)):
        with pytest.raises(InvalidInputError):
            parse_line(spoiled)


def test_the_page_hears_every_entry_before_it_is_written() -> None:
    page = EmbeddedPage()
    contents = Contents(iter(PARTS.lines), iter(PARTS.payloads), PARTS.heartbeats, page, b"read me")
    file = BytesIO()
    write_pack(file, contents, lambda: PARTS.head)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        entries = {name: archive.read(name) for name in names}
    assert names[-1] == PAGE_FILE
    assert entries.pop(PAGE_FILE) == build_page(entries)
    assert PARTS.payloads


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no pack at"):
        read(tmp_path / "nothing.zip")


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", bytes(100)])
def test_a_file_that_is_no_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="not a readable pack"):
        read(path)


@pytest.mark.parametrize("name", [HEAD_FILE, RECEIPTS_FILE])
def test_an_entry_that_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        read(written(tmp_path, {name: None}))
    assert error.value.code == "pack_incomplete"


def test_a_pack_without_receipts_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, {RECEIPTS_FILE: None})
    with pytest.raises(InvalidInputError, match=r"no receipts\.jsonl"), open_pack(path):
        pytest.fail("it was opened")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_compress_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "pack.zip"
    with (
        zipfile.ZipFile(BytesIO(packs.to_bytes(PARTS))) as before,
        zipfile.ZipFile(path, "w", method) as after,
    ):
        for name in before.namelist():
            after.writestr(name, before.read(name))
    with pytest.raises(InvalidInputError) as error:
        read(path)
    assert error.value.code == "pack_damaged"


def directory_of(data: bytes | bytearray, name: str) -> int:
    """Where the central directory's entry of `name` begins."""
    return data.rindex(name.encode()) - 46


@pytest.mark.parametrize(
    "change",
    [
        # The name is said to be UTF-8 and is not; an offset before the beginning of the file.
        lambda data, at: data[: at + 9] + b"\x08" + data[at + 10 : at + 46] + b"\xff" + data[at + 47 :],
        lambda data, at: data[:-6] + (2**32 - 2).to_bytes(4, "little") + data[-2:],
    ],
)
def test_a_broken_directory_is_no_crash(tmp_path: Path, change: Callable[[bytes, int], bytes]) -> None:
    data = packs.to_bytes(PARTS)
    path = tmp_path / "pack.zip"
    path.write_bytes(change(data, directory_of(data, HEAD_FILE)))
    with pytest.raises(InvalidInputError) as error:
        read(path)
    assert error.value.code == "pack_damaged"


@pytest.mark.parametrize("name", [HEAD_FILE, RECEIPTS_FILE])
def test_an_entry_that_reaches_beyond_the_entries(tmp_path: Path, name: str) -> None:
    data = bytearray(packs.to_bytes(PARTS, compress=True))
    data[directory_of(data, name) + 22] ^= 0x20
    path = tmp_path / "pack.zip"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="beyond the entries"):
        read(path)


def test_what_the_disk_refuses_is_not_the_packs_fault(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_an_entry_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as error:
        read(written(tmp_path, twice=RECEIPTS_FILE))
    assert error.value.code == "pack_ambiguous"


def test_another_format(tmp_path: Path) -> None:
    head = encode(PARTS.with_head(format="dragons-pack/2").head)
    with pytest.raises(InvalidInputError) as error:
        read(written(tmp_path, {HEAD_FILE: head}))
    assert error.value.code == "pack_format"


def test_a_head_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "HEAD_BYTES_MAX", 100)
    with pytest.raises(InvalidInputError) as error:
        read(written(tmp_path))
    assert error.value.code == "pack_too_large"


def test_a_line_that_does_not_end(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as error:
        read(written(tmp_path, {RECEIPTS_FILE: PARTS.lines[0]}))
    assert error.value.code == "pack_truncated"


def test_a_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "LINE_BYTES_MAX", 100)
    monkeypatch.setattr(pack_module, "_CHUNK_BYTES", 10)
    with pytest.raises(InvalidInputError) as error:
        read(written(tmp_path))
    assert error.value.code == "pack_too_large"


@pytest.mark.parametrize("data", [b"{}", b"[", b"[ ]"])
def test_heartbeats_that_are_none(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path, {"heartbeats.json": data})
    with open_pack(path) as reader, pytest.raises(InvalidInputError):
        reader.heartbeats()


def test_a_damaged_stream_is_named(tmp_path: Path) -> None:
    data = bytearray(packs.to_bytes(PARTS, compress=True))
    at = data.index(b"receipts.jsonl") + 200
    data[at : at + 40] = bytes(40)
    path = tmp_path / "pack.zip"
    path.write_bytes(bytes(data))
    with pytest.raises(InvalidInputError) as error:
        read(path)
    assert error.value.code == "pack_damaged"


def test_nothing_stays_open(tmp_path: Path) -> None:
    """A reader that stops in the middle leaves no file behind."""
    path = packs.write(PARTS, tmp_path / "pack.zip")
    with open_pack(path) as reader:
        lines = reader.lines()
        next(lines)
    with pytest.raises(ValueError, match="closed"):
        list(lines)
