"""Generate a month of bank statements, payments, and the truth about them.

Promises: the same seed gives the same statement files and the same
`truth.json`, which lists every match and every planted discrepancy under the
names that the reconciler's report uses.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import Tolerances, load_config
from data_cases import REGULAR_CASES, plant_end_to_end
from data_discrepancies import DISCREPANCY_CASES
from data_files import camt053_bytes, csv_bytes, write_payments
from data_names import OWN_ACCOUNTS
from data_plan import FIRST_DAY, LAST_DAY, Plan
from model import Statement, StatementEntry, with_entry_ids


def main() -> None:
    parser = argparse.ArgumentParser(prog="make_data.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entries", type=int, default=1250, help="at least this many")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    arguments = parser.parse_args()
    tolerances = load_config(arguments.config).tolerances
    generate(arguments.seed, arguments.entries, tolerances, arguments.out)


def generate(seed: int, entries_min: int, tolerances: Tolerances, out: Path) -> None:
    """Write statement.xml, statement.csv, payments.db and truth.json to `out`."""
    plan = Plan(seed, tolerances)
    cases = [case for case, count in REGULAR_CASES for _ in range(count)]
    cases += [case for case in DISCREPANCY_CASES for _ in range(plan.rng.randint(3, 7))]
    # Ordinary payments fill up to the number asked for; a case has about one entry.
    cases += [plant_end_to_end] * max(0, entries_min - len(cases))
    plan.rng.shuffle(cases)
    for case in cases:
        case(plan)
    while len(plan.entries) < entries_min:
        plant_end_to_end(plan)
    statements, final_ids = _statements(plan)
    out.mkdir(parents=True, exist_ok=True)
    (out / "statement.xml").write_bytes(camt053_bytes(statements))
    (out / "statement.csv").write_bytes(csv_bytes(statements))
    write_payments(out / "payments.db", plan.payments)
    truth = _truth_document(plan, final_ids)
    (out / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")


def _statements(plan: Plan) -> tuple[tuple[Statement, ...], dict[str, str]]:
    """The accounts' statements, and the final entry id of each draft."""
    broken_currency = plan.rng.choice(OWN_ACCOUNTS)[0]
    drafts_by_account: list[list[StatementEntry]] = []
    unnumbered = []
    references: dict[str, str] = {}
    for currency, _ in OWN_ACCOUNTS:
        own = (entry for entry in plan.entries if entry.currency == currency)
        drafts = sorted(own, key=lambda entry: entry.booking_date)
        daily: Counter[str] = Counter()
        for draft in drafts:
            day = f"{currency}{draft.booking_date:%y%m%d}"
            daily[day] += 1
            references[draft.entry_id] = f"{day}{daily[day]:05d}"
        entries = tuple(
            replace(
                draft,
                bank_reference=references[plan.reference_of.get(draft.entry_id, draft.entry_id)],
            )
            for draft in drafts
        )
        drafts_by_account.append(drafts)
        unnumbered.append(_statement(plan, currency, entries, currency == broken_currency))
    statements = with_entry_ids(unnumbered)
    final_ids = {
        draft.entry_id: entry.entry_id
        for drafts, statement in zip(drafts_by_account, statements, strict=True)
        for draft, entry in zip(drafts, statement.entries, strict=True)
    }
    return statements, final_ids


def _statement(plan: Plan, currency: str, entries: tuple[StatementEntry, ...], broken: bool) -> Statement:
    iban = plan.iban_of[currency]
    opening_minor = plan.rng.randint(500_000_000, 2_000_000_000)
    break_minor = plan.rng.choice((-1, 1)) * plan.rng.randint(1, 99_999) if broken else 0
    closing_minor = opening_minor + sum(entry.amount_minor for entry in entries) + break_minor
    if broken:
        plan.truth.balance_breaks.append((iban, currency, break_minor))
    return Statement(iban, currency, FIRST_DAY, opening_minor, LAST_DAY, closing_minor, entries)


def _truth_document(plan: Plan, final_ids: dict[str, str]) -> dict[str, Any]:
    truth = plan.truth
    return {
        "balance_breaks": [
            {"account_iban": iban, "currency": currency, "break_minor": break_minor}
            for iban, currency, break_minor in truth.balance_breaks
        ],
        "amount_differences": [
            {"entry_id": final_ids[draft], "payment_ids": ids, "difference_minor": difference_minor}
            for draft, ids, difference_minor in truth.amount_differences
        ],
        "duplicate_entries": [
            {"entry_id": final_ids[repeated], "repeats": final_ids[original]}
            for repeated, original in truth.duplicate_entries
        ],
        "duplicate_payments": [
            {"payment_id": repeated, "repeats": original} for repeated, original in truth.duplicate_payments
        ],
        "unmatched_entries": [{"entry_id": final_ids[draft]} for draft in truth.unmatched_entries],
        "unmatched_payments": [{"payment_id": key} for key in truth.unmatched_payments],
        "matches": [
            {"entry_id": final_ids[draft], "payment_ids": ids, "rule": rule}
            for draft, (rule, ids) in truth.matches.items()
        ],
    }


if __name__ == "__main__":
    main()
