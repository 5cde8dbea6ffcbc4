"""Where the demo's escalations arrive: a webhook's receiver on this machine, for as long as the demo lasts.

Takes only what is signed with its secret, as Standard Webhooks says, and answers everything else with 401.
"""

from __future__ import annotations

import hmac
import json
import logging
import queue
import threading
from base64 import b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dragons.adapters.notify.signing import SECRET_PREFIX, parse_secrets, signature_headers
from dragons.evidence.payload import commit
from dragons.sdk.home import write_secret

BODY_BYTES_MAX = 1_000_000
CHANNEL = "phone"
_log = logging.getLogger(__name__)


class Telephone:
    """Listens from the beginning; `close` ends it."""

    def __init__(self) -> None:
        # 32 fresh random bytes, which is what a webhook's secret is.
        self.secret = SECRET_PREFIX + b64encode(commit({}).salt).decode()
        self._calls: queue.Queue[dict[str, Any]] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.secret, self._calls.put))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def connect(self, folder: Path) -> Path:
        """Write `notifiers.yaml` in `folder`, with this as its only channel; where it is."""
        write_secret(folder / f"{CHANNEL}.secret", f"{self.secret}\n".encode())
        path = folder / "notifiers.yaml"
        channel = f"{{type: webhook, url: {self.url}, secret_file: {CHANNEL}.secret}}"
        write_secret(path, f"channels:\n  {CHANNEL}: {channel}\n".encode())
        return path

    def wait(self, seconds: float) -> dict[str, Any]:
        """The body of the next call; empty when none came in that time."""
        try:
            return self._calls.get(timeout=seconds)
        except queue.Empty:
            return {}

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def is_signed(headers: Callable[[str], str], body: bytes, secret: str) -> bool:
    """True when one of the signatures is by `secret`; `headers` gives a header's value or the empty text."""
    try:
        at_ms = int(headers("webhook-timestamp")) * 1000
    except ValueError:
        return False
    wanted = signature_headers(headers("webhook-id"), at_ms, body, parse_secrets(secret))["webhook-signature"]
    given = headers("webhook-signature").split(" ")
    return any(hmac.compare_digest(one.encode(), wanted.encode()) for one in given)


def _handler(secret: str, take: Callable[[dict[str, Any]], object]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            body = self.rfile.read(min(length, BODY_BYTES_MAX))
            signed = is_signed(lambda name: self.headers.get(name, ""), body, secret)
            if signed:
                take(json.loads(body))
            self.send_response(204 if signed else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            # Standard error is the demo's: the library's own line goes where nobody looks unless asked to.
            _log.debug(format, *args)

    return Handler
