"""Match bank entries to payments.

Promises: every entry and every payment ends up in exactly one place of the
`Reconciliation`, and the same input always gives the same result. The rules
run from strongest to weakest evidence; a later rule sees only what the earlier
ones left open. Pure logic: nothing here reads or writes anything.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import duplicates
import rules
from config import Tolerances
from duplicates import Duplicate
from identity import Identity
from model import InputError, Payment, Statement, StatementEntry
from rules import AmountDifference, Match, OpenItems


@dataclass(frozen=True)
class Reconciliation:
    """Every entry and every payment appears in exactly one of these places."""

    matches: tuple[Match, ...]
    amount_differences: tuple[AmountDifference, ...]
    duplicate_entries: tuple[Duplicate[StatementEntry], ...]
    duplicate_payments: tuple[Duplicate[Payment], ...]
    unmatched_entries: tuple[StatementEntry, ...]
    unmatched_payments: tuple[Payment, ...]
    payments_outside_period: tuple[Payment, ...]


def reconcile(
    statements: Iterable[Statement], payments: Iterable[Payment], tolerances: Tolerances
) -> Reconciliation:
    """Apply all rules in order and sort out what is left."""
    statements = tuple(statements)
    entries, duplicate_entries = duplicates.split_duplicates(
        (entry for statement in statements for entry in statement.entries), duplicates.entry_keys
    )
    ordered = sorted(payments, key=lambda payment: (payment.execution_date, payment.payment_id))
    for payment_id, count in Counter(payment.payment_id for payment in ordered).items():
        if count > 1:
            raise InputError(f"payment {payment_id}", f"the id occurs {count} times")
    kept, duplicate_payments = duplicates.split_duplicates(ordered, duplicates.payment_keys)
    open_items = OpenItems(entries, kept, Identity(tolerances.reference_pattern))
    matches = [
        *rules.match_exact(open_items, rules.END_TO_END_ID),
        *rules.match_batches(open_items),
        *rules.match_exact(open_items, rules.REMITTANCE_REFERENCE),
        *rules.match_tolerant(open_items, tolerances),
        # Once more, as payments of a batch that the bank booked singly are gone now.
        *rules.match_batches(open_items),
    ]
    differences = rules.find_amount_differences(open_items)
    first = min(statement.opening_date for statement in statements)
    last = max(statement.closing_date for statement in statements)
    left = tuple(open_items.payments.values())
    inside = [first <= payment.execution_date <= last for payment in left]
    position = {entry.entry_id: number for number, entry in enumerate(entries)}
    return Reconciliation(
        matches=tuple(sorted(matches, key=lambda match: position[match.entry.entry_id])),
        amount_differences=tuple(differences),
        duplicate_entries=tuple(duplicate_entries),
        duplicate_payments=tuple(duplicate_payments),
        unmatched_entries=tuple(open_items.entries.values()),
        unmatched_payments=tuple(p for p, is_in in zip(left, inside, strict=True) if is_in),
        payments_outside_period=tuple(p for p, is_in in zip(left, inside, strict=True) if not is_in),
    )
