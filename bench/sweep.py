"""What a sweep costs in a large fleet, beside a small one with as many timers due.

Rows of instances, leases and timers are written as a launch writes them, without the receipts of their launches:
a hundred thousand of those would take minutes and are not what is measured. Each due instance was silent for
half an hour, so each is degraded, on the record: state, timer and a signed receipt.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from bench.figures import Detail, Found, compare, paired
from bench.plane import Plane, make
from bench.sizes import Sizes
from dragons.compose import build_keyring
from dragons.control.policies import ORGANISM_TIMER
from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow, LeaseRow, TimerRow
from dragons.control.sweep import sweep
from dragons.core.ids import LEASE, new_id, uuid7_hex
from dragons.core.vocabulary import OrganismState

TARGET = 2.0
_JOB = 2_000
_HALF_HOUR_MS = 30 * 60 * 1000
_DAY_MS = 24 * 3600 * 1000


def measure(sizes: Sizes) -> Found:
    """The time of a sweep with `sweep_due` timers due, in a fleet of just those and in a large one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        small = _Fleet(make(Path(folder) / "small", 1), sizes.sweep_due, sizes.sweep_due)
        large = _Fleet(make(Path(folder) / "large", 1), sizes.sweep_fleet, sizes.sweep_due)
        try:
            rounds = [(small.sweep_ms(), large.sweep_ms()) for _ in range(sizes.rounds)]
            idle = large.idle_ms()
        finally:
            small.close()
            large.close()
    line = compare(
        f"sweeping {sizes.sweep_fleet:,} instances", paired(rounds), unit="ms", target=TARGET, at_most=True,
        of=f"{sizes.sweep_due:,} of {sizes.sweep_fleet:,} due: each degraded, with a receipt",
        against=f"{sizes.sweep_due:,} of {sizes.sweep_due:,} due",
    )  # fmt: skip
    return Found([line], [
        Detail("a sweep with nothing due", idle, "ms", f"of {sizes.sweep_fleet:,} instances"),
    ])  # fmt: skip


class _Fleet:
    """A store with many instances, of which some are due."""

    def __init__(self, plane: Plane, size: int, due: int) -> None:
        self._plane, self._due = plane, due
        self._ledger = build_keyring(plane.settings).ledger(plane.tenant_id)
        with plane.store.read() as reader:
            (first,) = reader.instances(plane.tenant_id, live=True)
            lease = reader.lease(plane.tenant_id, first.lease_id)
        assert lease is not None
        self._rows = [_copy(first, lease, plane.clock.now_ms()) for _ in range(size)]
        for start in range(0, size, _JOB):
            plane.store.write(self._fill(self._rows[start : start + _JOB])).result()
        # Spread over the fleet, so that they are not neighbours in any index.
        self._silent = self._rows[:: max(1, size // due)][:due]

    def sweep_ms(self) -> float:
        """Let the due ones be silent, and sweep until nothing is left."""
        self._plane.store.write(self._silence).result()
        begin = time.perf_counter()
        while self._sweep():
            pass
        return (time.perf_counter() - begin) * 1e3

    def idle_ms(self) -> float:
        """One sweep with nothing to do."""
        begin = time.perf_counter()
        self._sweep()
        return (time.perf_counter() - begin) * 1e3

    def close(self) -> None:
        self._plane.store.close()

    def _sweep(self) -> bool:
        plane = self._plane
        return (
            plane.store.write(lambda tx: sweep(tx, plane.issuer, self._ledger, plane.tenant_id)).result().more
        )

    def _fill(self, rows: list[tuple[InstanceRow, LeaseRow]]) -> Callable[[Transaction], None]:
        def job(tx: Transaction) -> None:
            for instance, lease in rows:
                tx.put_instance(instance)
                tx.put_lease(lease)
                tx.put_timer(_timer(instance, tx.now_ms + _DAY_MS))

        return job

    def _silence(self, tx: Transaction) -> None:
        for instance, _ in self._silent:
            then_ms = tx.now_ms - _HALF_HOUR_MS - 1_000
            tx.put_instance(
                replace(
                    instance, state=OrganismState.RUNNING, started_ms=then_ms, owed_ms=then_ms, incident_id=""
                )
            )
            tx.put_timer(_timer(instance, tx.now_ms))


def _copy(instance: InstanceRow, lease: LeaseRow, now_ms: int) -> tuple[InstanceRow, LeaseRow]:
    instance_id, lease_id = uuid7_hex(now_ms), new_id(LEASE, now_ms)
    return (
        replace(instance, instance_id=instance_id, lease_id=lease_id),
        replace(
            lease, lease_id=lease_id, instance_id=instance_id, statement=b"", expires_ms=now_ms + 2 * _DAY_MS
        ),
    )


def _timer(instance: InstanceRow, due_ms: int) -> TimerRow:
    return TimerRow(instance.tenant_id, ORGANISM_TIMER, instance.instance_id, due_ms)
