"""Unsafe keys are refused when they are loaded; a key id comes from the key."""

from __future__ import annotations

from hashlib import sha256

import pytest

from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner, PublicKey, role_of

# RFC 8032 §7.1, test 1 and test 2.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
SECOND_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")

P = 2**255 - 19
ORDER_8_Y = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)


def encoded(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def order_of_encoded_point(raw: bytes) -> int | None:
    """1, 2, 4 or 8 when the point has that order, None when it is larger; plain curve arithmetic."""
    d = -121665 * pow(121666, -1, P) % P
    number = int.from_bytes(raw, "little")
    y, sign = number % 2**255 % P, number >> 255
    u, v = (y * y - 1) % P, (d * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert v * x * x % P == u, "not on the curve"
    if x % 2 != sign:
        x = -x % P
    for order in (1, 2, 4, 8):
        if (x, y) == (0, 1):
            return order
        scale = d * x * x * y * y
        x, y = 2 * x * y * pow(1 + scale, -1, P) % P, (y * y + x * x) * pow(1 - scale, -1, P) % P
    return None


SMALL_ORDER = [
    *(encoded(y, sign) for y in (0, 1, P - 1) for sign in (0, 1)),
    *(encoded(int.from_bytes(bytes.fromhex(y), "little"), sign) for y in ORDER_8_Y for sign in (0, 1)),
]
SMALL_ORDER_NON_CANONICAL = [encoded(y, sign) for y in (P, P + 1) for sign in (0, 1)]


def test_the_listed_points_are_the_eight_of_small_order() -> None:
    orders = sorted(order_of_encoded_point(raw) or 0 for raw in SMALL_ORDER)
    # Order 1 and 2 have x = 0, so both of their signs decode to the same point.
    assert orders == [1, 1, 2, 2, 4, 4, 8, 8, 8, 8]
    assert order_of_encoded_point(PUBLIC) is None


@pytest.mark.parametrize("raw", SMALL_ORDER, ids=bytes.hex)
def test_a_point_of_small_order_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PublicKey(raw)
    assert caught.value.code == "key_low_order"


@pytest.mark.parametrize("raw", SMALL_ORDER_NON_CANONICAL, ids=bytes.hex)
def test_a_point_of_small_order_in_disguise_is_refused(raw: bytes) -> None:
    assert order_of_encoded_point(raw) in {1, 4}
    with pytest.raises(InvalidInputError) as caught:
        PublicKey(raw)
    assert caught.value.code == "key_non_canonical"


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("extra", range(19))
def test_every_encoding_of_p_and_above_is_refused(extra: int, sign: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PublicKey(encoded(P + extra, sign))
    assert caught.value.code == "key_non_canonical"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PublicKey(b"\x09" * length)
    assert caught.value.code == "key_malformed"


def test_the_vector_of_rfc_8032_holds() -> None:
    signer = LocalSigner.from_seed(SEED, KeyRole.ROOT)
    assert signer.public_key.raw == PUBLIC
    assert signer.sign(b"") == SIGNATURE
    assert signer.seed() == SEED
    assert PublicKey(PUBLIC).verify(SIGNATURE, b"")


@pytest.mark.parametrize(
    "signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\x00", bytes(64), SIGNATURE[32:] + SIGNATURE[:32]]
)
def test_another_signature_does_not_verify(signature: bytes) -> None:
    assert not PublicKey(PUBLIC).verify(signature, b"")


def test_another_message_or_key_does_not_verify() -> None:
    assert not PublicKey(PUBLIC).verify(SIGNATURE, b"x")
    assert not LocalSigner.from_seed(SECOND_SEED, KeyRole.ROOT).public_key.verify(SIGNATURE, b"")


def test_a_scalar_above_the_group_order_does_not_verify() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(SIGNATURE[32:], "little") + order
    assert not PublicKey(PUBLIC).verify(SIGNATURE[:32] + scalar.to_bytes(32, "little"), b"")


@pytest.mark.parametrize("role", list(KeyRole))
def test_a_key_id_is_the_role_and_128_bits_of_the_keys_hash(role: KeyRole) -> None:
    key_id = PublicKey(PUBLIC).key_id(role)
    assert key_id == f"{role.value}_{sha256(PUBLIC).hexdigest()[:32]}"
    assert LocalSigner.from_seed(SEED, role).key_id == key_id
    assert role_of(key_id) is role


def test_the_fingerprint_is_the_whole_hash() -> None:
    assert PublicKey(PUBLIC).fingerprint == sha256(PUBLIC).hexdigest()


def test_keys_are_equal_when_their_bytes_are() -> None:
    other = LocalSigner.from_seed(SECOND_SEED, KeyRole.ROOT).public_key
    assert PublicKey(PUBLIC) == PublicKey(PUBLIC)
    assert len({PublicKey(PUBLIC), PublicKey(PUBLIC), other}) == 2
    assert PublicKey(PUBLIC) != other
    assert PublicKey(PUBLIC) != PUBLIC


def test_generated_keys_differ_and_sign() -> None:
    one, two = LocalSigner.generate(KeyRole.INSTANCE), LocalSigner.generate(KeyRole.INSTANCE)
    assert one.public_key != two.public_key
    assert one.public_key.verify(one.sign(b"m"), b"m")
    assert one.role is KeyRole.INSTANCE


@pytest.mark.parametrize(
    "text",
    [
        "", "opk", "opk_", "_" + "0" * 32, "xxk_" + "0" * 32, "OPK_" + "0" * 32, "opk_" + "0" * 31, "opk_" + "0" * 33,
        "opk_" + "A" * 32, "opk_" + "g" * 32, "opk-" + "0" * 32, "opk_" + "0" * 31 + "\n", "opk_" + "٣" * 32, "lse_" + "0" * 32,
    ],
)  # fmt: skip
def test_what_is_no_key_id_has_no_role(text: str) -> None:
    assert role_of(text) is None


def test_role_prefixes_are_part_of_the_format() -> None:
    assert {role.name: role.value for role in KeyRole} == {
        "ROOT": "rtk",
        "OPERATOR": "opk",
        "ISSUER": "isk",
        "LEDGER": "lgk",
        "INSTANCE": "ink",
    }
