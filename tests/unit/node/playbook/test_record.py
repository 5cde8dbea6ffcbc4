from __future__ import annotations

import pytest

from dragons.node.playbook import record
from dragons.node.playbook.record import read_ledger
from dragons.sdk.localstore import LocalStore
from tests.unit.node.playbook.facts import INSTANCE, SESSION, Readable, view

SHOP = {"agent": "shop@v1", "instance_id": INSTANCE}


def test_a_run_is_its_session_its_instance_and_its_notices(store: LocalStore) -> None:
    done = {"action": {"arguments": {"attempt": 1}}, "outcome": {"result": {"exit_status": 3}}}
    client = Readable(
        view(1, "lease.issued", agent="shop@v1", instance_id="another"),
        view(4, "lease.issued", **SHOP),
        view(5, "session.opened", session_id=SESSION, **SHOP),
        view(
            6, store=store, session_id=SESSION, action="run:service", outcome="failed", payload=done, **SHOP
        ),
        view(7, "state.changed", **SHOP),
        view(8, "state.changed", agent="shop@v1", instance_id="another"),
        view(9, session_id=SESSION, action="read:logs", outcome="completed", payload=done, **SHOP),
        view(10, session_id="ses_2", action="notify:slack", outcome="completed", agent="notifier@v1"),
    )
    found = read_ledger(
        client, store, agent="shop", instance_id=INSTANCE, session_id=SESSION, notice_sessions=["ses_2"]
    )
    assert [one.seq for one in found.session] == [5, 6, 9]
    assert [(one.seq, one.kind) for one in found.instance] == [
        (4, "lease.issued"), (5, "session.opened"), (7, "state.changed"),
    ]  # fmt: skip
    assert [one.seq for one in found.notices] == [10]
    assert found.newest is found.notices[0]
    ran, read = found.session[1:]
    assert (ran.action, ran.outcome, ran.result, ran.arguments) == (
        "run:service", "failed", {"exit_status": 3}, {"attempt": 1},
    )  # fmt: skip
    # Its payload is not in this store.
    assert (read.result, read.arguments, read.error, read.reason) == ({}, {}, "", "")


def test_a_run_without_a_receipt_is_empty(store: LocalStore) -> None:
    found = read_ledger(Readable(), store, agent="shop", instance_id=INSTANCE, session_id=SESSION)
    assert found.newest is None
    assert (found.session, found.instance, found.notices) == ([], [], [])


def test_endings_say_why(store: LocalStore) -> None:
    failed = {"outcome": {"error": {"type": "E", "message": "it broke"}}}
    denied = {"outcome": {"reason": "scope_exceeded"}}
    client = Readable(
        view(1, store=store, session_id=SESSION, payload=failed),
        view(2, store=store, session_id=SESSION, payload=denied),
    )
    found = read_ledger(client, store, agent="shop", instance_id=INSTANCE, session_id=SESSION)
    assert [(one.error, one.reason) for one in found.session] == [("it broke", ""), ("", "scope_exceeded")]


def test_very_long_runs_are_bounded(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RECEIPTS_MAX", 3)
    client = Readable(*(view(seq, session_id=SESSION) for seq in range(20)))
    found = read_ledger(client, store, agent="shop", instance_id=INSTANCE, session_id=SESSION)
    assert len(found.session) == 4
