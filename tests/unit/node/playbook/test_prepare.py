from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragons.authority.catalogue import Entry
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, NotFoundError
from dragons.core.vocabulary import Risk
from dragons.identity.manifest import Manifest
from dragons.node.playbook.book import Book, needed_by, open_book
from dragons.node.playbook.format import parse_playbook
from dragons.node.playbook.notifying import NotifierProgram
from dragons.node.playbook.prepare import ENTRIES, NOTIFY_ENTRIES, Allowed, prepare_playbook
from dragons.wire.authority import CatalogueView, Docks, DockView
from dragons.wire.evidence import Receipts
from dragons.wire.identity import History, Registered
from tests.unit.node.playbook.conftest import PLAYBOOK, write_book
from tests.unit.sdk.test_operator import MANIFEST, version

DENIED = Entry(description="d", risk=Risk.LOW, delegable=False)


class Office:
    """A client and an operator at once: what is on the record, and what was done."""

    def __init__(self) -> None:
        self.versions: dict[str, list[tuple[str, bool]]] = {}
        self.known: dict[str, Entry] = {"other:thing": DENIED}
        self.docked: list[DockView] = []
        self.done: list[tuple[Any, ...]] = []
        self.reading: DragonsError | None = None
        self.agents: DragonsError | None = None

    def receipts(self, **_: Any) -> Receipts:
        if self.reading is not None:
            raise self.reading
        return Receipts(receipts=[], next_after=-1)

    def agent(self, name: str) -> History:
        if self.agents is not None:
            raise self.agents
        if name not in self.versions:
            raise NotFoundError("agent_missing", name)
        views = [version(at + 1, active=active) for at, (_, active) in enumerate(self.versions[name])]
        for view, (manifest_hash, _) in zip(views, self.versions[name], strict=True):
            view.manifest_hash = manifest_hash
        return History(agent=name, versions=views, activations=[])

    def catalogue(self) -> CatalogueView:
        return CatalogueView(version=1, capabilities=self.known)

    def publish_catalogue(self, entries: dict[str, Entry]) -> None:
        self.known = entries

    def register_manifest(self, manifest: Manifest) -> Registered:
        self.versions.setdefault(manifest.agent, []).append((manifest.hash(), False))
        count = len(self.versions[manifest.agent])
        return Registered(name="", version=count, manifest_hash=manifest.hash(), created=True)

    def activate(self, agent: str, number: int) -> None:
        self.done.append(("activate", agent, number))

    def docks(self, _agent: str) -> Docks:
        return Docks(docks=self.docked)

    def dock(self, agent: str, *, scope: Any, delegate_scope: Any, **_: Any) -> None:
        self.done.append(("dock", agent, sorted(scope), sorted(delegate_scope)))


@pytest.fixture
def telling(tmp_path: Path) -> Book:
    notify = PLAYBOOK + "notify: [{channel: slack}]\n"
    return open_book(write_book(tmp_path / "telling", notify, more=("notify:slack",)))


def notifier() -> NotifierProgram:
    return NotifierProgram(MANIFEST, ("true",), Path("n.yaml"))


def run(office: Office, book: Book, *, key: bool = True, **allowed: bool) -> list[str]:
    told: list[str] = []
    given: Any = office
    prepare_playbook(given, given if key else None, book, notifier(), told.append, allowed=Allowed(**allowed))
    return told


def test_a_new_runner_and_its_notifier_are_made_ready_after_saying_so(telling: Book) -> None:
    office = Office()
    told = run(office, telling)
    assert office.done == [
        ("activate", "shop", 1),
        ("dock", "shop", sorted(telling.scope), ["notify:slack"]),
        ("activate", MANIFEST.agent, 1),
        ("dock", MANIFEST.agent, sorted(NOTIFY_ENTRIES), []),
    ]
    assert "handing on notify:slack" in told[0]
    assert len(told) == 2
    assert office.known["notify:slack"].delegable
    assert not office.known["run:service"].delegable
    assert office.known["other:thing"] is DENIED


def test_who_tells_nobody_needs_no_notifier(book: Book) -> None:
    office = Office()
    run(office, book)
    assert [entry[1] for entry in office.done] == ["shop", "shop"]
    assert "notify:slack" not in office.known


def test_what_is_active_is_left_alone(telling: Book) -> None:
    office = Office()
    office.versions = {
        "shop": [(telling.manifest.hash(), True)],
        MANIFEST.agent: [(MANIFEST.hash(), True)],
    }
    assert run(office, telling, changed=True) == []
    assert office.done == []


def test_a_changed_one_is_registered_only_when_asked_for(book: Book) -> None:
    office = Office()
    office.versions = {"shop": [("ff" * 32, True)]}
    assert run(office, book) == []
    assert len(run(office, book, changed=True)) == 1
    assert office.done[0] == ("activate", "shop", 2)


def test_without_key_or_leave_nothing_is_registered(book: Book) -> None:
    office = Office()
    assert run(office, book, key=False) == []
    assert run(office, book, new=False) == []
    assert office.done == []


def test_a_dock_that_fits_is_used(book: Book) -> None:
    office = Office()
    office.docked = [
        DockView(
            dock_id="dck_1", agent="shop", scope=list(book.scope), delegate_scope=[], ttl_seconds_max=7200,
            instances_max=1, instances_live=0, operator="o", created_at="", status="valid",
        )
    ]  # fmt: skip
    run(office, book)
    assert office.done == [("activate", "shop", 1)]


def test_words_of_its_own_need_a_review(tmp_path: Path) -> None:
    book = open_book(write_book(tmp_path / "own", more=("delete:everything",)))
    with pytest.raises(DragonsError, match="delete:everything") as caught:
        run(Office(), book)
    assert caught.value.code == "capability_unknown"


def test_a_word_that_nobody_may_hand_on_is_refused_at_once(telling: Book) -> None:
    office = Office()
    office.known = {"notify:slack": DENIED}
    with pytest.raises(DragonsError, match="notify:slack") as caught:
        run(office, telling)
    assert caught.value.code == "capability_not_delegable"


def test_a_token_that_may_not_read_the_ledger_is_refused_before_anything_runs(book: Book) -> None:
    office = Office()
    office.reading = ForbiddenError("role_forbidden", "The role launcher may not call receipts.list.")
    with pytest.raises(ForbiddenError, match="postmortem") as caught:
        run(office, book)
    assert "dragons tokens issue" in caught.value.fix
    assert office.done == []


def test_other_failures_pass_through(book: Book) -> None:
    office = Office()
    office.agents = ConflictError("broken", "it is")
    with pytest.raises(ConflictError):
        run(office, book)


def test_every_word_of_a_playbook_has_its_meaning() -> None:
    whole = PLAYBOOK + (
        'on_crash: {model: {provider: openai, url: "http://m.example", model: small}}\n'
        "notify: [{channel: slack}, {channel: email}, {channel: webhook}]\n"
    )
    assert set(needed_by(parse_playbook(whole))) == set(ENTRIES)
