"""A POST leads where it was told to, encrypted, and tells nobody where that was."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.adapters.notify import post
from dragons.adapters.notify.post import Receiver, check_url, is_loopback, shown_url
from dragons.core.errors import InvalidInputError
from tests.support.receivers import http_receiver, make_certificate

HIDDEN = "/T000/B000/hunter2hunter2?key=hunter2"


def test_what_was_sent_arrives() -> None:
    with http_receiver() as receiver:
        assert Receiver(receiver.url + HIDDEN).post(b"{}", {"webhook-id": "m"}) == (True, "answered 200")
    (got,) = receiver.posts
    assert (got.path, got.body, got.headers["webhook-id"]) == (HIDDEN, b"{}", "m")
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "taken"), [(200, True), (204, True), (299, True), (302, False), (404, False), (410, False), (500, False)]
)  # fmt: skip
def test_only_a_success_is_one(status: int, taken: bool) -> None:
    with http_receiver(status) as receiver:
        assert Receiver(receiver.url).post(b"{}", {}) == (taken, f"answered {status}")


def test_a_redirect_is_not_followed() -> None:
    with http_receiver() as other, http_receiver(307) as receiver:
        receiver.headers["location"] = other.url
        assert Receiver(receiver.url).post(b"{}", {}) == (False, "answered 307")
    assert not other.posts


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert Receiver(url).post(b"{}", {}) == (False, "could not connect")


def test_a_receiver_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "ANSWER_SECONDS", 0.2)
    with http_receiver(held=True) as receiver:
        assert Receiver(receiver.url).post(b"{}", {}) == (False, "there was no answer in time")
        assert len(receiver.posts) == 1


def test_a_receiver_that_breaks_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}{HIDDEN}"

        def close() -> None:
            connection, _ = server.accept()
            connection.recv(10)
            connection.close()

        import threading  # noqa: PLC0415 - one use

        thread = threading.Thread(target=close)
        thread.start()
        taken, detail = Receiver(url).post(b"{}", {})
        thread.join()
    assert not taken
    assert "hunter2" not in detail
    assert detail.startswith("the request failed: ")


def test_tls_is_checked(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with http_receiver(tls=certificate) as receiver:
        assert Receiver(receiver.url).post(b"{}", {}) == (False, "could not connect")
        assert not receiver.posts
        assert Receiver(receiver.url, certificate.cert).post(b"{}", {}) == (True, "answered 200")


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as proxy, http_receiver() as receiver:
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert Receiver(receiver.url).post(b"{}", {})[0]
    assert not proxy.posts


def test_the_address_is_never_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with http_receiver(200, 500) as receiver:
        made = Receiver(receiver.url + HIDDEN)
        details = [made.post(b"{}", {})[1] for _ in range(2)]
    told = f"{made!r} {made.where} {details} {caplog.text}"
    assert receiver.url in made.where
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "url",
    ["https://hooks.example.org", "https://hooks.example.org:8443/x?y=z", "http://127.0.0.1:9/x",
     "http://localhost", "http://[::1]:80/", "http://127.9.9.9/"],
)  # fmt: skip
def test_good_addresses(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "hunter2", "http://hunter2.example.org/", "http://10.0.0.1/hunter2", "ftp://127.0.0.1/hunter2",
     "https://ada:hunter2@example.org/", "https:///hunter2", "https://example.org/#hunter2",
     "https://example.org:x/hunter2", "https://example.org/hunter2 x", "https://example.org/\nhunter2",
     "file:///hunter2", "http://localhost.hunter2.org/", "http://127.0.0.1.hunter2.org/", "https://exämple/hunter2"],
)  # fmt: skip
def test_bad_addresses_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Receiver(url)
    assert caught.value.code == "address_invalid"
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_no_clear_address_leads_away(rest: str) -> None:
    try:
        url = check_url(f"http://{rest}")
    except InvalidInputError:
        return
    assert is_loopback(shown_url(url).removeprefix("http://").rsplit(":", 1)[0].strip("[]")) or is_loopback(
        shown_url(url).removeprefix("http://").strip("[]")
    )


def test_what_is_shown_ends_before_the_path() -> None:
    assert shown_url("https://hooks.example.org/hunter2?a=b") == "https://hooks.example.org"
    assert shown_url("http://[::1]:80/x") == "http://[::1]:80"
