"""Names are a prefix and a UUIDv7; they sort by the time they were made."""

from __future__ import annotations

import uuid

import pytest

from dragons.core import ids
from dragons.core.canonical import Document, decode, encode
from dragons.core.errors import InvalidInputError

DIGITS = "019e5f80a1f37cc28d0012345678abcd"
GOOD_AGENTS = ["a", "reconciler", "a-1-b", "a" * 63]
BAD_AGENTS = [
    "", "A", "Reconciler", "reconciler ", " reconciler", "reconciler\n", "1a", "-a", "a_b", "a.b", "a@v1", "é", "a٣", "a" * 64,
]  # fmt: skip


class Named(Document):
    id: ids.Id
    instance: ids.InstanceId
    agent: ids.AgentName


def test_a_uuid_has_version_7_variant_10_and_its_time() -> None:
    now_ms = 0x0123456789AB
    value = uuid.UUID(ids.uuid7_hex(now_ms))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == now_ms


def test_the_other_74_bits_are_random() -> None:
    seen_set, seen_clear = 0, 0
    for _ in range(200):
        value = int(ids.uuid7_hex(0), 16)
        seen_set |= value
        seen_clear |= ~value
    both = seen_set & seen_clear & ((1 << 128) - 1)
    assert both == 0xFFF << 64 | (1 << 62) - 1


def test_two_names_made_at_once_differ() -> None:
    assert len({ids.uuid7_hex(1_800_000_000_000) for _ in range(1_000)}) == 1_000


def test_a_later_name_sorts_after_an_earlier_one() -> None:
    moments = [0, 1, 1_799_999_999_999, 1_800_000_000_000, (1 << 48) - 1]
    names = [ids.new_id(ids.LEASE, ms) for ms in moments]
    assert names == sorted(names)


@pytest.mark.parametrize("prefix", sorted(ids.PREFIXES))
def test_a_new_name_passes_its_own_check_and_no_other(prefix: str) -> None:
    name = ids.new_id(prefix, 1_800_000_000_000)
    assert ids.check_id(prefix, name) == name
    for other in ids.PREFIXES - {prefix}:
        with pytest.raises(InvalidInputError):
            ids.check_id(other, name)


def test_prefixes_are_distinct_and_of_three_letters() -> None:
    constants = [value for key, value in vars(ids).items() if key.isupper() and isinstance(value, str)]
    assert len(constants) == len(set(constants))
    assert set(constants) == ids.PREFIXES
    assert all(len(prefix) == 3 and prefix.isascii() and prefix.islower() for prefix in constants)


@pytest.mark.parametrize(
    "text",
    [
        "", "lse_", DIGITS, f"LSE_{DIGITS}", f"lse_{DIGITS.upper()}", f"lse_{DIGITS}\n", f" lse_{DIGITS}", f"lse-{DIGITS}",
        f"lse_{DIGITS[:-1]}", f"lse_{DIGITS}0", f"lse_{DIGITS[:-1]}g", f"lse_{DIGITS[:-1]}٣", f"dck_{DIGITS}", f"xlse_{DIGITS}",
    ],
)  # fmt: skip
def test_other_text_is_no_name_of_a_lease(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ids.check_id(ids.LEASE, text)
    assert caught.value.code == "id_malformed"


@pytest.mark.parametrize("text", GOOD_AGENTS)
def test_an_agent_name_is_itself(text: str) -> None:
    assert ids.check_agent_name(text) == text


@pytest.mark.parametrize("text", BAD_AGENTS)
def test_other_text_cannot_name_an_agent(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ids.check_agent_name(text)
    assert caught.value.code == "agent_name_malformed"
    assert caught.value.fix


@pytest.mark.parametrize("text", BAD_AGENTS)
def test_a_document_refuses_a_bad_agent_name_too(text: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Named, encode(Named(id=f"lse_{DIGITS}", instance=DIGITS, agent=text)))


@pytest.mark.parametrize(
    ("identifier", "instance"),
    [(f"lse_{DIGITS}0", DIGITS), (f"lse_{DIGITS[1:]}", DIGITS), (f"lse_{DIGITS}", DIGITS[1:])],
)
def test_a_document_refuses_names_of_another_length(identifier: str, instance: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Named, encode(Named(id=identifier, instance=instance, agent="a")))


def test_a_new_instance_id_passes_its_check() -> None:
    for ms in (0, 1_800_000_000_000, (1 << 48) - 1):
        text = ids.uuid7_hex(ms)
        assert ids.check_instance_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", DIGITS[:-1], DIGITS + "0", DIGITS.upper(), DIGITS + "\n", f"lse_{DIGITS}", str(uuid.UUID(DIGITS)),
        uuid.UUID(int=0).hex, DIGITS[:12] + "4" + DIGITS[13:], DIGITS[:16] + "7" + DIGITS[17:], DIGITS[:-1] + "٣",
    ],
)  # fmt: skip
def test_other_text_is_no_instance_id(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ids.check_instance_id(text)
    assert caught.value.code == "id_malformed"


def test_a_nonce_is_32_hex_digits_and_new_each_time() -> None:
    nonces = {ids.new_nonce() for _ in range(1_000)}
    assert len(nonces) == 1_000
    assert all(len(nonce) == 32 and set(nonce) <= set("0123456789abcdef") for nonce in nonces)


def test_jitter_is_spread_over_minus_one_to_one() -> None:
    found = [ids.new_jitter() for _ in range(1_000)]
    assert all(-1.0 <= jitter <= 1.0 for jitter in found)
    assert min(found) < -0.5 < 0.5 < max(found)
