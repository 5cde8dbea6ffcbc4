"""Write generated statements and payments in the formats the reconciler reads.

Promises: the camt.053 and the CSV file carry the same data; files are the same
bytes for the same input.
"""

import csv
import io
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path

from bank_csv import COLUMNS
from model import NOT_PROVIDED, Payment, Statement, StatementEntry
from money import format_amount
from payments_db import SCHEMA

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


def camt053_bytes(statements: Sequence[Statement]) -> bytes:
    """One camt.053.001.08 message holding all statements."""
    document = ET.Element("Document", xmlns=NAMESPACE)
    message = ET.SubElement(document, "BkToCstmrStmt")
    created = f"{max(s.closing_date for s in statements).isoformat()}T23:30:00"
    header = ET.SubElement(message, "GrpHdr")
    _add(header, "MsgId", f"STMT-{created[:10]}")
    _add(header, "CreDtTm", created)
    for number, statement in enumerate(statements, start=1):
        element = ET.SubElement(message, "Stmt")
        _add(element, "Id", f"{statement.currency}-{statement.closing_date:%Y%m}")
        _add(element, "ElctrncSeqNb", str(number))
        _add(element, "CreDtTm", created)
        _add(element, "Acct/Id/IBAN", statement.account_iban)
        _add(element, "Acct/Ccy", statement.currency)
        _balance(element, "OPBD", statement.opening_minor, statement.opening_date, statement)
        _balance(element, "CLBD", statement.closing_minor, statement.closing_date, statement)
        for entry in statement.entries:
            _entry(element, entry)
    ET.indent(document)
    text: str = ET.tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def csv_bytes(statements: Sequence[Statement]) -> bytes:
    """The same data as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for statement in statements:
        opening = (statement.opening_minor, statement.opening_date)
        closing_balance = (statement.closing_minor, statement.closing_date)
        writer.writerow(_csv_row(statement, "OPBD", *opening))
        for entry in statement.entries:
            common = _csv_row(statement, "NTRY", entry.amount_minor, entry.booking_date)
            own = {key: str(text) for key, text in asdict(entry).items() if key in COLUMNS}
            writer.writerow({**own, **common})
        writer.writerow(_csv_row(statement, "CLBD", *closing_balance))
    return buffer.getvalue().encode()


def write_payments(path: Path, payments: Iterable[Payment]) -> None:
    """A new payments database; an existing one is replaced."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    payment.payment_id,
                    payment.execution_date.isoformat(),
                    "in" if payment.amount_minor > 0 else "out",
                    abs(payment.amount_minor),
                    payment.currency,
                    payment.end_to_end_id,
                    payment.reference,
                    payment.batch_id,
                    payment.counterparty,
                    payment.counterparty_iban,
                )
                for payment in payments
            ),
        )


def _csv_row(statement: Statement, record: str, amount_minor: int, day: date) -> dict[str, str]:
    return {
        "account_iban": statement.account_iban,
        "currency": statement.currency,
        "record": record,
        "booking_date": day.isoformat(),
        "amount": format_amount(abs(amount_minor), statement.currency),
        "credit_debit": _indicator(amount_minor),
    }


def _balance(parent: ET.Element, code: str, amount_minor: int, day: date, statement: Statement) -> None:
    balance = ET.SubElement(parent, "Bal")
    _add(balance, "Tp/CdOrPrtry/Cd", code)
    _add_amount(balance, amount_minor, statement.currency)
    _add(balance, "Dt/Dt", day.isoformat())


def _entry(parent: ET.Element, entry: StatementEntry) -> None:
    element = ET.SubElement(parent, "Ntry")
    _add_amount(element, entry.amount_minor, entry.currency)
    _add(element, "Sts/Cd", "BOOK")
    _add(element, "BookgDt/Dt", entry.booking_date.isoformat())
    _add(element, "ValDt/Dt", entry.value_date.isoformat())
    _add(element, "AcctSvcrRef", entry.bank_reference)
    _add(element, "BkTxCd/Domn/Cd", "PMNT")
    _add(element, "BkTxCd/Domn/Fmly/Cd", "RCDT" if entry.amount_minor > 0 else "ICDT")
    _add(element, "BkTxCd/Domn/Fmly/SubFmlyCd", "ESCT")
    if entry.batch_id:
        _add(element, "NtryDtls/Btch/PmtInfId", entry.batch_id)
        return
    details = "NtryDtls/TxDtls"
    _add(element, f"{details}/Refs/EndToEndId", entry.end_to_end_id or NOT_PROVIDED)
    party = "Dbtr" if entry.amount_minor > 0 else "Cdtr"
    if entry.counterparty:
        _add(element, f"{details}/RltdPties/{party}/Pty/Nm", entry.counterparty)
    if entry.counterparty_iban:
        _add(element, f"{details}/RltdPties/{party}Acct/Id/IBAN", entry.counterparty_iban)
    if entry.remittance:
        _add(element, f"{details}/RmtInf/Ustrd", entry.remittance)


def _add_amount(parent: ET.Element, amount_minor: int, currency: str) -> None:
    amount = ET.SubElement(parent, "Amt", Ccy=currency)
    amount.text = format_amount(abs(amount_minor), currency)
    _add(parent, "CdtDbtInd", _indicator(amount_minor))


def _add(parent: ET.Element, path: str, text: str) -> None:
    """Set the text at `path`, creating the elements on the way that do not exist yet."""
    for name in path.split("/"):
        found = parent.find(name)
        parent = ET.SubElement(parent, name) if found is None else found
    parent.text = text


def _indicator(amount_minor: int) -> str:
    return "CRDT" if amount_minor >= 0 else "DBIT"
