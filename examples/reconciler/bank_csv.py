"""Read bank statements in CSV.

Promises: the header is exactly `COLUMNS` (comma or semicolon separated);
each account has one OPBD and one CLBD row around its NTRY rows; every error
names the line.
"""

import csv
import io
from dataclasses import dataclass, field
from datetime import date

from model import (
    NOT_PROVIDED,
    InputError,
    Statement,
    StatementEntry,
    parse_date,
    parse_iban,
    with_entry_ids,
)
from money import parse_amount, signed

COLUMNS = (
    "account_iban",
    "currency",
    "record",
    "booking_date",
    "value_date",
    "amount",
    "credit_debit",
    "bank_reference",
    "end_to_end_id",
    "batch_id",
    "remittance",
    "counterparty",
    "counterparty_iban",
)


@dataclass
class _Account:
    iban: str
    currency: str
    first_line: str
    balances: dict[str, tuple[date, int]] = field(default_factory=dict)
    entries: list[StatementEntry] = field(default_factory=list)


def parse_bank_csv(raw: bytes) -> tuple[Statement, ...]:
    """Read every account of the file, in order of first appearance."""
    accounts: dict[tuple[str, str], _Account] = {}
    for where, row in _rows(raw):
        iban = parse_iban(row["account_iban"], f"{where}, account_iban")
        key = (iban, row["currency"])
        account = accounts.setdefault(key, _Account(*key, first_line=where))
        _add(account, row, where)
    if not accounts:
        raise InputError("line 2", "the statement holds no rows")
    return with_entry_ids(_statement(account) for account in accounts.values())


def _rows(raw: bytes) -> list[tuple[str, dict[str, str]]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise InputError(f"line {line}", "the statement is not UTF-8") from None
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, dict[str, str]]] = []
    header_seen = False
    try:
        for cells in reader:
            where = f"line {reader.line_num}"
            if not header_seen:
                if tuple(cells) != COLUMNS:
                    raise InputError(where, f"the header must be {','.join(COLUMNS)}")
                header_seen = True
            elif len(cells) != len(COLUMNS):
                raise InputError(where, f"{len(cells)} columns, {len(COLUMNS)} expected")
            else:
                rows.append((where, dict(zip(COLUMNS, map(str.strip, cells), strict=True))))
    except csv.Error as exc:
        raise InputError(f"line {reader.line_num}", f"not well-formed CSV: {exc}") from None
    return rows


def _add(account: _Account, row: dict[str, str], where: str) -> None:
    unsigned_minor = parse_amount(row["amount"], account.currency, f"{where}, amount")
    amount_minor = signed(unsigned_minor, row["credit_debit"], f"{where}, credit_debit")
    booking_date = parse_date(row["booking_date"], f"{where}, booking_date")
    record = row["record"]
    if record in ("OPBD", "CLBD"):
        if record in account.balances:
            raise InputError(where, f"a second {record} balance of {account.iban}")
        account.balances[record] = (booking_date, amount_minor)
        return
    if record != "NTRY":
        raise InputError(f"{where}, record", f"{record!r} is none of OPBD, NTRY, CLBD")
    value_date = row["value_date"]
    account.entries.append(
        StatementEntry(
            entry_id="",
            bank_reference=row["bank_reference"],
            account_iban=account.iban,
            currency=account.currency,
            amount_minor=amount_minor,
            booking_date=booking_date,
            value_date=(parse_date(value_date, f"{where}, value_date") if value_date else booking_date),
            end_to_end_id=row["end_to_end_id"].removeprefix(NOT_PROVIDED),
            batch_id=row["batch_id"],
            remittance=row["remittance"],
            counterparty=row["counterparty"],
            counterparty_iban=row["counterparty_iban"],
        )
    )


def _statement(account: _Account) -> Statement:
    for record in ("OPBD", "CLBD"):
        if record not in account.balances:
            raise InputError(account.first_line, f"no {record} balance for {account.iban}")
    opening_date, opening_minor = account.balances["OPBD"]
    closing_date, closing_minor = account.balances["CLBD"]
    return Statement(
        account_iban=account.iban,
        currency=account.currency,
        opening_date=opening_date,
        opening_minor=opening_minor,
        closing_date=closing_date,
        closing_minor=closing_minor,
        entries=tuple(account.entries),
    )
