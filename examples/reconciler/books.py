"""Turn a reconciliation into a double-entry ledger.

Promises: every bank entry gives exactly one transaction, every transaction
balances to zero in its currency, and so the lines of a bank account add up to
that account's movement on the statement. Pure logic.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from datetime import date

from config import Accounts
from matching import Reconciliation
from model import Payment, StatementEntry


@dataclass(frozen=True)
class LedgerLine:
    """One side of a transaction: exactly one of debit and credit may be non-zero."""

    transaction_id: str
    booking_date: str
    account: str
    debit_minor: int
    credit_minor: int
    currency: str
    payment_id: str
    reason: str


@dataclass(frozen=True)
class _Counterpart:
    account: str
    debit_minor: int
    payment_id: str = ""


def ledger_by_day(result: Reconciliation, accounts: Accounts) -> dict[date, list[LedgerLine]]:
    """All ledger lines, grouped by booking day in ascending order."""
    days: defaultdict[date, list[tuple[str, list[LedgerLine]]]] = defaultdict(list)
    for entry, reason, counterparts in _postings(result, accounts):
        lines = _transaction(entry, reason, counterparts, accounts)
        days[entry.booking_date].append((entry.entry_id, lines))
    return {
        day: [line for _, lines in sorted(days[day], key=lambda item: item[0]) for line in lines]
        for day in sorted(days)
    }


def ledger_csv(lines: Iterable[LedgerLine]) -> bytes:
    """The lines as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(field.name for field in fields(LedgerLine))
    writer.writerows(astuple(line) for line in lines)
    return buffer.getvalue().encode()


def _postings(
    result: Reconciliation, accounts: Accounts
) -> Iterator[tuple[StatementEntry, str, list[_Counterpart]]]:
    for match in result.matches:
        counterparts = [_settled(payment, accounts) for payment in match.payments]
        if match.fee_minor:
            counterparts.append(_Counterpart(accounts.bank_fees, match.fee_minor))
        yield match.entry, match.rule, counterparts
    for difference in result.amount_differences:
        counterparts = [_settled(payment, accounts) for payment in difference.payments]
        gap = _Counterpart(accounts.amount_differences, -difference.difference_minor)
        yield difference.entry, "amount_difference", [*counterparts, gap]
    for duplicate in result.duplicate_entries:
        entry = duplicate.repeated
        yield entry, "duplicate", [_Counterpart(accounts.duplicates, -entry.amount_minor)]
    for entry in result.unmatched_entries:
        yield entry, "unmatched", [_Counterpart(accounts.unmatched, -entry.amount_minor)]


def _settled(payment: Payment, accounts: Accounts) -> _Counterpart:
    account = accounts.receivables if payment.amount_minor > 0 else accounts.payables
    return _Counterpart(account, -payment.amount_minor, payment.payment_id)


def _transaction(
    entry: StatementEntry, reason: str, counterparts: list[_Counterpart], accounts: Accounts
) -> list[LedgerLine]:
    bank = _Counterpart(f"{accounts.bank}:{entry.account_iban}", entry.amount_minor)
    postings = [bank, *counterparts]
    imbalance_minor = sum(posting.debit_minor for posting in postings)
    if imbalance_minor:
        raise AssertionError(f"transaction {entry.entry_id} is off by {imbalance_minor}")
    return [
        LedgerLine(
            transaction_id=entry.entry_id,
            booking_date=entry.booking_date.isoformat(),
            account=posting.account,
            debit_minor=max(posting.debit_minor, 0),
            credit_minor=max(-posting.debit_minor, 0),
            currency=entry.currency,
            payment_id=posting.payment_id,
            reason=reason,
        )
        for posting in postings
    ]
