"""The matching rules, each one function over the items still open.

Promises: a match names its rule; `OpenItems.settle` makes it impossible to use
an entry or a payment twice; a pair whose strongest common identifier disagrees
is never joined. Pure logic: nothing here reads or writes anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from config import Tolerances
from identity import Identity
from model import Payment, StatementEntry

END_TO_END_ID = "end_to_end_id"
BATCH_SUM = "batch_sum"
REMITTANCE_REFERENCE = "remittance_reference"
DATE_WINDOW_AND_FEE = "date_window_and_fee"
RULES = (END_TO_END_ID, BATCH_SUM, REMITTANCE_REFERENCE, DATE_WINDOW_AND_FEE)


@dataclass(frozen=True)
class Match:
    """One entry settled by one payment, or by several in a batch."""

    entry: StatementEntry
    payments: tuple[Payment, ...]
    rule: str
    fee_minor: int
    days_apart: int


@dataclass(frozen=True)
class AmountDifference:
    """Entry and payments surely belong together, but the amounts disagree."""

    entry: StatementEntry
    payments: tuple[Payment, ...]
    identified_by: str

    @property
    def difference_minor(self) -> int:
        return self.entry.amount_minor - _total(self.payments)


class OpenItems:
    """What is still unmatched. `settle` pops, so using an item twice raises KeyError."""

    def __init__(
        self, entries: Iterable[StatementEntry], payments: Iterable[Payment], identity: Identity
    ) -> None:
        self.entries = {entry.entry_id: entry for entry in entries}
        self.payments = {payment.payment_id: payment for payment in payments}
        self.identity = identity

    def settle(self, entry: StatementEntry, payments: Iterable[Payment]) -> None:
        del self.entries[entry.entry_id]
        for payment in payments:
            del self.payments[payment.payment_id]

    def payments_by(self, keys: Callable[[Payment], Iterable[str]]) -> defaultdict[str, list[Payment]]:
        index: defaultdict[str, list[Payment]] = defaultdict(list)
        for payment in self.payments.values():
            for key in keys(payment):
                index[key].append(payment)
        return index


def match_exact(open_items: OpenItems, rule: str) -> list[Match]:
    """Same identifier, currency and signed amount."""
    identity = open_items.identity
    by_id = rule == END_TO_END_ID
    index = open_items.payments_by(identity.end_to_end_ids if by_id else identity.payment_references)
    matches = []
    for entry in list(open_items.entries.values()):
        keys = identity.end_to_end_ids(entry) if by_id else identity.entry_references(entry)
        for payment in (payment for key in keys for payment in index[key]):
            is_open = payment.payment_id in open_items.payments
            if is_open and _money(payment) == _money(entry) and not identity.contradict(entry, payment):
                open_items.settle(entry, (payment,))
                matches.append(Match(entry, (payment,), rule, 0, _days_apart(entry, payment)))
                break
    return matches


def match_batches(open_items: OpenItems) -> list[Match]:
    """One collective booking against all open payments of the same batch, by sum."""
    matches = []
    index = open_items.payments_by(_batch_ids)
    for entry in list(open_items.entries.values()):
        batch = _open_batch(open_items, index, entry)
        if batch and _total(batch) == entry.amount_minor:
            days_apart = max(_days_apart(entry, payment) for payment in batch)
            open_items.settle(entry, batch)
            matches.append(Match(entry, batch, BATCH_SUM, 0, days_apart))
    return matches


def match_tolerant(open_items: OpenItems, tolerances: Tolerances) -> list[Match]:
    """Common evidence, near in time, the amount short by no more than a bank fee.

    All possible pairs compete at once, the smallest fee and then the smallest
    distance in days first, so that the outcome does not depend on file order
    where the evidence differs.
    """
    index = open_items.payments_by(open_items.identity.payment_evidence)
    pairs: dict[tuple[str, str], tuple[int, int, int, str]] = {}
    for number, entry in enumerate(open_items.entries.values()):
        fee_max_minor = tolerances.fee_max_minor.get(entry.currency, 0)
        keys = open_items.identity.entry_evidence(entry)
        for payment in (payment for key in keys for payment in index[key]):
            fee_minor = payment.amount_minor - entry.amount_minor
            days_apart = _days_apart(entry, payment)
            if (
                _same_side(entry, payment)
                and 0 <= fee_minor <= fee_max_minor
                and days_apart <= tolerances.window_days
                and not open_items.identity.contradict(entry, payment)
            ):
                rank = (fee_minor, days_apart, number, payment.payment_id)
                pairs[(entry.entry_id, payment.payment_id)] = rank
    matches = []
    for (entry_id, payment_id), rank in sorted(pairs.items(), key=lambda pair: pair[1]):
        if entry_id in open_items.entries and payment_id in open_items.payments:
            entry, payment = open_items.entries[entry_id], open_items.payments[payment_id]
            open_items.settle(entry, (payment,))
            matches.append(Match(entry, (payment,), DATE_WINDOW_AND_FEE, rank[0], rank[1]))
    return matches


def find_amount_differences(open_items: OpenItems) -> list[AmountDifference]:
    """Pairs that an identifier ties together although no rule accepts the amount."""
    differences = []
    batch_index = open_items.payments_by(_batch_ids)
    for entry in list(open_items.entries.values()):
        batch = _open_batch(open_items, batch_index, entry)
        if batch:
            open_items.settle(entry, batch)
            differences.append(AmountDifference(entry, batch, "batch_id"))
    identity = open_items.identity
    index = open_items.payments_by(identity.payment_identifiers)
    for entry in list(open_items.entries.values()):
        for key in identity.entry_identifiers(entry):
            payment = next(
                (
                    payment
                    for payment in index[key]
                    if payment.payment_id in open_items.payments
                    and _same_side(entry, payment)
                    and not identity.contradict(entry, payment)
                ),
                None,
            )
            if payment is not None:
                open_items.settle(entry, (payment,))
                kind = key.partition(":")[0]
                differences.append(AmountDifference(entry, (payment,), kind))
                break
    return differences


def _batch_ids(payment: Payment) -> list[str]:
    return [payment.batch_id] if payment.batch_id else []


def _open_batch(
    open_items: OpenItems, index: dict[str, list[Payment]], entry: StatementEntry
) -> tuple[Payment, ...]:
    return tuple(
        payment
        for payment in index.get(entry.batch_id, ())
        if payment.payment_id in open_items.payments and payment.currency == entry.currency
    )


def _money(item: StatementEntry | Payment) -> tuple[str, int]:
    return item.currency, item.amount_minor


def _same_side(entry: StatementEntry, payment: Payment) -> bool:
    same_direction = (entry.amount_minor > 0) == (payment.amount_minor > 0)
    return entry.currency == payment.currency and same_direction


def _days_apart(entry: StatementEntry, payment: Payment) -> int:
    return abs((entry.booking_date - payment.execution_date).days)


def _total(payments: Iterable[Payment]) -> int:
    return sum(payment.amount_minor for payment in payments)
