"""Payloads against their commitments, one look ahead."""

from __future__ import annotations

from dragons.audit.redaction import PayloadCheck
from dragons.core.canonical import encode
from dragons.evidence.payload import Payload, commit
from dragons.evidence.receipt import Erasure, Header
from tests.property.builders import make_header, name

PAYLOADS = [commit({"n": n}, salt=bytes([n]) * 32) for n in range(3)]


def header(number: int) -> Header:
    return make_header(receipt_id=name("rcp", number), seq=number, payload_hash=PAYLOADS[number].payload_hash)


def run(payloads: list[Payload], *, expected: bool = True, erased: tuple[int, ...] = ()) -> PayloadCheck:
    check = PayloadCheck(map(encode, payloads), expected=expected)
    for number in range(3):
        assert check.follow(header(number), number) is None
    if erased:
        check.erase(
            Erasure(
                tenant_id=name("tnt", 1),
                receipts=[name("rcp", number) for number in erased],
                reason="asked",
                erased_at="2027-01-15T08:00:00.000Z",
            )
        )
    return check


def codes(check: PayloadCheck) -> list[tuple[str, int | None]]:
    return [(fault.code, fault.index) for fault in check.end()]


def test_all_open() -> None:
    check = run(PAYLOADS)
    assert (check.opened, check.withheld, codes(check)) == (3, 0, [])


def test_a_redacted_pack_only_counts() -> None:
    check = run([], expected=False)
    assert (check.opened, check.withheld, codes(check)) == (0, 3, [])


def test_the_first_withheld_payload_is_named() -> None:
    assert codes(run(PAYLOADS[2:])) == [("payload_withheld", 0)]
    assert codes(run(PAYLOADS[:1])) == [("payload_withheld", 1)]


def test_an_erasure_explains_what_is_missing() -> None:
    check = run(PAYLOADS[1:], erased=(0,))
    assert (check.opened, check.withheld, check.erased, codes(check)) == (2, 0, 1, [])


def test_an_erasure_of_something_else_explains_nothing() -> None:
    assert codes(run(PAYLOADS[1:], erased=(1, 2))) == [("payload_withheld", 0)]


def test_payloads_out_of_order_are_unclaimed() -> None:
    check = run([PAYLOADS[1], PAYLOADS[0]], expected=False)
    assert codes(check) == [("payload_unclaimed", None)]


def test_an_altered_payload_is_named_at_its_receipt() -> None:
    wrong = Payload(payload_hash=PAYLOADS[0].payload_hash, salt=PAYLOADS[0].salt, body=b'{"n":9}')
    check = PayloadCheck(iter([encode(wrong)]), expected=True)
    fault = check.follow(header(0), 7)
    assert fault is not None
    assert (fault.code, fault.index) == ("payload_altered", 7)


def test_a_malformed_line_is_a_fault_and_no_exception() -> None:
    check = PayloadCheck(iter([b"{}"]), expected=False)
    assert check.follow(header(0), 0) is None
    assert codes(check) == [("payload_malformed", None)]
