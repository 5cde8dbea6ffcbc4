"""Signatures as the Standard Webhooks libraries make and check them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from dragons.adapters.notify.signing import parse_secrets, signature_headers
from dragons.core.errors import InvalidInputError

# The reference vector of the specification's own libraries.
VECTOR = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def secret(size: int) -> str:
    return "whsec_" + b64encode(bytes(range(size))).decode()


def test_the_reference_vector_holds() -> None:
    headers = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_999, b'{"test": 2432232314}', parse_secrets(VECTOR)
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_every_secret_signs() -> None:
    both = parse_secrets(f"{secret(32)}\n\n {VECTOR} \n")
    header = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, b'{"test": 2432232314}', both
    )["webhook-signature"]
    first, second = header.split(" ")
    assert (first.startswith("v1,"), second) == (True, SIGNATURE)
    assert first != second


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_has_the_sizes_of_the_specification(size: int) -> None:
    assert parse_secrets(secret(size)) == (bytes(range(size)),)


@pytest.mark.parametrize(
    "text",
    ["", "\n", secret(23), secret(65), secret(32).removeprefix("whsec_"), "whsec_ä", "whsec_hunter2hunter2",
     "\n".join([secret(32)] * 5), "whpk_" + secret(32)],
)  # fmt: skip
def test_a_wrong_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_secrets(text)
    assert caught.value.code == "webhook_secret_invalid"
    assert caught.value.fix
    for line in text.split():
        assert line not in str(caught.value)
        assert line.removeprefix("whsec_") not in str(caught.value)
