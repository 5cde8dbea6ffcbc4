from __future__ import annotations

from base64 import b64encode

import pytest

from dragons.cli.keys import parse_public_key
from dragons.cli.main import run
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner

KEY = LocalSigner.from_seed(b"\x07" * 32, KeyRole.OPERATOR).public_key


def test_a_public_key_is_read_in_both_forms() -> None:
    assert parse_public_key(KEY.raw.hex()) == KEY
    assert parse_public_key(b64encode(KEY.raw).decode()) == KEY


@pytest.mark.parametrize("text", ["", "zz", "00" * 32, b64encode(b"short").decode(), "g" * 64])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_public_key(text)


@pytest.mark.parametrize("more", [[], ["--out", "a.pem", "--public-key", "00"]])
def test_a_new_operators_key_comes_from_one_place(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", "add-operator", "Ada", *more]) == 2
    assert "--out FILE or --public-key KEY" in capsys.readouterr().err
