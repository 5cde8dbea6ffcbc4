"""Checkpoints are C2SP signed notes; only this tenant's ledger and distinct witnesses count."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner, PublicKey
from dragons.evidence.checkpoint import (
    LINES_MAX,
    NOTE_BYTES_MAX,
    Checkpoint,
    Witness,
    cosign,
    count_witnesses,
    format_witness,
    key_hash,
    origin_of,
    parse_note,
    parse_witness,
    sign_checkpoint,
    verify_checkpoint,
)
from tests.property.builders import name, signer

TENANT, OTHER_TENANT = name("tnt", 1), name("tnt", 2)
LEDGER, OLD_LEDGER = signer(5, KeyRole.LEDGER), signer(6, KeyRole.LEDGER)
KEYS = [LEDGER.public_key]
ROOT = bytes(range(32))
NOTE = sign_checkpoint(TENANT, 7, ROOT, LEDGER)
CHECKPOINT = Checkpoint(f"dragons/{TENANT}", 7, ROOT)
LINE = NOTE.split("\n")[4]
BODY = NOTE.split("\n\n")[0]

ANN, BEN = signer(11), signer(12)
WITNESSES = [Witness("ann.example", ANN.public_key), Witness("ben.example", BEN.public_key)]
SEEN = 1_800_000_000

# The example of golang.org/x/mod/sumdb/note, whose form C2SP signed-note describes.
PETER = PublicKey(b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:])
PETER_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
PETER_LINE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def malformed(note: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_note(note)
    assert caught.value.code == "checkpoint_malformed"


def signed_line(
    label: str, key: LocalSigner, *, origin: str = CHECKPOINT.origin, text: str = BODY + "\n"
) -> str:
    signature = key_hash(origin, key.public_key, 1) + key.sign(text.encode())
    return f"\u2014 {label} {b64encode(signature).decode()}\n"


def test_the_example_of_the_note_format_holds() -> None:
    raw = b64decode(PETER_LINE)
    assert key_hash("PeterNeumann", PETER, 1).hex() == "c74f20a3"
    assert raw[:4] == key_hash("PeterNeumann", PETER, 1)
    assert PETER.verify(raw[4:], PETER_TEXT.encode())


def test_a_note_has_this_form() -> None:
    assert (
        f"dragons/{TENANT}\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
        f"\u2014 dragons/{TENANT} {LINE.rsplit(' ', 1)[1]}\n"
    ) == NOTE
    assert origin_of(TENANT) == f"dragons/{TENANT}"


def test_a_note_is_read_and_verified() -> None:
    parsed = parse_note(NOTE)
    assert parsed.checkpoint == CHECKPOINT
    assert parsed.text.decode() == BODY + "\n"
    assert parsed.signatures[0].key_hash == key_hash(CHECKPOINT.origin, LEDGER.public_key, 1)
    assert verify_checkpoint(NOTE, TENANT, KEYS) == CHECKPOINT


def test_the_empty_log_has_a_checkpoint_too() -> None:
    note = sign_checkpoint(TENANT, 0, ROOT, LEDGER)
    assert verify_checkpoint(note, TENANT, KEYS) == Checkpoint(CHECKPOINT.origin, 0, ROOT)


def test_a_checkpoint_of_another_tenant_does_not_verify() -> None:
    assert verify_checkpoint(NOTE, OTHER_TENANT, KEYS) is None
    assert verify_checkpoint(NOTE.replace(TENANT, OTHER_TENANT), OTHER_TENANT, KEYS) is None


def test_a_checkpoint_of_another_key_does_not_verify() -> None:
    assert verify_checkpoint(NOTE, TENANT, [OLD_LEDGER.public_key]) is None
    assert verify_checkpoint(NOTE, TENANT, [OLD_LEDGER.public_key, LEDGER.public_key]) == CHECKPOINT


def test_without_trusted_keys_nothing_verifies() -> None:
    assert verify_checkpoint(NOTE, TENANT, []) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n8\n"),
        ("AAEC", "AAED"),
        (f"dragons/{TENANT}\n7", f"dragons/{TENANT} \n7"),
        ("dragons/", "Dragons/"),
    ],
)
def test_an_altered_line_does_not_verify(old: str, new: str) -> None:
    assert old in NOTE
    assert verify_checkpoint(NOTE.replace(old, new, 1), TENANT, KEYS) is None


def test_a_key_of_this_tenant_does_not_speak_for_another_origin() -> None:
    text = f"dragons/{OTHER_TENANT}\n7\n{b64encode(ROOT).decode()}\n"
    assert (
        verify_checkpoint(f"{text}\n{signed_line(CHECKPOINT.origin, LEDGER, text=text)}", TENANT, KEYS)
        is None
    )


def test_a_signature_under_another_name_does_not_verify() -> None:
    assert verify_checkpoint(f"{BODY}\n\n{signed_line('somebody', LEDGER)}", TENANT, KEYS) is None
    assert (
        verify_checkpoint(f"{BODY}\n\n{signed_line(CHECKPOINT.origin, LEDGER)}", TENANT, KEYS) == CHECKPOINT
    )


def test_a_key_hash_that_is_borrowed_does_not_verify() -> None:
    forged = key_hash(CHECKPOINT.origin, LEDGER.public_key, 1) + OLD_LEDGER.sign(BODY.encode() + b"\n")
    note = f"{BODY}\n\n\u2014 {CHECKPOINT.origin} {b64encode(forged).decode()}\n"
    assert verify_checkpoint(note, TENANT, KEYS) is None


def test_a_broken_line_does_not_hide_a_good_one() -> None:
    forged = key_hash(CHECKPOINT.origin, LEDGER.public_key, 1) + bytes(64)
    note = f"{BODY}\n\n\u2014 {CHECKPOINT.origin} {b64encode(forged).decode()}\n{LINE}\n"
    assert verify_checkpoint(note, TENANT, KEYS) == CHECKPOINT


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        BODY,
        BODY + "\n",
        BODY + "\n\n",
        NOTE[:-1],
        NOTE + "\n",
        NOTE + LINE,
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n\n", "\n\n\n"),
        NOTE.replace("\n\n", "\nextension\n\n"),
        NOTE.replace("\n7\n", "\n"),
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n7\n", "\n+7\n"),
        NOTE.replace("\n7\n", "\n-7\n"),
        NOTE.replace("\n7\n", "\n7 \n"),
        NOTE.replace("\n7\n", "\n7_0\n"),
        NOTE.replace("\n7\n", "\n0x7\n"),
        NOTE.replace("\n7\n", "\n\u0667\n"),
        NOTE.replace("\n7\n", "\n²\n"),
        NOTE.replace("\n7\n", "\n\n"),
        NOTE.replace("\n7\n", f"\n{'9' * 17}\n"),
        NOTE.replace("\n7\n", f"\n{'9' * 5000}\n"),
        NOTE.replace("Hh8=\n\n", "Hh8\n\n"),
        NOTE.replace("Hh8=\n\n", "Hh9=\n\n"),
        NOTE.replace("Hh8=\n\n", "\n\n"),
        NOTE.replace("Hh8=\n\n", "Hh8gIA==\n\n"),
        NOTE.replace("AAEC", "AA-C"),
        NOTE.replace("AAEC", "AA C"),
        NOTE.replace("\u2014 ", "- "),
        NOTE.replace("\u2014 ", "\u2014"),
        NOTE.replace("\u2014 ", "\u2014  "),
        NOTE.replace(f"\u2014 {CHECKPOINT.origin} ", "\u2014  "),
        NOTE.replace(f"\u2014 {CHECKPOINT.origin} ", "\u2014 a+b "),
        f"{BODY}\n\n\u2014 name\n",
        f"{BODY}\n\n\u2014 name \n",
        f"{BODY}\n\n\u2014 name AAAAAA==\n",
        f"{BODY}\n\n\u2014 name AAAAAAB=\n",
        f"{BODY}\n\n{LINE}\n" + "x" * NOTE_BYTES_MAX + "\n",
        f"{BODY}\n\n" + f"{LINE}\n" * (LINES_MAX + 1),
        "\ud800",
    ],
    ids=range(43),
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    assert note != NOTE
    malformed(note)


def test_a_note_has_a_largest_size() -> None:
    def note(length: int) -> str:
        return NOTE + f"\u2014 {'n' * 1_000} AAAAAAAA\n" * 60 + f"\u2014 {'n' * length} AAAAAAAA\n"

    spare = NOTE_BYTES_MAX - len(note(0).encode())
    assert verify_checkpoint(note(spare), TENANT, KEYS) == CHECKPOINT
    malformed(note(spare + 1))


def test_the_largest_number_of_lines_passes() -> None:
    assert verify_checkpoint(f"{BODY}\n\n" + f"{LINE}\n" * LINES_MAX, TENANT, KEYS) == CHECKPOINT


def test_a_witness_adds_its_line_and_takes_none_away() -> None:
    note = cosign(NOTE, "ann.example", ANN, SEEN)
    assert note.startswith(NOTE)
    assert verify_checkpoint(note, TENANT, KEYS) == CHECKPOINT
    line = parse_note(note).signatures[1]
    assert line.name == "ann.example"
    assert line.key_hash == key_hash("ann.example", ANN.public_key, 4)
    assert int.from_bytes(line.signature[:8]) == SEEN
    assert ANN.public_key.verify(line.signature[8:], f"cosignature/v1\ntime {SEEN}\n{BODY}\n".encode())


def test_witnesses_count_by_distinct_key() -> None:
    assert count_witnesses(NOTE, WITNESSES) == 0
    once = cosign(NOTE, "ann.example", ANN, SEEN)
    assert count_witnesses(once, WITNESSES) == 1
    assert count_witnesses(cosign(once, "ben.example", BEN, SEEN), WITNESSES) == 2


def test_the_same_key_on_two_lines_counts_once() -> None:
    twice = cosign(cosign(NOTE, "ann.example", ANN, SEEN), "ann.example", ANN, SEEN + 1)
    assert count_witnesses(twice, WITNESSES) == 1


def test_the_same_key_under_two_names_counts_once() -> None:
    both = cosign(cosign(NOTE, "ann.example", ANN, SEEN), "anna.example", ANN, SEEN)
    assert count_witnesses(both, [*WITNESSES, Witness("anna.example", ANN.public_key)]) == 1


def test_a_witness_that_is_not_trusted_does_not_count() -> None:
    note = cosign(NOTE, "eve.example", signer(13), SEEN)
    assert count_witnesses(note, WITNESSES) == 0
    assert count_witnesses(cosign(NOTE, "ann.example", ANN, SEEN), []) == 0


def test_a_borrowed_name_does_not_count() -> None:
    assert count_witnesses(cosign(NOTE, "ann.example", signer(13), SEEN), WITNESSES) == 0
    assert count_witnesses(cosign(NOTE, "ben.example", ANN, SEEN), WITNESSES) == 0


def test_the_ledgers_own_signature_is_no_cosignature() -> None:
    plain = f"{BODY}\n\n{LINE}\n{signed_line('ann.example', ANN, origin='ann.example')}"
    assert count_witnesses(plain, WITNESSES) == 0
    assert count_witnesses(NOTE, [Witness(CHECKPOINT.origin, LEDGER.public_key)]) == 0


def test_a_cosignature_over_another_size_or_time_does_not_count() -> None:
    line = cosign(sign_checkpoint(TENANT, 8, ROOT, LEDGER), "ann.example", ANN, SEEN).split("\n")[5]
    assert count_witnesses(f"{NOTE}{line}\n", WITNESSES) == 0
    raw = bytearray(parse_note(cosign(NOTE, "ann.example", ANN, SEEN)).signatures[1].signature)
    raw[7] ^= 1
    moved = b64encode(key_hash("ann.example", ANN.public_key, 4) + bytes(raw)).decode()
    assert count_witnesses(f"{NOTE}\u2014 ann.example {moved}\n", WITNESSES) == 0


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\x00", lambda raw: raw[8:]])
def test_a_cosignature_of_another_length_does_not_count(change: object) -> None:
    raw = parse_note(cosign(NOTE, "ann.example", ANN, SEEN)).signatures[1].signature
    text = b64encode(key_hash("ann.example", ANN.public_key, 4) + change(raw)).decode()  # type: ignore[operator]
    assert count_witnesses(f"{NOTE}\u2014 ann.example {text}\n", WITNESSES) == 0


def test_a_witness_key_comes_back_from_its_text() -> None:
    for witness in WITNESSES:
        assert parse_witness(format_witness(witness)) == witness


def vkey(
    label: str = "ann.example", raw: bytes = b"\x04" + ANN.public_key.raw, digits: str | None = None
) -> str:
    found = key_hash("ann.example", ANN.public_key, 4).hex() if digits is None else digits
    return f"{label}+{found}+{b64encode(raw).decode()}"


def test_a_witness_key_has_this_form() -> None:
    assert vkey() == format_witness(WITNESSES[0])


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "++", "ann.example", vkey(label=""), vkey(label="bob"), vkey(label="", digits=key_hash("", ANN.public_key, 4).hex()), vkey(digits=""), vkey(digits="00000000"), vkey(digits="C0FFEE00"),
        vkey(raw=b""), vkey(raw=ANN.public_key.raw), vkey(raw=b"\x01" + ANN.public_key.raw), vkey(raw=b"\x04" + ANN.public_key.raw[1:]),
        vkey(raw=b"\x04" + ANN.public_key.raw + b"\x00"), vkey() + "\n", vkey() + " ", vkey()[:-1],
        vkey(raw=b"\x04" + BEN.public_key.raw),
    ],
)  # fmt: skip
def test_what_is_no_witness_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_witness(text)
    assert caught.value.code == "checkpoint_malformed"


@pytest.mark.parametrize(("raw", "code"), [(bytes(32), "key_low_order"), (b"\xff" * 32, "key_non_canonical")])
def test_a_witness_key_that_is_unsafe_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_witness(vkey(raw=b"\x04" + raw))
    assert caught.value.code == code
