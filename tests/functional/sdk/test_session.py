"""Sessions against a real control plane: what is decided, recorded, renewed, delegated and proven."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.audit.verify import verify_file
from dragons.authority.revocation import Target
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Outcome
from dragons.evidence.receipt import CLAIM, Claim
from dragons.sdk import ActionDenied, Session, SessionStateError, open_session
from dragons.sdk.aio import open_session as open_async_session
from dragons.sdk.localstore import LocalStore
from dragons.sdk.packs import export_pack
from dragons.wire.evidence import PackRequest, ReceiptView
from tests.functional.plane import ControlPlane
from tests.functional.sdk.conftest import Docked, dock

SECONDS_MAX = 60
READ, WRITE, SECRET, MONEY = "read:payments", "write:ledger", "read:secret", "send:money"


def receipts(plane: ControlPlane, session_id: str) -> list[ReceiptView]:
    found: list[ReceiptView] = []
    with plane.client() as client:
        after = -1
        while True:
            page = client.receipts(after, limit=500, session_id=session_id)
            found += page.receipts
            after = page.next_after
            if after < 0:
                return found


def claims(plane: ControlPlane, session_id: str) -> list[Claim]:
    work = [view for view in receipts(plane, session_id) if view.kind == "work"]
    with plane.client() as client:
        records = [client.receipt(view.receipt_id).record for view in work]
    return [record.statement.body(CLAIM, Claim) for record in records]


def payload(plane: ControlPlane, payload_hash: str) -> dict[str, Any]:
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        found = store.payload(payload_hash)
    assert found is not None
    value: dict[str, Any] = msgspec.json.decode(found.body)
    return value


def first_denial(session: Session, capability: str, seconds: float = SECONDS_MAX) -> str:
    """Acts until it is denied; the reason, empty when that takes longer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with session.action(capability):
                time.sleep(0.01)
        except ActionDenied as denied:
            return denied.reason
    return ""


def test_actions_are_on_the_record_and_replay(plane: ControlPlane, docked: Docked, tmp_path: Path) -> None:
    agent = docked([READ, WRITE])
    statement = tmp_path / "statement.xml"
    statement.write_bytes(b"<statement/>")
    with open_session("reconcile", agent_dir=agent, home=plane.home.folder) as session:
        with session.action(READ, resource="payments.db", arguments={"day": "2026-11-02"}) as act:
            digest = act.add_evidence("statement", statement)
            act.set_result({"entries": 12})
        with session.action(WRITE):
            pass
        session_id = session.session_id
    assert digest == hashlib.sha256(b"<statement/>").hexdigest()
    views = receipts(plane, session_id)
    assert [view.kind for view in views] == ["session.opened", "work", "work", "session.closed"]
    assert views[1].header["evidence"] == [digest]
    assert [view.header.get("outcome") for view in views] == [None, "completed", "completed", "completed"]
    assert payload(plane, views[0].header["payload_hash"]) == {"goal": "reconcile", "scope": [READ, WRITE]}
    assert payload(plane, views[1].header["payload_hash"]) == {
        "goal": "reconcile",
        "action": {"capability": READ, "resource": "payments.db", "arguments": {"day": "2026-11-02"}},
        "outcome": {"status": "completed", "result": {"entries": 12}},
        "evidence": [{"name": "statement", "sha256": digest, "bytes": 12}],
    }
    pack = tmp_path / "pack.zip"
    with plane.client() as client, LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        assert export_pack(client, PackRequest(session_id=session_id), pack, store).payloads == 4
    report = verify_file(pack, plane.pin, require_payloads=True)
    assert report.valid, report.to_json()


def test_the_lease_is_given_back_and_its_key_destroyed(plane: ControlPlane, docked: Docked) -> None:
    with open_session("g", agent_dir=docked([READ]), home=plane.home.folder) as session:
        instance_id = session.instance.instance_id
        with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
            assert instance_id in [holder.instance_id for holder in store.holders()]
    with plane.client() as client:
        assert client.instance(instance_id).state == "stopped"
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        assert instance_id not in [holder.instance_id for holder in store.holders()]
        assert not store.waiting(instance_id)
        assert not store.refused(instance_id)


def test_failures_are_recorded_and_raised(plane: ControlPlane, docked: Docked) -> None:
    agent = docked([READ])
    session_id = ""

    def work() -> None:
        nonlocal session_id
        with open_session("g", agent_dir=agent, home=plane.home.folder) as session:
            session_id = session.session_id
            with session.action(READ):
                raise ZeroDivisionError("a secret")

    with pytest.raises(ZeroDivisionError, match="a secret"):
        work()
    views = receipts(plane, session_id)
    assert [view.header.get("outcome") for view in views] == [None, "failed", "failed"]
    with plane.client() as client:
        shown = [msgspec.json.encode(client.receipt(view.receipt_id)) for view in views]
    assert not any(b"a secret" in one for one in shown)
    error = {"type": "ZeroDivisionError", "message": "a secret"}
    assert payload(plane, views[1].header["payload_hash"])["outcome"] == {"status": "failed", "error": error}
    assert payload(plane, views[2].header["payload_hash"])["outcome"] == {"status": "failed", "error": error}


def test_denials_are_counted_together(plane: ControlPlane, docked: Docked) -> None:
    ran = False
    with open_session("g", agent_dir=docked([READ]), home=plane.home.folder) as session:
        for _ in range(5):
            with pytest.raises(ActionDenied) as caught, session.action(SECRET, resource="vault"):
                ran = True
        with pytest.raises(ActionDenied), session.action(SECRET, resource="other"):
            ran = True
        session_id = session.session_id
    assert not ran
    assert (caught.value.reason, caught.value.action) == ("capability_not_leased", SECRET)
    found = claims(plane, session_id)
    assert {claim.outcome for claim in found} == {Outcome.DENIED}
    assert {claim.reason for claim in found} == {"capability_not_leased"}
    counts = [1 if isinstance(claim.count, msgspec.UnsetType) else claim.count for claim in found]
    assert sorted(counts) == [1, 1, 4]


def test_a_session_is_no_wider_than_it_was_opened(plane: ControlPlane, docked: Docked) -> None:
    agent = docked([READ, WRITE])
    with open_session("g", agent_dir=agent, home=plane.home.folder, scope=[READ]) as session:
        assert session.instance.authority.lease.scope == [READ]
        with pytest.raises(ActionDenied), session.action(WRITE):
            pytest.fail("outside the scope")


def test_high_risk_is_decided_by_the_control_plane(plane: ControlPlane, docked: Docked) -> None:
    with open_session("g", agent_dir=docked([MONEY]), home=plane.home.folder) as session:
        with session.action(MONEY, arguments={"amount": "12.00"}):
            pass
        session_id = session.session_id
    kinds = [view.kind for view in receipts(plane, session_id)]
    assert kinds == ["session.opened", "action.authorized", "work", "session.closed"]
    assert isinstance(claims(plane, session_id)[0].decision_id, str)


@pytest.mark.parametrize("kind", [Target.DOCK, Target.AGENT, Target.INSTANCE, Target.LEASE])
def test_revocation_denies(plane: ControlPlane, tmp_path: Path, kind: Target) -> None:
    agent = dock(plane, tmp_path / "agent", f"revoked-{kind.value}", [READ])
    with open_session("g", agent_dir=agent, home=plane.home.folder) as session:
        lease = session.instance.authority.lease
        target = {
            Target.DOCK: lease.dock_id,
            Target.AGENT: lease.agent,
            Target.INSTANCE: lease.instance_id,
            Target.LEASE: lease.lease_id,
        }[kind]
        with plane.client() as client:
            plane.operator(client).revoke(kind, target, reason="test")
        reason = first_denial(session, READ)
    assert reason in {f"{kind.value}_revoked", "organism_stopped"}


def test_a_stopped_instance_is_denied(plane: ControlPlane, docked: Docked) -> None:
    agent = docked([READ])
    with open_session("g", agent_dir=agent, home=plane.home.folder) as session:
        with plane.client() as client:
            plane.operator(client).intervene(session.instance.instance_id, reason="test")
        assert first_denial(session, READ) == "organism_stopped"


def test_the_lease_is_renewed_and_work_goes_on(plane: ControlPlane, docked: Docked) -> None:
    agent = docked([READ])
    with open_session("g", agent_dir=agent, home=plane.home.folder, ttl_seconds=6) as session:
        until = time.monotonic() + SECONDS_MAX
        while session.instance.authority.lease.serial < 2:
            assert time.monotonic() < until
            with session.action(READ):
                time.sleep(0.2)
        serial, lease_id = session.instance.authority.lease.serial, session.instance.authority.lease.lease_id
        session_id = session.session_id
    assert serial >= 2
    with plane.client() as client:
        kinds = [
            v.kind
            for v in client.receipts(limit=500, newest=True).receipts
            if v.header.get("lease_ref") == lease_id
        ]
    assert kinds.count("lease.renewed") >= serial
    assert {claim.outcome for claim in claims(plane, session_id)} == {Outcome.COMPLETED}


def test_a_child_may_only_do_its_part(plane: ControlPlane, docked: Docked) -> None:
    parent = docked([READ, WRITE])
    child = docked([READ, WRITE], suffix="-child")
    with open_session("parent", agent_dir=parent, home=plane.home.folder) as session:
        lease_id = session.instance.authority.lease.lease_id
        with session.delegate(child, scope=[READ], goal="child") as helper:
            with helper.action(READ):
                pass
            with pytest.raises(ActionDenied, match="capability_not_leased"), helper.action(WRITE):
                pytest.fail("the child has no such authority")
            child_lease = helper.instance.authority.lease
            child_session = helper.session_id
        assert child_lease.parent_lease_id == lease_id
        assert child_lease.instance_key != session.instance.signer.public_key.raw
    assert [view.kind for view in receipts(plane, child_session)] == [
        "session.opened", "work", "work", "session.closed",
    ]  # fmt: skip


def test_what_may_not_be_handed_on_is_refused(plane: ControlPlane, docked: Docked) -> None:
    parent, child = docked([READ, MONEY]), docked([MONEY], suffix="-child")
    with (
        open_session("parent", agent_dir=parent, home=plane.home.folder) as session,
        pytest.raises(ForbiddenError) as caught,
        session.delegate(child, scope=[MONEY]),
    ):
        pytest.fail("money may not be delegated")
    assert caught.value.code == "capability_not_delegable"


def test_a_revoked_parent_takes_its_child_along(plane: ControlPlane, docked: Docked) -> None:
    parent, child = docked([READ]), docked([READ], suffix="-child")
    with (
        open_session("p", agent_dir=parent, home=plane.home.folder) as session,
        session.delegate(child, scope=[READ]) as helper,
    ):
        lease_id = session.instance.authority.lease.lease_id
        with plane.client() as client:
            plane.operator(client).revoke(Target.LEASE, lease_id, reason="test")
        reason = first_denial(helper, READ)
    assert reason in {"parent_lease_revoked", "organism_stopped"}


def test_the_decorator_records_arguments_and_result(plane: ControlPlane, docked: Docked) -> None:
    with open_session("g", agent_dir=docked([WRITE]), home=plane.home.folder) as session:

        @session.governed(WRITE)
        def post(entry: str, amount: int = 3) -> dict[str, int]:
            return {"posted": amount}

        assert post("a") == {"posted": 3}
        session_id = session.session_id
    shown = payload(plane, claims(plane, session_id)[0].payload_hash)
    assert shown["action"]["arguments"] == {"entry": "a", "amount": 3}
    assert shown["outcome"]["result"] == {"posted": 3}


def test_a_changed_agent_is_refused_with_the_file_named(plane: ControlPlane, docked: Docked) -> None:
    agent = docked([READ])
    (agent / "agent.py").write_text("print('changed')\n")
    with (
        pytest.raises(ForbiddenError, match=r"agent\.py") as caught,
        open_session("g", agent_dir=agent, home=plane.home.folder),
    ):
        pytest.fail("it is not what was registered")
    assert caught.value.code == "manifest_unrecorded"


def test_what_cannot_be_recorded_is_refused_before_it_happens(plane: ControlPlane, docked: Docked) -> None:
    with open_session("g", agent_dir=docked([READ]), home=plane.home.folder) as session:
        with pytest.raises(InvalidInputError), session.action(READ, arguments={"share": 0.5}):
            pytest.fail("a float has no canonical form")
        with session.action(READ) as act, pytest.raises(InvalidInputError):
            act.set_result({"none": None})
        with pytest.raises(SessionStateError):
            act.add_evidence("late", b"")
    with pytest.raises(SessionStateError), session.action(READ):
        pytest.fail("the session is over")


def test_the_async_twin_does_the_same(plane: ControlPlane, docked: Docked) -> None:
    agent, child = docked([READ, MONEY]), docked([READ], suffix="-child")

    async def work() -> tuple[str, str]:
        async with open_async_session("async", agent_dir=agent, home=plane.home.folder) as session:
            async with session.action(READ, resource="r") as act:
                act.add_evidence("bytes", b"abc")

            @session.governed(MONEY)
            async def pay(amount: str) -> str:
                await asyncio.sleep(0)
                return amount

            assert await pay("5") == "5"
            with pytest.raises(ActionDenied):
                async with session.action(WRITE):
                    pytest.fail("not leased")
            with pytest.raises(ZeroDivisionError):
                async with session.action(READ):
                    raise ZeroDivisionError
            async with session.delegate(child, scope=[READ]) as helper:
                async with helper.action(READ):
                    pass
                helper_id = helper.session_id
            assert await session.flush()
            return session.session_id, helper_id

    session_id, helper_id = asyncio.run(work())
    outcomes = [claim.outcome.value for claim in claims(plane, session_id)]
    assert outcomes == ["completed", "completed", "denied", "failed"]
    assert [claim.outcome.value for claim in claims(plane, helper_id)] == ["completed"]
    assert receipts(plane, session_id)[-1].kind == "session.closed"


def test_a_cancelled_action_is_recorded(plane: ControlPlane, docked: Docked) -> None:
    agent = docked([READ])
    session_id = ""

    async def work() -> None:
        nonlocal session_id
        async with open_async_session("async", agent_dir=agent, home=plane.home.folder) as session:
            session_id = session.session_id
            async with session.action(READ):
                await asyncio.sleep(30)

    async def cancel() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(work(), 1)

    asyncio.run(cancel())
    assert [claim.outcome.value for claim in claims(plane, session_id)] == ["failed"]


def test_heartbeats_carry_progress(plane: ControlPlane, docked: Docked) -> None:
    with open_session("g", agent_dir=docked([READ]), home=plane.home.folder) as session:
        for page in (1, 2, 2, 1):
            with session.action(READ, arguments={"page": page}):
                pass
        assert session.flush()
        until = time.monotonic() + SECONDS_MAX
        with plane.client() as client:
            while (view := client.instance(session.instance.instance_id)).progress_sequence < 2:
                assert time.monotonic() < until
                time.sleep(0.1)
    # Two pages were read for the first time.
    assert (view.progress_sequence, view.progress_source) == (2, "receipts")
    assert view.pulse_age_ms >= 0
