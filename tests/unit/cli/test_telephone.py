from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from dragons.adapters.notify.config import read_config
from dragons.adapters.notify.signing import parse_secrets, signature_headers
from dragons.cli.telephone import CHANNEL, Telephone, is_signed

BODY = b'{"type":"dragons.test"}'
NOW_MS = 1_790_000_000_000


@pytest.fixture
def telephone() -> Iterator[Telephone]:
    made = Telephone()
    yield made
    made.close()


def signed(secret: str, body: bytes = BODY) -> dict[str, str]:
    return signature_headers("msg_1", NOW_MS, body, parse_secrets(secret))


def test_what_is_signed_arrives(telephone: Telephone) -> None:
    answer = httpx2.post(telephone.url, content=BODY, headers=signed(telephone.secret), trust_env=False)
    assert answer.status_code == 204
    assert telephone.wait(5) == {"type": "dragons.test"}


@pytest.mark.parametrize("change", ["body", "secret", "id", "time", "nothing"])
def test_what_is_not_signed_does_not(telephone: Telephone, change: str) -> None:
    headers = signed(telephone.secret)
    body = BODY + b" " if change == "body" else BODY
    if change == "secret":
        headers = signed("whsec_" + "A" * 40)
    elif change == "id":
        headers["webhook-id"] = "msg_2"
    elif change == "time":
        headers["webhook-timestamp"] = "soon"
    elif change == "nothing":
        headers = {}
    assert httpx2.post(telephone.url, content=body, headers=headers, trust_env=False).status_code == 401
    assert telephone.wait(0.1) == {}


def test_each_has_a_secret_of_its_own(telephone: Telephone) -> None:
    other = Telephone()
    other.close()
    assert other.secret != telephone.secret
    headers = signed(telephone.secret)
    assert is_signed(lambda name: headers.get(name, ""), BODY, telephone.secret)
    assert not is_signed(lambda name: headers.get(name, ""), BODY, other.secret)


def test_its_file_is_a_channel_of_the_control_plane(telephone: Telephone, tmp_path: Path) -> None:
    path = telephone.connect(tmp_path / "control")
    assert path.stat().st_mode & 0o077 == 0
    assert telephone.secret not in path.read_text()
    assert list(read_config(path).channels) == [CHANNEL]
