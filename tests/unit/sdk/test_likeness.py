from __future__ import annotations

import hmac
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from dragons.core.keys import KeyRole, LocalSigner
from dragons.sdk.likeness import likeness_of

ONE, OTHER = (LocalSigner.from_seed(bytes([n]) * 32, KeyRole.INSTANCE) for n in (1, 2))


def test_the_key_is_hkdf_of_the_seed() -> None:
    # RFC 5869 by hand: extract without a salt, then one block.
    extracted = hmac.digest(bytes(32), b"\x01" * 32, "sha256")
    key = hmac.digest(extracted, b"dragons likeness v1\x01", "sha256")
    assert likeness_of(ONE, {"b": 1, "a": "x"}) == hmac.digest(key, b'{"a":"x","b":1}', "sha256").hex()


def test_the_same_process_and_an_attached_one_agree() -> None:
    again = LocalSigner.from_seed(ONE.seed(), KeyRole.INSTANCE)
    assert likeness_of(again, {"a": 1}) == likeness_of(ONE, {"a": 1})


def test_of_another_instance_nothing_is_alike() -> None:
    assert likeness_of(OTHER, {"a": 1}) != likeness_of(ONE, {"a": 1})
    assert likeness_of(ONE, {"a": 1}) != sha256(b'{"a":1}').hexdigest()


works = st.dictionaries(st.text(max_size=4), st.integers(-9, 9) | st.text(max_size=4) | st.booleans())


@given(works, works)
def test_only_equal_work_is_alike(one: dict[str, object], other: dict[str, object]) -> None:
    same = likeness_of(ONE, one) == likeness_of(ONE, other)
    # True and 1 are equal to Python and not in JSON.
    assert same is (repr(sorted(one.items())) == repr(sorted(other.items())))
