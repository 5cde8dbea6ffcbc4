"""Chromium with an evidence pack's page in it: what a reader does, and a record of what the page asks for and says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The sandbox needs rights that a test in a container lacks; the only pages opened are the project's own.
ARGUMENTS = ["--no-sandbox"]
READY_MS = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's Chromium, without a window. Skips where there is none, fails where CI lacks it."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("Chromium is missing: run scripts/setup-system")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Reader:
    """Somebody with the page open. `requests` and `said` hold all that was asked for and logged."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self._context = browser.new_context(**options)
        self.page: Page = self._context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self._watch()

    def _watch(self) -> None:
        protocol = self._context.new_cdp_session(self.page)
        for domain in ("Network", "Log", "Runtime"):
            protocol.send(f"{domain}.enable")
        protocol.on("Network.requestWillBeSent", lambda event: self.requests.append(event["request"]["url"]))
        protocol.on("Log.entryAdded", lambda event: self.said.append(event["entry"]["text"]))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def close(self) -> None:
        self._context.close()

    def open(self, file: Path) -> Reader:
        """Open a page from disk and wait until it has judged what it holds."""
        self.requests.clear()
        self.page.goto(file.as_uri())
        return self.wait()

    def wait(self) -> Reader:
        self.page.wait_for_selector("main[aria-busy=false]", timeout=READY_MS, state="attached")
        return self

    def choose(self, data: bytes, name: str = "pack.zip") -> Reader:
        """Give the page a pack's file by its file picker."""
        file = {"name": name, "mimeType": "application/zip", "buffer": data}
        self.page.set_input_files("#open-file", files=[file])  # type: ignore[list-item]
        return self.wait()

    def pin(self, root: str, options: dict[str, Any] | None = None) -> Reader:
        """Type the pinned fingerprint, and ask for more as `options` of `verify_file` do."""
        asked = options or {}
        if asked:
            self.unfold(".asked")
            self.page.fill("#ask-witnesses", "\n".join(asked.get("witnesses", [])))
            self.page.fill("#ask-number", str(asked.get("witnesses_required", 0)))
            self.page.set_checked("#ask-payloads", asked.get("require_payloads", False))
        self.page.fill("#pin", root)
        if asked:
            self.page.press("#pin", "Enter")
        return self.wait()

    def report(self) -> dict[str, Any]:
        """The report that the page shows at its end."""
        report: dict[str, Any] = json.loads(self.text("#report-json"))
        return report

    def text(self, selector: str) -> str:
        return self.page.text_content(selector) or ""

    def go(self, index: int) -> Reader:
        """Show one receipt in full."""
        self.page.fill("#goto", str(index))
        self.page.press("#goto", "Enter")
        self.page.wait_for_selector(f"#detail[data-index='{index}']")
        return self

    def unfold(self, fold: str) -> Reader:
        if self.page.get_attribute(fold, "open") is None:
            self.page.click(f"{fold} summary")
        return self

    def flip(self, index: int, part: str, place: int) -> Reader:
        """Flip the lowest bit of a byte of a receipt."""
        self.go(index).unfold("#flip-box")
        self.page.select_option("#flip-part", part)
        self.page.fill("#flip-place", str(place))
        self.page.click("#flip-it")
        return self.wait()

    def undo(self) -> Reader:
        self.page.click("#edited .undo button >> nth=-1")
        return self.wait()

    def shown(self) -> dict[str, tuple[str, str]]:
        """Of each question, the status and the reason code that a reader sees."""
        rows = self.page.locator("#questions li").evaluate_all(
            """rows => rows.map(row => [
              row.dataset.question,
              row.querySelector(".status").textContent,
              row.querySelector(".finding code")?.textContent ?? "",
            ])"""
        )
        return {name: (status, code) for name, status, code in rows}
