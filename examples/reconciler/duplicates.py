"""Find records that say the same thing twice.

Promises: the first record (in the order given) is kept, every later one that
shares a key with an earlier one is set aside together with the record it
repeats; nothing is dropped silently.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from model import Payment, StatementEntry

Record = TypeVar("Record")


@dataclass(frozen=True)
class Duplicate(Generic[Record]):
    """`repeated` says again what `original` said first."""

    repeated: Record
    original: Record


def split_duplicates(
    records: Iterable[Record], keys: Callable[[Record], list[Hashable]]
) -> tuple[list[Record], list[Duplicate[Record]]]:
    """Separate first occurrences from repetitions."""
    first_by_key: dict[Hashable, Record] = {}
    kept: list[Record] = []
    duplicates: list[Duplicate[Record]] = []
    for record in records:
        record_keys = keys(record)
        original = next((first_by_key[key] for key in record_keys if key in first_by_key), None)
        if original is None:
            kept.append(record)
            original_of_keys = record
        else:
            duplicates.append(Duplicate(record, original))
            original_of_keys = original
        for key in record_keys:
            first_by_key.setdefault(key, original_of_keys)
    return kept, duplicates


def entry_keys(entry: StatementEntry) -> list[Hashable]:
    """What makes two bank entries the same: account, signed amount and an identifier."""
    same = (entry.account_iban, entry.currency, entry.amount_minor)
    keys: list[Hashable] = []
    if entry.bank_reference:
        # The items of one collective booking share its reference, so the
        # reference alone does not make a duplicate.
        item = (entry.end_to_end_id, entry.counterparty, entry.remittance)
        keys.append(("bank_reference", same, entry.bank_reference, item))
    if entry.end_to_end_id:
        keys.append(("end_to_end_id", same, entry.end_to_end_id))
    elif entry.batch_id:
        keys.append(("batch_id", same, entry.batch_id))
    elif entry.remittance:
        # Text alone is weak evidence, so it counts only within one booking day.
        text = (entry.counterparty, entry.remittance, entry.booking_date)
        keys.append(("text", same, text))
    return keys


def payment_keys(payment: Payment) -> list[Hashable]:
    """What makes two payments the same order: amount and an identifier."""
    same = (payment.currency, payment.amount_minor)
    keys: list[Hashable] = []
    if payment.end_to_end_id:
        keys.append(("end_to_end_id", same, payment.end_to_end_id))
    if payment.reference:
        party = payment.counterparty_iban or payment.counterparty
        keys.append(("reference", same, payment.reference, party))
    return keys
