"""The regular cases that the generator plants: entries that have their payment.

Promises: each function plants one case and states its truth at once.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from data_plan import FIRST_DAY, LAST_DAY, Plan
from model import Payment, StatementEntry
from rules import BATCH_SUM, DATE_WINDOW_AND_FEE, END_TO_END_ID, REMITTANCE_REFERENCE


def plant_end_to_end(plan: Plan) -> tuple[StatementEntry, Payment]:
    payment = plan.payment()
    if plan.rng.random() < 0.02:
        # Ordered just before the period, booked in it.
        payment = replace(payment, execution_date=FIRST_DAY - timedelta(days=3))
    entry = plan.entry_for(payment)
    plan.add_match(entry, [payment], END_TO_END_ID)
    return entry, payment


def plant_twins(plan: Plan) -> None:
    """Two true payments alike in all but their identifiers: no duplicate."""
    _, payment = plant_end_to_end(plan)
    twin = plan.renamed(payment)
    plan.add_match(plan.entry_for(twin), [twin], END_TO_END_ID)


def plant_reference(plan: Plan) -> StatementEntry:
    payment = plan.payment()
    entry = replace(plan.entry_for(payment), end_to_end_id="")
    plan.add_match(entry, [payment], REMITTANCE_REFERENCE)
    return entry


def plant_tolerant(plan: Plan) -> None:
    """No identifier; up to three days apart; often a fee kept by a bank on the way."""
    payment = plan.payment()
    entry = plan.without_identifiers(plan.entry_for(payment))
    day = plan.shifted_day(payment.execution_date, 0, plan.tolerances.window_days)
    fee_minor = plan.rng.choice((0, fee(plan, payment), fee_max(plan, payment)))
    entry = replace(entry, booking_date=day, amount_minor=payment.amount_minor - fee_minor)
    plan.add_match(entry, [payment], DATE_WINDOW_AND_FEE)


def plant_fee(plan: Plan) -> None:
    """All identifiers, less a fee."""
    payment = plan.payment()
    amount_minor = payment.amount_minor - fee(plan, payment)
    day = plan.shifted_day(payment.execution_date, 0, plan.tolerances.window_days)
    entry = replace(plan.entry_for(payment), booking_date=day, amount_minor=amount_minor)
    plan.add_match(entry, [payment], DATE_WINDOW_AND_FEE)


def plant_batch(plan: Plan) -> None:
    entry, payments = batch(plan)
    plan.add_match(entry, payments, BATCH_SUM)


def plant_outside_period(plan: Plan) -> None:
    """A payment of the next month: open, but no discrepancy of this statement."""
    day = LAST_DAY + timedelta(days=plan.rng.randint(1, 5))
    plan.add_payment(replace(plan.payment(), execution_date=day))


def batch(plan: Plan) -> tuple[StatementEntry, list[Payment]]:
    """Several orders of one day, booked by the bank as one sum."""
    first = plan.payment(sign=-1)
    batch_id = f"BATCH-{first.payment_id}"
    payments = [replace(first, batch_id=batch_id)]
    for _ in range(plan.rng.randint(2, 7)):
        payment = plan.payment(currency=first.currency, sign=-1)
        payments.append(replace(payment, batch_id=batch_id, execution_date=first.execution_date))
    entry = replace(
        plan.entry_for(first, 1),
        amount_minor=sum(payment.amount_minor for payment in payments),
        batch_id=batch_id,
        end_to_end_id="",
        remittance="",
        counterparty="",
        counterparty_iban="",
    )
    return entry, payments


def fee_max(plan: Plan, payment: Payment) -> int:
    """The largest fee the reconciler accepts."""
    return plan.tolerances.fee_max_minor[payment.currency]


def fee(plan: Plan, payment: Payment) -> int:
    """A fee the reconciler accepts."""
    return plan.rng.randint(1, fee_max(plan, payment))


REGULAR_CASES: tuple[tuple[Callable[[Plan], object], int], ...] = (
    (plant_twins, 10),
    (plant_reference, 180),
    (plant_tolerant, 90),
    (plant_fee, 40),
    (plant_batch, 25),
    (plant_outside_period, 5),
)
