"""The governed steps of a reconciliation: all reading and writing happens here.

Promises: each step is one or more governed actions, small enough that a
receipt says something (one booking day, one file); what an action's evidence
digests is exactly what was read or written; files appear whole or not at all.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import date, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from bank_csv import parse_bank_csv
from books import LedgerLine, ledger_csv
from camt053 import parse_camt053
from config import Config
from governance import Session
from model import InputError, Payment, Statement
from payments_db import open_payments
from report import Document, report_json, report_markdown


def read_statement(session: Session, path: Path, config: Config) -> tuple[Statement, ...]:
    """Read and parse the bank statement in one action."""
    parsers = {".xml": parse_camt053, ".csv": parse_bank_csv}
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise InputError(path.name, "a statement is an .xml (camt.053) or .csv file")
    arguments = {"statement": path.name}
    with session.action("read:statement", resource=path.name, arguments=arguments) as act:
        raw = _read_limited(path, config.statement_size_max_bytes)
        act.add_evidence("statement", raw)
        statements = parse(raw)
        accounts = [f"{item.account_iban} {item.currency}" for item in statements]
        entries = sum(len(item.entries) for item in statements)
        act.set_result({"entries": entries, "accounts": accounts})
    return statements


def read_payments(
    session: Session, path: Path, statements: Sequence[Statement], config: Config
) -> list[Payment]:
    """Read the payments around the statement's period, one action per booking day."""
    payments: list[Payment] = []
    with open_payments(path) as database:
        for first, last in _slices(statements, config.payment_margin_days):
            arguments = {"first_date": first.isoformat(), "last_date": last.isoformat()}
            with session.action("read:payments", resource=path.name, arguments=arguments) as act:
                found = database.executed_between(first, last)
                rows = "".join(json.dumps(astuple(item), default=str) + "\n" for item in found)
                act.add_evidence("payments", rows.encode())
                act.set_result({"payments": len(found)})
            payments += found
    return payments


def write_ledger(session: Session, out: Path, days: dict[date, list[LedgerLine]]) -> dict[str, str]:
    """Write one ledger file per booking day; returns name and SHA-256 of each."""
    folder = out / "ledger"
    batches = {f"ledger-{day.isoformat()}.csv": lines for day, lines in days.items()}
    stale = sorted({path.name for path in folder.glob("*")} - set(batches))
    if stale:
        raise InputError(f"{folder.name}/{stale[0]}", "left by another run; choose an empty --out")
    digests = {}
    for name, lines in batches.items():
        content = ledger_csv(lines)
        arguments = {"booking_date": lines[0].booking_date, "lines": len(lines)}
        with session.action("write:ledger", resource=f"ledger/{name}", arguments=arguments) as act:
            _write_whole(folder / name, content)
            act.add_evidence("ledger", folder / name)
            transactions = len({line.transaction_id for line in lines})
            act.set_result({"lines": len(lines), "transactions": transactions})
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def write_reports(session: Session, out: Path, report: Document) -> None:
    """Write the discrepancy report in both forms."""
    discrepancies = report["summary"]["discrepancies"]
    contents = {"report.json": report_json(report), "report.md": report_markdown(report)}
    for name, content in contents.items():
        arguments = {"bytes": len(content)}
        with session.action("write:report", resource=name, arguments=arguments) as act:
            _write_whole(out / name, content)
            act.add_evidence("report", out / name)
            act.set_result({"discrepancies": dict(discrepancies)})


def send_notification(session: Session, out: Path, report: Document, address: str) -> None:
    """Hand a mail about the result to the outbox folder, from where a mail relay sends it."""
    message = EmailMessage(policy=SMTP)
    message["To"] = address
    message["Subject"] = f"Reconciliation of {report['source']['statement']}"
    message.set_content(report_markdown(report).decode())
    arguments = {"to": address, "subject": str(message["Subject"])}
    with session.action("send:email", resource=f"mailto:{address}", arguments=arguments) as act:
        path = out / "outbox" / "notification.eml"
        _write_whole(path, message.as_bytes())
        act.add_evidence("message", path)
        act.set_result({"to": address})


def _slices(statements: Iterable[Statement], margin_days: int) -> list[tuple[date, date]]:
    """Consecutive date ranges, each ending on a booking day, that leave no day out."""
    statements = list(statements)
    margin = timedelta(days=margin_days)
    first = min(statement.opening_date for statement in statements) - margin
    last = max(statement.closing_date for statement in statements) + margin
    booking_days = sorted({entry.booking_date for statement in statements for entry in statement.entries})
    # The days after the last booking day belong to its slice.
    ends = [day for day in booking_days[:-1] if first <= day < last] + [last]
    starts = [first] + [end + timedelta(days=1) for end in ends[:-1]]
    return list(zip(starts, ends, strict=True))


def _read_limited(path: Path, size_max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(size_max_bytes + 1)
    except OSError as exc:
        raise InputError(path.name, f"cannot be read: {exc.strerror}") from exc
    if len(raw) > size_max_bytes:
        raise InputError(path.name, f"larger than {size_max_bytes} bytes")
    return raw


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
