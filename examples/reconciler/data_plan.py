"""Plan a month of banking with a known set of discrepancies.

Promises: everything follows from the seed and the tolerances; the truth is
written down while a case is planted and never computed by matching. Amounts of
one counterparty in one currency keep a distance well above the largest fee, so
each planted case has exactly one right answer.
"""

import itertools
import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from config import Tolerances
from data_names import (
    COMPANIES,
    OWN_ACCOUNTS,
    PLAIN_TEXTS,
    as_bank_prints,
    as_payer_types,
    german_iban,
)
from model import Payment, StatementEntry

FIRST_DAY, LAST_DAY = date(2025, 3, 3), date(2025, 3, 31)


@dataclass
class Truth:
    """What a correct reconciliation finds. Entries are named by their draft id until the end."""

    matches: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    amount_differences: list[tuple[str, list[str], int]] = field(default_factory=list)
    duplicate_entries: list[tuple[str, str]] = field(default_factory=list)
    duplicate_payments: list[tuple[str, str]] = field(default_factory=list)
    unmatched_entries: list[str] = field(default_factory=list)
    unmatched_payments: list[str] = field(default_factory=list)
    balance_breaks: list[tuple[str, str, int]] = field(default_factory=list)


class Plan:
    """Collects entries, payments and the truth about them."""

    def __init__(self, seed: int, tolerances: Tolerances) -> None:
        self.rng = random.Random(seed)
        self.tolerances = tolerances
        self.entries: list[StatementEntry] = []
        self.payments: list[Payment] = []
        self.truth = Truth()
        self.iban_of = {currency: german_iban(self.rng) for currency, _ in OWN_ACCOUNTS}
        self.companies = [(name, german_iban(self.rng)) for name in COMPANIES]
        span = (LAST_DAY - FIRST_DAY).days + 1
        days = (FIRST_DAY + timedelta(days=number) for number in range(span))
        self.business_days = [day for day in days if day.weekday() < 5]
        # Drafts that the bank books under the reference of another draft.
        self.reference_of: dict[str, str] = {}
        self._payment_numbers = itertools.count(1)
        self._entry_numbers = itertools.count(1)
        self._amounts: dict[tuple[str, str], list[int]] = {}

    def amount(self, currency: str, company: str) -> int:
        """An unsigned amount far from every other of this company and currency."""
        used = self._amounts.setdefault((currency, company), [])
        distance = 4 * max(self.tolerances.fee_max_minor.values())
        while True:
            high = self.rng.choice((200_000, 1_000_000, 5_000_000))
            amount_minor = self.rng.randrange(20_000, high)
            if all(abs(amount_minor - other) > distance for other in used):
                used.append(amount_minor)
                return amount_minor

    def payment(self, currency: str = "", sign: int = 0) -> Payment:
        """A new payment with all identifiers, not yet part of the plan."""
        rng, number = self.rng, next(self._payment_numbers)
        weights = [weight for _, weight in OWN_ACCOUNTS]
        currency = currency or rng.choices(OWN_ACCOUNTS, weights)[0][0]
        company, iban = rng.choice(self.companies)
        day = rng.choice(self.business_days)
        return Payment(
            payment_id=f"PAY-{number:06d}",
            execution_date=day,
            amount_minor=(sign or rng.choice((1, -1))) * self.amount(currency, company),
            currency=currency,
            end_to_end_id=f"E2E-{day:%Y%m%d}-{number:06d}",
            reference=f"{rng.choice(('INV', 'PO', 'CN'))}-2025-{number:05d}",
            batch_id="",
            counterparty=company,
            counterparty_iban=iban,
        )

    def entry_for(self, payment: Payment, delay_days_max: int = 2) -> StatementEntry:
        """The booking a bank would make of the payment, with all identifiers."""
        rng = self.rng
        delay = timedelta(days=rng.randint(0, delay_days_max))
        on_or_after = [d for d in self.business_days if d >= payment.execution_date + delay]
        day = on_or_after[0] if on_or_after else LAST_DAY
        return StatementEntry(
            entry_id=f"draft-{next(self._entry_numbers)}",
            bank_reference="",
            account_iban=self.iban_of[payment.currency],
            currency=payment.currency,
            amount_minor=payment.amount_minor,
            booking_date=day,
            value_date=day + timedelta(days=rng.randint(0, 1)),
            end_to_end_id=payment.end_to_end_id,
            batch_id="",
            remittance=as_payer_types(payment.reference, rng),
            counterparty=as_bank_prints(payment.counterparty),
            counterparty_iban=payment.counterparty_iban if rng.random() < 0.7 else "",
        )

    def add_payment(self, payment: Payment) -> Payment:
        self.payments.append(payment)
        return payment

    def add_entry(self, entry: StatementEntry) -> StatementEntry:
        self.entries.append(entry)
        return entry

    def add_match(self, entry: StatementEntry, payments: list[Payment], rule: str) -> None:
        self.add_entry(entry)
        ids = [self.add_payment(payment).payment_id for payment in payments]
        self.truth.matches[entry.entry_id] = (rule, ids)

    def renamed(self, payment: Payment) -> Payment:
        """The same order once more: new payment id, end-to-end id and reference."""
        number = next(self._payment_numbers)
        return replace(
            payment,
            payment_id=f"PAY-{number:06d}",
            end_to_end_id=f"E2E-{payment.execution_date:%Y%m%d}-{number:06d}",
            reference=f"INV-2025-{number:05d}",
        )

    def rebooked(self, entry: StatementEntry) -> StatementEntry:
        """The same booking once more, as a new draft."""
        return replace(entry, entry_id=f"draft-{next(self._entry_numbers)}")

    def shifted_day(self, day: date, days_min: int, days_max: int) -> date:
        """A business day whose distance from `day` is within the two limits."""
        possible = [d for d in self.business_days if days_min <= abs((d - day).days) <= days_max]
        return self.rng.choice(possible)

    def without_identifiers(self, entry: StatementEntry) -> StatementEntry:
        return replace(entry, end_to_end_id="", remittance=self.rng.choice(PLAIN_TEXTS))
