from __future__ import annotations

from typing import Any

import pytest

from dragons.control import fsck as module
from dragons.control.fsck import DAMAGE_MAX, Findings, fsck
from dragons.core.errors import NotFoundError
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy

# Each kind of damage in a real database is in tests/fault/test_damage.py.


class Changed:
    """A reader whose answers to some questions are others."""

    def __init__(self, reader: Any, **answers: Any) -> None:
        self._reader, self._answers = reader, answers

    def __getattr__(self, name: str) -> Any:
        return self._answers.get(name) or getattr(self._reader, name)


def test_a_sound_ledger_has_no_damage(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    acme.started(acme.ready())
    acme.sweep()
    for tenancy in (acme, globex):
        found = plane.read(lambda reader, one=tenancy: fsck(reader, one.tenant_id))
        assert (found.damage, found.receipts) == ([], tenancy.size())


def test_an_unknown_tenant_is_an_error(plane: Plane, acme: Tenancy) -> None:
    with fails(NotFoundError, "tenant_missing"):
        plane.read(lambda reader: fsck(reader, "tnt_none"))


def test_progress_is_told(plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROGRESS_EVERY", 3)
    acme.ready()
    told: list[int] = []
    plane.read(lambda reader: fsck(reader, acme.tenant_id, told.append))
    assert told == list(range(3, acme.size() + 1, 3))
    assert told


def test_broken_storage_is_told_and_nothing_is_read_from_it(plane: Plane, acme: Tenancy) -> None:
    def broken() -> list[str]:
        return ["page 3 is torn", "page 4 is torn"]

    found = plane.read(lambda reader: fsck(Changed(reader, storage_faults=broken), acme.tenant_id))  # type: ignore[arg-type]
    assert found.damage == ["the database itself: page 3 is torn", "the database itself: page 4 is torn"]
    assert found.receipts == 0


def test_a_ledger_that_is_not_there_is_damage(plane: Plane, acme: Tenancy) -> None:
    def none(*_: object) -> list[object]:
        return []

    found = plane.read(lambda reader: fsck(Changed(reader, iter_receipts=none), acme.tenant_id))  # type: ignore[arg-type]
    assert found.damage[0] == "the tenant exists, but its ledger is empty"


def test_damage_is_told_up_to_a_limit() -> None:
    findings = Findings()
    for number in range(DAMAGE_MAX + 10):
        findings.add(str(number))
    assert findings.damage == [str(number) for number in range(DAMAGE_MAX)]
