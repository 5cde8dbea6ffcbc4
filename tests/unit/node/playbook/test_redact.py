from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.node.playbook.redact import MARK, redact, secret_values

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\nBgkqhkiG\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("password=hunter22!", "hunter22"),
        ('{"api_key": "abc123def"}', "abc123def"),
        ("DB_PASSWORD: 'so secret'", "so secret"),
        ("aws_secret_access_key = wJalrXUtnFEMI", "wJalrXUtnFEMI"),
        ("Authorization: Bearer abcdefgh.ijkl", "abcdefgh"),
        ("connecting to postgres://shop:pa55@db/shop", "pa55"),
        ("AKIAIOSFODNN7EXAMPLE is used", "AKIAIOSFODNN7EXAMPLE"),
        ("token eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "eyJzdWIiOiIx"),
        ("pushing with ghp_0123456789abcdef", "ghp_0123456789abcdef"),
        ("POST https://hooks.slack.com/services/T0/B0/xyz", "T0/B0/xyz"),
        ("mail for ada.lovelace@example.org bounced", "ada.lovelace@example.org"),
        (KEY, "BgkqhkiG"),
        (KEY[:-10], "BgkqhkiG"),
    ],
)
def test_secrets_by_their_form_are_taken_out(line: str, secret: str) -> None:
    found = redact(f"before\n{line}\nafter")
    assert secret not in found.text
    assert MARK in found.text
    assert found.places >= 1
    assert found.text.startswith("before\n")


def test_ordinary_lines_stay() -> None:
    text = "GET /orders/17 200 in 12 ms\nretrying 3 of 5\nKeyError: 'sku'\n"
    assert redact(text) == (text, 0, 0)


def test_a_playbook_adds_patterns_and_values() -> None:
    found = redact("customer 4711, pin 99887766", own=[r"customer \d+"], values=["99887766", "no"])
    assert found.text == f"{MARK}, pin {MARK}"
    assert found.places == 2


def test_values_are_those_of_variables_with_secret_names() -> None:
    environment = {"DB_PASSWORD": "a", "STRIPE_API_KEY": "b", "PORT": "8080", "AUTHOR_COUNT": "1"}
    assert secret_values(environment)[:2] == ["a", "b"]
    assert "8080" not in secret_values(environment)


@given(st.text(max_size=600), st.integers(0, 300))
def test_what_leaves_is_bounded(text: str, bytes_max: int) -> None:
    found = redact(text, bytes_max=bytes_max)
    assert len(found.text.encode("utf-8", "replace")) <= bytes_max
    assert found.cut >= 0


@given(
    st.text(max_size=200),
    st.text("abcdefghijklmnop0123456789", min_size=8, max_size=40),
    st.text(max_size=50),
)
def test_a_named_value_never_leaves(before: str, secret: str, after: str) -> None:
    assert secret not in redact(f"{before}{secret}{after}", values=[secret]).text


def test_the_end_is_what_stays() -> None:
    assert redact("a" * 50 + "the end", bytes_max=7) == ("the end", 0, 50)
    assert redact("abc", bytes_max=0).text == ""
