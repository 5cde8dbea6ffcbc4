from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.catalogue import Entry
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, NotFoundError, StorageError
from dragons.core.vocabulary import Risk
from dragons.identity.manifest import Manifest
from dragons.node.options import RunOptions
from dragons.node.prepare import explain_refusal, prepare
from dragons.node.program import RUN_CAPABILITY
from dragons.wire.authority import CatalogueView
from dragons.wire.identity import History
from tests.unit.sdk.kit import Plane
from tests.unit.sdk.test_operator import MANIFEST, version

ENTRY = Entry(description="d", risk=Risk.LOW, delegable=False)
PROGRAM = msgspec.structs.replace(MANIFEST, capabilities=[RUN_CAPABILITY])


class Office:
    """A client and an operator at once: what is on the record, and what was done."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.history: History | None = None
        self.capabilities = {"read:payments": ENTRY}
        self.done: list[str] = []
        self.error: DragonsError | None = None
        self.race = False

    def agent(self, name: str) -> History:
        if self.error is not None:
            raise self.error
        if self.history is None:
            raise NotFoundError("agent_missing", name)
        return self.history

    def catalogue(self) -> CatalogueView:
        return CatalogueView(version=1, capabilities=self.capabilities)

    def publish_catalogue(self, entries: dict[str, Entry]) -> None:
        if self.race:
            self.capabilities = entries
            raise ConflictError("catalogue_version", "another was first")
        self.capabilities = entries
        self.done.append("published")

    def make_ready(self, manifest: Manifest, *, ttl_seconds_max: int) -> None:
        assert ttl_seconds_max >= 3600
        self.done.append(f"ready {manifest.agent}")

    def know(self, *, active: bool, manifest: Manifest = MANIFEST) -> None:
        view = msgspec.structs.replace(version(1, active=active), manifest_hash=manifest.hash())
        self.history = History(agent="reconciler", versions=[view], activations=[])


@pytest.fixture
def office(plane: Plane) -> Office:
    return Office(plane)


def run(office: Any, manifest: Manifest = MANIFEST, *, key: bool = True, **options: Any) -> list[str]:
    told: list[str] = []
    prepare(office, office if key else None, manifest, RunOptions(goal="g", **options), told.append)
    return told


def test_a_new_agent_is_made_ready_after_saying_so(office: Office) -> None:
    told = run(office)
    assert office.done == ["ready reconciler"]
    assert len(told) == 1
    assert "read:payments" in told[0]


def test_a_program_that_only_runs_brings_its_capability_along(office: Office) -> None:
    run(office, PROGRAM)
    assert office.done == ["published", "ready reconciler"]
    assert office.capabilities[RUN_CAPABILITY].risk is Risk.LOW
    assert "read:payments" in office.capabilities


def test_two_first_runs_at_once_are_no_conflict(office: Office) -> None:
    office.race = True
    run(office, PROGRAM)
    assert office.done == ["ready reconciler"]


@pytest.mark.parametrize("capabilities", [["delete:everything"], ["delete:everything", RUN_CAPABILITY]])
def test_other_unknown_capabilities_need_a_review(office: Office, capabilities: list[str]) -> None:
    with pytest.raises(DragonsError, match="delete:everything") as caught:
        run(office, msgspec.structs.replace(MANIFEST, capabilities=capabilities))
    assert caught.value.code == "capability_unknown"
    assert office.done == []


def test_what_is_active_runs_without_a_word(office: Office) -> None:
    office.know(active=True)
    assert run(office) == []
    assert run(office, register=True) == []
    assert run(office, key=False) == []
    assert office.done == []


def test_a_changed_one_is_left_to_the_control_plane_unless_asked_for(office: Office) -> None:
    office.know(active=True)
    changed = msgspec.structs.replace(
        MANIFEST, code=[msgspec.structs.replace(MANIFEST.code[0], sha256="1" * 64)]
    )
    assert run(office, changed) == []
    assert office.done == []
    assert run(office, changed, register=True)
    assert office.done == ["ready reconciler"]


def test_an_old_version_is_activated_only_when_asked_for(office: Office) -> None:
    office.know(active=False)
    assert run(office) == []
    assert run(office, register=True)
    assert office.done == ["ready reconciler"]


@pytest.mark.parametrize(
    "options", [{"key": False}, {"auto_register": False}, {"key": False, "register": True}]
)
def test_without_key_or_leave_nothing_is_registered(office: Office, options: dict[str, Any]) -> None:
    assert run(office, **options) == []
    assert office.done == []


@pytest.mark.parametrize(
    ("code", "has_key", "fix"),
    [
        ("manifest_unrecorded", True, "dragons manifests register"),
        ("manifest_unrecorded", False, "Ask an operator"),
        ("version_inactive", True, "dragons agents activate"),
        ("version_inactive", False, "Ask an operator"),
    ],
)
def test_a_refusal_says_what_differs_and_what_to_do(code: str, fix: str, *, has_key: bool) -> None:
    told = explain_refusal(ForbiddenError(code, "Denied: changed a.py."), MANIFEST, has_key=has_key)
    assert (told.code, told.message) == (code, "reconciler may not run: changed a.py.")
    assert fix in told.fix


def test_other_refusals_stay_as_they_are() -> None:
    error = ForbiddenError("dock_missing", "Denied: it is not docked.", fix="Dock it.")
    assert explain_refusal(error, MANIFEST, has_key=True) is error


def test_other_failures_pass_through(office: Office) -> None:
    office.error = StorageError("down", "")
    with pytest.raises(StorageError):
        run(office)
