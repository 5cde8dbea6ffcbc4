"""Reconcile a bank statement with the payments database, as a governed agent.

Promises: every read and write goes through one governed action (`steps.py`);
the work is the same with and without governance; the exit code is 0 for a
finished reconciliation (with or without discrepancies), 2 for input that was
refused and 3 if an action the work needs was denied.
"""

import argparse
import sys
from pathlib import Path

import steps
from books import ledger_by_day
from config import Config, load_config
from governance import UNGOVERNED, Governance, Session
from matching import reconcile
from model import InputError
from report import Document, build_report

EXIT_INPUT_REFUSED = 2
EXIT_DENIED = 3


def main() -> int:
    arguments = _arguments()
    try:
        config = load_config(arguments.config)
        governance = _governance(arguments.ungoverned)
    except InputError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return EXIT_INPUT_REFUSED
    try:
        goal = f"reconcile payments for {arguments.statement.name}"
        with governance.open_session(goal=goal) as session:
            report = _reconcile(session, arguments, config)
            if arguments.also_notify:
                _notify(session, governance, arguments.out, report, config.notify_address)
    except InputError as exc:
        print(f"error: {arguments.statement.name}: {exc}", file=sys.stderr)
        return EXIT_INPUT_REFUSED
    except governance.denied as exc:
        print(f"denied: {governance.reason(exc)}; reconciliation incomplete", file=sys.stderr)
        return EXIT_DENIED
    _print_summary(report)
    return 0


def _governance(ungoverned: bool) -> Governance:
    if ungoverned:
        return UNGOVERNED
    # Imported here so that an ungoverned run works where the SDK is not installed.
    from dragons.sdk import ActionDenied, open_session

    return Governance(open_session, ActionDenied, lambda exc: str(getattr(exc, "reason", exc)))


def _reconcile(session: Session, arguments: argparse.Namespace, config: Config) -> Document:
    statements = steps.read_statement(session, arguments.statement, config)
    payments = steps.read_payments(session, arguments.payments, statements, config)
    result = reconcile(statements, payments, config.tolerances)
    days = ledger_by_day(result, config.accounts)
    digests = steps.write_ledger(session, arguments.out, days)
    source = {"statement": arguments.statement.name, "payments": arguments.payments.name}
    report = build_report(source, statements, result, digests)
    steps.write_reports(session, arguments.out, report)
    return report


def _notify(session: Session, governance: Governance, out: Path, report: Document, address: str) -> None:
    """Try to notify; the reconciliation is complete without it, so a denial is no failure."""
    try:
        steps.send_notification(session, out, report, address)
    except governance.denied as exc:
        print(f"denied: send:email ({governance.reason(exc)})")


def _print_summary(report: Document) -> None:
    summary = report["summary"]
    print(f"entries: {summary['entries']}, matched: {summary['matched_entries']}")
    for kind, count in summary["discrepancies"].items():
        print(f"{kind.replace('_', ' ')}: {count}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="agent.py", description="Reconcile a bank statement with a payments database."
    )
    parser.add_argument("--statement", type=Path, required=True, help="camt.053 .xml or .csv")
    parser.add_argument("--payments", type=Path, required=True, help="SQLite payments database")
    parser.add_argument("--out", type=Path, required=True, help="folder for ledger and report")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument(
        "--also-notify", action="store_true", help="also attempt send:email, to show a denial"
    )
    parser.add_argument("--ungoverned", action="store_true", help="same work without permission and receipts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
