"""The discrepancy report, as JSON for programs and as Markdown for people.

Promises: both are made from the same document, list everything that did not
reconcile, and depend on nothing but the input (no clock, no machine name).
Pure logic.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from matching import Reconciliation
from model import Payment, Statement, StatementEntry
from money import format_amount
from rules import RULES

Document = dict[str, Any]

_MARKDOWN_SPECIAL = re.compile(r"[\\`|<>\[\]*]")

_TITLES = {
    "balance_breaks": "Balance breaks",
    "amount_differences": "Amount differences",
    "duplicate_entries": "Duplicate bank entries",
    "duplicate_payments": "Duplicate payments",
    "unmatched_entries": "Unmatched bank entries",
    "unmatched_payments": "Unmatched payments",
}


def build_report(
    source: Mapping[str, str],
    statements: tuple[Statement, ...],
    result: Reconciliation,
    ledger_digests: Mapping[str, str],
) -> Document:
    """The whole report as JSON-ready data."""
    by_rule = Counter(match.rule for match in result.matches)
    discrepancies = _discrepancies(statements, result)
    return {
        "source": dict(source),
        "accounts": [_account(statement) for statement in statements],
        "summary": {
            "entries": sum(len(statement.entries) for statement in statements),
            "matched_entries": len(result.matches),
            "matches_by_rule": {rule: by_rule[rule] for rule in RULES},
            "discrepancies": {kind: len(items) for kind, items in discrepancies.items()},
            "open_payments_outside_period": len(result.payments_outside_period),
        },
        "discrepancies": discrepancies,
        "ledger_sha256": dict(ledger_digests),
        "matches": [
            {
                "entry_id": match.entry.entry_id,
                "payment_ids": [payment.payment_id for payment in match.payments],
                "rule": match.rule,
                "fee_minor": match.fee_minor,
                "days_apart": match.days_apart,
            }
            for match in result.matches
        ],
    }


def report_json(report: Document) -> bytes:
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()


def report_markdown(report: Document) -> bytes:
    """Summary first, then one table for each kind of discrepancy."""
    summary = report["summary"]
    lines = [
        "# Reconciliation report",
        "",
        f"Statement `{report['source']['statement']}`, payments `{report['source']['payments']}`.",
        f"{summary['matched_entries']} of {summary['entries']} bank entries are matched.",
        "",
        "## Accounts",
        "",
        *_table(report["accounts"]),
        "## Matches by rule",
        "",
        *_table([{"rule": rule, "n": n} for rule, n in summary["matches_by_rule"].items()]),
    ]
    for kind, title in _TITLES.items():
        items = report["discrepancies"][kind]
        lines += [f"## {title} ({len(items)})", "", *_table(items)]
    return ("\n".join(lines).rstrip("\n") + "\n").encode()


def _discrepancies(statements: tuple[Statement, ...], result: Reconciliation) -> dict[str, list[Document]]:
    return {
        "balance_breaks": [
            {
                "account_iban": statement.account_iban,
                "currency": statement.currency,
                "break_minor": statement.break_minor,
                "break": format_amount(statement.break_minor, statement.currency),
            }
            for statement in statements
            if statement.break_minor
        ],
        "amount_differences": [
            {
                "entry_id": item.entry.entry_id,
                "payment_ids": [payment.payment_id for payment in item.payments],
                "identified_by": item.identified_by,
                "difference_minor": item.difference_minor,
                "difference": _money(item.difference_minor, item.entry.currency),
            }
            for item in result.amount_differences
        ],
        "duplicate_entries": [
            {**_entry(item.repeated), "repeats": item.original.entry_id} for item in result.duplicate_entries
        ],
        "duplicate_payments": [
            {**_payment(item.repeated), "repeats": item.original.payment_id}
            for item in result.duplicate_payments
        ],
        "unmatched_entries": [_entry(entry) for entry in result.unmatched_entries],
        "unmatched_payments": [_payment(payment) for payment in result.unmatched_payments],
    }


def _account(statement: Statement) -> Document:
    currency = statement.currency
    return {
        "account_iban": statement.account_iban,
        "currency": currency,
        "entries": len(statement.entries),
        "opening": format_amount(statement.opening_minor, currency),
        "movement": format_amount(statement.movement_minor, currency),
        "closing": format_amount(statement.closing_minor, currency),
        "break": format_amount(statement.break_minor, currency),
    }


def _entry(entry: StatementEntry) -> Document:
    return {
        "entry_id": entry.entry_id,
        "booking_date": entry.booking_date.isoformat(),
        "amount": _money(entry.amount_minor, entry.currency),
        "counterparty": entry.counterparty,
        "end_to_end_id": entry.end_to_end_id,
        "remittance": entry.remittance,
    }


def _payment(payment: Payment) -> Document:
    return {
        "payment_id": payment.payment_id,
        "execution_date": payment.execution_date.isoformat(),
        "amount": _money(payment.amount_minor, payment.currency),
        "counterparty": payment.counterparty,
        "end_to_end_id": payment.end_to_end_id,
        "reference": payment.reference,
    }


def _money(amount_minor: int, currency: str) -> str:
    return f"{format_amount(amount_minor, currency)} {currency}"


def _table(items: list[Document]) -> list[str]:
    if not items:
        return ["None.", ""]
    columns = [key for key in items[0] if not key.endswith("_minor")]
    rows = [[_cell(item[column]) for column in columns] for item in items]
    head = [column.replace("_", " ") for column in columns]
    lines = [head, ["---"] * len(columns), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    # The bank's and the payer's text is not ours: it must not break out of its
    # cell, nor become a link, an image or HTML.
    return " ".join(_MARKDOWN_SPECIAL.sub(r"\\\g<0>", text).split())
