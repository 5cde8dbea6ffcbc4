"""One HTTP POST to a receiver. Never follows a redirect, never reads the answer's body, never tells the address.

The address may be a secret (Slack's is), so no error, log line or representation holds it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from dragons.core.errors import InvalidInputError

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 15.0
_CLEAR = {"http": False, "https": True}


class Receiver:
    """An address that takes POST requests; thread-safe. `where` may be shown, the rest may not."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        self._url = check_url(url)
        self.where = shown_url(url)
        # It logs every address that it asks.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx2.Client(
            verify=True if ca_file is None else ssl.create_default_context(cafile=ca_file),
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # A connection that was kept may be gone when the next message comes hours later.
            limits=httpx2.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"Receiver({self.where})"

    def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[bool, str]:
        """Whether the receiver took `body`, and in words how it answered."""
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers={"content-type": "application/json", **headers}
            ) as response:
                status = response.status_code
        except httpx2.TimeoutException:
            return False, "there was no answer in time"
        except httpx2.ConnectError:
            return False, "could not connect"
        except (httpx2.HTTPError, OSError) as error:
            # Its text may hold the address.
            return False, f"the request failed: {type(error).__name__}"
        return 200 <= status < 300, f"answered {status}"  # noqa: PLR2004 - 2xx


def check_url(url: str) -> str:
    """`url` itself; InvalidInputError, which does not show it, unless it is https or leads to this machine."""
    try:
        parts = urlsplit(url)
        host, encrypted = parts.hostname, _CLEAR.get(parts.scheme)
        parts.port  # noqa: B018 - raises when it is none
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        host, encrypted, parts = None, None, urlsplit("")
    if not host or encrypted is None or not url.isascii() or not url.isprintable() or " " in url:
        raise _invalid("it is not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise _invalid("it holds a user name or a password")
    if parts.fragment:
        raise _invalid("it has a fragment, which is never sent")
    if not encrypted and not is_loopback(host):
        raise _invalid("it is not encrypted and leads to another machine")
    return url


def shown_url(url: str) -> str:
    """Scheme, host and port: path and query may be secret."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def is_loopback(host: str) -> bool:
    """True for a name or address of this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _invalid(why: str) -> InvalidInputError:
    return InvalidInputError(
        "address_invalid",
        f"The address can't be used: {why}.",
        fix="Give https://HOST/PATH, or http:// for a receiver on this machine.",
    )
