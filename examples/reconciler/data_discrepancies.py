"""The discrepancies that the generator plants.

Promises: each function plants one discrepancy and states its truth at once;
among them are near misses (one day or one minor unit beyond a tolerance) that
a careless matcher would accept.
"""

from collections.abc import Callable
from dataclasses import replace

from data_cases import batch, fee, fee_max, plant_end_to_end, plant_reference
from data_names import CHARGE_TEXTS, german_iban
from data_plan import Plan
from model import Payment, StatementEntry


def plant_batch_short(plan: Plan) -> None:
    """The bank left one payment of the batch out."""
    entry, payments = batch(plan)
    missing_minor = plan.rng.choice(payments).amount_minor
    entry = replace(entry, amount_minor=entry.amount_minor - missing_minor)
    _add_difference(plan, entry, payments)


def plant_unmatched_entry(plan: Plan) -> None:
    """A charge of the bank, or a transfer that nobody recorded."""
    entry = plan.entry_for(plan.payment())
    if plan.rng.random() < 0.5:
        text = plan.rng.choice(CHARGE_TEXTS)
        entry = replace(entry, end_to_end_id="", remittance=text, counterparty="", counterparty_iban="")
    plan.truth.unmatched_entries.append(plan.add_entry(entry).entry_id)


def plant_unmatched_payment(plan: Plan) -> None:
    plan.truth.unmatched_payments.append(plan.add_payment(plan.payment()).payment_id)


def plant_amount_difference(plan: Plan) -> None:
    """Just or far beyond the largest fee, or more money than was due."""
    payment = plan.payment()
    beyond_minor = fee_max(plan, payment) + plan.rng.choice((1, plan.rng.randint(2, 3000)))
    gap_minor = plan.rng.choice((beyond_minor, -1, -plan.rng.randint(2, 3000)))
    entry = replace(plan.entry_for(payment), amount_minor=payment.amount_minor - gap_minor)
    if plan.rng.random() < 0.5:
        entry = replace(entry, end_to_end_id="")
    _add_difference(plan, entry, [payment])


def plant_late_fee(plan: Plan) -> None:
    """A small fee, but too many days apart to accept it."""
    payment = plan.payment()
    first_late_day = plan.tolerances.window_days + 1
    day = plan.shifted_day(payment.execution_date, first_late_day, first_late_day + 5)
    amount_minor = payment.amount_minor - fee(plan, payment)
    entry = replace(plan.entry_for(payment), booking_date=day, amount_minor=amount_minor)
    _add_difference(plan, entry, [payment])


def plant_window_miss(plan: Plan) -> None:
    """Right amount, no identifier, too many days apart."""
    payment = plan.payment()
    first_late_day = plan.tolerances.window_days + 1
    day = plan.shifted_day(payment.execution_date, first_late_day, first_late_day + 5)
    entry = plan.without_identifiers(plan.entry_for(payment))
    _add_unrelated(plan, replace(entry, booking_date=day), payment)


def plant_wrong_currency(plan: Plan) -> None:
    payment = plan.payment(currency="EUR")
    entry = replace(plan.entry_for(payment), currency="USD", account_iban=plan.iban_of["USD"])
    _add_unrelated(plan, entry, payment)


def plant_wrong_direction(plan: Plan) -> None:
    payment = plan.payment()
    entry = replace(plan.entry_for(payment), amount_minor=-payment.amount_minor)
    _add_unrelated(plan, entry, payment)


def plant_other_payee_account(plan: Plan) -> None:
    """Known name, right amount, but somebody else's account."""
    payment = plan.payment()
    entry = plan.without_identifiers(plan.entry_for(payment))
    _add_unrelated(plan, replace(entry, counterparty_iban=german_iban(plan.rng)), payment)


def plant_duplicate_entry(plan: Plan) -> None:
    """Delivered twice under one bank reference, booked twice, or booked twice without id."""
    kind = plan.rng.choice(("same_reference", "same_end_to_end_id", "same_text"))
    entry = plant_reference(plan) if kind == "same_text" else plant_end_to_end(plan)[0]
    repeated = plan.rebooked(entry)
    if kind == "same_reference":
        plan.reference_of[repeated.entry_id] = entry.entry_id
    if kind == "same_end_to_end_id":
        later = [day for day in plan.business_days if day >= entry.booking_date]
        repeated = replace(repeated, booking_date=plan.rng.choice(later))
    plan.add_entry(repeated)
    plan.truth.duplicate_entries.append((repeated.entry_id, entry.entry_id))


def plant_duplicate_payment(plan: Plan) -> None:
    """One order recorded twice: under one end-to-end id, or for one reference."""
    _, payment = plant_end_to_end(plan)
    repeated = plan.renamed(payment)
    if plan.rng.random() < 0.5:
        repeated = replace(repeated, end_to_end_id=payment.end_to_end_id)
    else:
        repeated = replace(repeated, reference=payment.reference)
    plan.add_payment(repeated)
    plan.truth.duplicate_payments.append((repeated.payment_id, payment.payment_id))


DISCREPANCY_CASES: tuple[Callable[[Plan], object], ...] = (
    plant_batch_short,
    plant_unmatched_entry,
    plant_unmatched_payment,
    plant_amount_difference,
    plant_late_fee,
    plant_window_miss,
    plant_wrong_currency,
    plant_wrong_direction,
    plant_other_payee_account,
    plant_duplicate_entry,
    plant_duplicate_payment,
)


def _add_difference(plan: Plan, entry: StatementEntry, payments: list[Payment]) -> None:
    plan.add_entry(entry)
    ids = [plan.add_payment(payment).payment_id for payment in payments]
    due_minor = sum(payment.amount_minor for payment in payments)
    difference = (entry.entry_id, ids, entry.amount_minor - due_minor)
    plan.truth.amount_differences.append(difference)


def _add_unrelated(plan: Plan, entry: StatementEntry, payment: Payment) -> None:
    plan.truth.unmatched_entries.append(plan.add_entry(entry).entry_id)
    plan.truth.unmatched_payments.append(plan.add_payment(payment).payment_id)
