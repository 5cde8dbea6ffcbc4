"""One Chromium for each module of tests, and packs as pages on disk."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dragons.audit.page import build_page
from tests.support.browser import Reader, chromium

PageOf = Callable[[bytes], Path]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    """Somebody with an empty window; what they open asks for nothing and logs nothing."""
    one = Reader(browser)
    yield one
    said, requests = one.said, [url for url in one.requests if not url.startswith("file:///")]
    one.close()
    assert said == []
    assert requests == []


def entries_of(pack: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(pack)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def page_of(tmp_path: Path) -> PageOf:
    """Writes the page of a pack's bytes."""

    def write(pack: bytes) -> Path:
        file = tmp_path / "verify.html"
        file.write_bytes(build_page(entries_of(pack)))
        return file

    return write


@pytest.fixture(scope="module")
def empty_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a pack that is too large for it."""
    file = tmp_path_factory.mktemp("page") / "verify.html"
    file.write_bytes(build_page())
    return file
