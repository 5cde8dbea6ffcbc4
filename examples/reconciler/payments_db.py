"""Read the payments database.

Promises: the database is opened read-only, all reads of one run see the same
snapshot, rows come back in a fixed order, and a row that does not make sense
is refused by its payment id.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

from model import InputError, Payment, parse_date
from money import check_currency

# `amount_minor` is stored unsigned with a direction, the way payment systems
# record an order; the sign the bank shows is applied on reading.
SCHEMA = """
CREATE TABLE payments (
    payment_id        TEXT PRIMARY KEY,
    execution_date    TEXT NOT NULL,
    direction         TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    amount_minor      INTEGER NOT NULL
                      CHECK (typeof(amount_minor) = 'integer' AND amount_minor > 0),
    currency          TEXT NOT NULL,
    end_to_end_id     TEXT NOT NULL DEFAULT '',
    reference         TEXT NOT NULL DEFAULT '',
    batch_id          TEXT NOT NULL DEFAULT '',
    counterparty      TEXT NOT NULL DEFAULT '',
    counterparty_iban TEXT NOT NULL DEFAULT ''
);
CREATE INDEX payments_by_date ON payments (execution_date);
"""

_SELECT = """
SELECT payment_id, execution_date, direction, amount_minor, currency, end_to_end_id,
       reference, batch_id, counterparty, counterparty_iban
FROM payments WHERE execution_date BETWEEN ? AND ?
ORDER BY execution_date, payment_id
"""


class PaymentsDatabase:
    """Reads payments by execution date."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def executed_between(self, first: date, last: date) -> list[Payment]:
        """Payments executed on the days `first` to `last`, both included."""
        rows = self._connection.execute(_SELECT, (first.isoformat(), last.isoformat()))
        return [_payment(row) for row in rows]


@contextmanager
def open_payments(path: Path) -> Iterator[PaymentsDatabase]:
    """Open the database for reading one consistent snapshot."""
    if not path.is_file():
        raise InputError(path.name, "no such payments database")
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            # One transaction around all reads: a payment added meanwhile must
            # not appear in one day's slice and be missing from another's.
            connection.execute("BEGIN")
            yield PaymentsDatabase(connection)
    except sqlite3.DatabaseError as exc:
        raise InputError(path.name, f"not a readable payments database: {exc}") from exc


def _payment(row: tuple[object, ...]) -> Payment:
    where = f"payment {row[0]}"
    amount_minor = row[3]
    if not isinstance(amount_minor, int) or amount_minor <= 0:
        raise InputError(where, f"amount_minor {amount_minor!r} is not a positive integer")
    texts = [str(value or "").strip() for value in row]
    if texts[2] not in ("in", "out"):
        raise InputError(where, f"direction {texts[2]!r} is neither in nor out")
    return Payment(
        payment_id=texts[0],
        execution_date=parse_date(texts[1], f"{where}, execution_date"),
        amount_minor=amount_minor if texts[2] == "in" else -amount_minor,
        currency=check_currency(texts[4], f"{where}, currency"),
        end_to_end_id=texts[5],
        reference=texts[6],
        batch_id=texts[7],
        counterparty=texts[8],
        counterparty_iban=texts[9].replace(" ", "").upper(),
    )
