from __future__ import annotations

import pytest

from dragons.adapters.sql.asking import Asking, columns
from dragons.adapters.sql.schema import MIRRORS
from dragons.control.rows import HoldRow, TimerRow
from tests.support.plane import Plane, Tenancy


@pytest.fixture
def asking(plane: Plane, acme: Tenancy):
    """Rows of the store, asked over a connection of its own."""
    for number in (2, 1):
        row = TimerRow(acme.tenant_id, "order", f"ord_{number}", number)
        plane.write(lambda tx, row=row: tx.put_timer(row))
    with plane.store._reading.connect() as connection:  # type: ignore[attr-defined]
        yield Asking(connection)


@pytest.mark.parametrize("row", MIRRORS)
def test_columns_are_in_the_rows_own_order(row: type) -> None:
    assert [column.name for column in columns(row)] == list(row.__annotations__)


def test_a_row_is_found_by_its_key_or_is_none(asking: Asking, acme: Tenancy) -> None:
    found = asking._find(TimerRow, tenant_id=acme.tenant_id, kind="order", key="ord_1")
    assert found == TimerRow(acme.tenant_id, "order", "ord_1", 1)
    assert asking._find(TimerRow, tenant_id=acme.tenant_id, kind="order", key="ord_3") is None
    assert asking._find(HoldRow, tenant_id=acme.tenant_id, agent="reconciler") is None


def test_what_is_looked_for_is_data_and_never_a_query(asking: Asking, acme: Tenancy) -> None:
    assert asking._find(TimerRow, tenant_id=acme.tenant_id, kind="' OR 1=1 --", key="ord_1") is None


def test_a_list_has_the_order_that_was_asked_for(asking: Asking, acme: Tenancy) -> None:
    found = asking._list(TimerRow, "due_ms", tenant_id=acme.tenant_id, kind="order")
    assert [row.due_ms for row in found] == [1, 2]
    assert asking._list(TimerRow, "due_ms", tenant_id="tnt_other", kind="order") == []
