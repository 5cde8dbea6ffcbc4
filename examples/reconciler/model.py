"""The records every other file works on.

Promises: records are immutable, money is a signed integer in minor units
(positive = money arriving on our account), and every refusal of bad input is
an `InputError` whose text starts with the place (line or element) at fault.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

# What ISO 20022 puts in place of an end-to-end id that the payer did not give.
NOT_PROVIDED = "NOTPROVIDED"


class InputError(ValueError):
    """Input that cannot be trusted; `where` names the line or element."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


@dataclass(frozen=True)
class StatementEntry:
    """One booked movement. `entry_id` is unique in a run; `bank_reference` may repeat."""

    entry_id: str
    bank_reference: str
    account_iban: str
    currency: str
    amount_minor: int
    booking_date: date
    value_date: date
    end_to_end_id: str
    batch_id: str
    remittance: str
    counterparty: str
    counterparty_iban: str


@dataclass(frozen=True)
class Statement:
    """The booked movements of one account between two balances."""

    account_iban: str
    currency: str
    opening_date: date
    opening_minor: int
    closing_date: date
    closing_minor: int
    entries: tuple[StatementEntry, ...]

    @property
    def break_minor(self) -> int:
        """How far the stated closing balance is from opening balance plus entries."""
        return self.closing_minor - self.opening_minor - self.movement_minor

    @property
    def movement_minor(self) -> int:
        return sum(entry.amount_minor for entry in self.entries)


@dataclass(frozen=True)
class Payment:
    """One row of the payments database, with the sign the bank would show."""

    payment_id: str
    execution_date: date
    amount_minor: int
    currency: str
    end_to_end_id: str
    reference: str
    batch_id: str
    counterparty: str
    counterparty_iban: str


def with_entry_ids(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Give every entry a unique id: its bank reference, or its position where it has none.

    A repeated reference gets the suffix `#2`, `#3`, … so that a bank's
    duplicate stays a visible, separate record instead of replacing the first.
    """
    seen: Counter[str] = Counter()
    numbered = []
    for statement in statements:
        entries = []
        for position, entry in enumerate(statement.entries, start=1):
            base = entry.bank_reference or f"{statement.account_iban}/{position}"
            seen[base] += 1
            entry_id = base if seen[base] == 1 else f"{base}#{seen[base]}"
            entries.append(replace(entry, entry_id=entry_id))
        numbered.append(replace(statement, entries=tuple(entries)))
    return tuple(numbered)


def parse_date(text: str, where: str) -> date:
    """Read an ISO calendar date, the only form both statement formats use."""
    # date.fromisoformat alone also takes week dates and compact forms.
    if len(text) == 10 and text[4] == text[7] == "-":
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise InputError(where, f"{text!r} is not a date of the form YYYY-MM-DD")


def parse_iban(text: str, where: str) -> str:
    """Return the IBAN without spaces, refusing one whose check digits are wrong."""
    iban = text.replace(" ", "").upper()
    well_formed = 15 <= len(iban) <= 34 and iban.isascii() and iban.isalnum()
    if well_formed:
        digits = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
        if int(digits) % 97 == 1:
            return iban
    raise InputError(where, f"{text!r} is not a valid IBAN")
