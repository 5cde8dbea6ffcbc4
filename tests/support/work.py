"""What instances do, as receipts in a `Book`: sessions, claims, delegation, release, and their ends."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from dragons.authority.lease import DELEGATION, RELEASE, Delegation, Lease, Release
from dragons.authority.revocation import REVOCATION, Revocation, Target
from dragons.core.keys import KeyRole, Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, Outcome
from dragons.evidence import receipt
from dragons.evidence.chain import Sealed
from dragons.evidence.receipt import Abandonment, Claim, Closing, Decision, Denial, Session
from dragons.identity.records import version_name
from tests.support.ledger import Agent, Book, changed


class Open(NamedTuple):
    """An open session and whose it is."""

    session_id: str
    agent: Agent


def about_agent(agent: Agent) -> dict[str, Any]:
    """The header fields that say who and under which authority."""
    lease = agent.lease
    return {
        "agent": version_name(lease.agent, lease.version),
        "manifest_hash": lease.manifest_hash,
        "instance_id": lease.instance_id,
        "lease_ref": lease.lease_id,
        "epoch": lease.epoch,
        "organism_state": agent.state,
        "mtboi_seconds": 86_400,
    }


def open_session(
    book: Book, agent: Agent, goal: str, *, signer: Signer | None = None, about: dict[str, Any] | None = None,
    **changes: Any,
) -> Open:  # fmt: skip
    """A goal, committed to before execution begins."""
    body = Session(
        session_id=book.new_name("ses"),
        tenant_id=book.tenant_id,
        instance_id=agent.instance_id,
        lease_id=agent.lease.lease_id,
        epoch=agent.lease.epoch,
        scope=agent.lease.scope,
        payload_hash=book.keep({"goal": goal, "scope": agent.lease.scope}),
        opened_at=book.time(),
    )
    body = changed(body, changes)
    envelope = sign(receipt.SESSION, body, signer or agent.signer)
    book.append(
        Kind.SESSION_OPENED, envelope, about, **about_agent(agent), session_id=body.session_id,
        payload_hash=body.payload_hash,
    )  # fmt: skip
    return Open(body.session_id, agent)


def work(
    book: Book, session: Open, action: str = "read:payments", *, signer: Signer | None = None,
    about: dict[str, Any] | None = None, **changes: Any,
) -> Sealed:  # fmt: skip
    """One cycle of work: goal → action → evidence → outcome."""
    agent = session.agent
    number = book.head.next_seq
    evidence = sha256(f"{book.name}/evidence/{number}".encode()).hexdigest()
    body = Claim(
        claim_id=book.new_name("clm"),
        tenant_id=book.tenant_id,
        instance_id=agent.instance_id,
        lease_id=agent.lease.lease_id,
        epoch=agent.lease.epoch,
        session_id=session.session_id,
        action=action,
        started_at=book.time(),
        ended_at=book.time(120),
        elapsed_ms=120,
        payload_hash=book.keep(
            {
                "goal": "reconcile",
                "action": {
                    "capability": action,
                    "resource": f"batch-{number}",
                    "arguments": {"rows": number},
                },
                "outcome": {"status": "completed", "result": "42 rows"},
                "evidence": [{"name": "statement.xml", "sha256": evidence, "bytes": 2048}],
            }
        ),
        evidence=[evidence],
        outcome=Outcome.COMPLETED,
    )
    body = changed(body, changes)
    envelope = sign(receipt.CLAIM, body, signer or agent.signer)
    return book.append(
        Kind.WORK, envelope, about, **about_agent(agent), session_id=body.session_id, action=body.action,
        payload_hash=body.payload_hash, evidence=body.evidence, outcome=body.outcome,
        corrects=body.corrects if isinstance(body.corrects, str) else None,
    )  # fmt: skip


def close_session(
    book: Book,
    session: Open,
    *,
    signer: Signer | None = None,
    about: dict[str, Any] | None = None,
    **changes: Any,
) -> Sealed:
    agent = session.agent
    body = Closing(
        session_id=session.session_id,
        tenant_id=book.tenant_id,
        instance_id=agent.instance_id,
        lease_id=agent.lease.lease_id,
        outcome=Outcome.COMPLETED,
        payload_hash=book.keep({"summary": {"matched": 42, "open": 0}}),
        evidence=[],
        closed_at=book.time(),
    )
    body = changed(body, changes)
    envelope = sign(receipt.CLOSING, body, signer or agent.signer)
    return book.append(
        Kind.SESSION_CLOSED, envelope, about, **about_agent(agent), session_id=body.session_id,
        payload_hash=body.payload_hash, evidence=body.evidence, outcome=body.outcome,
    )  # fmt: skip


def authorize(book: Book, session: Open, action: str, *, signer: Signer | None = None, **changes: Any) -> str:
    """The control plane's own check of a high-risk action; returns the decision's id."""
    agent = session.agent
    body = Decision(
        decision_id=book.new_name("dcn"),
        tenant_id=book.tenant_id,
        instance_id=agent.instance_id,
        lease_id=agent.lease.lease_id,
        epoch=agent.lease.epoch,
        session_id=session.session_id,
        action=action,
        decided_at=book.time(),
    )
    body = changed(body, changes)
    envelope = sign(receipt.DECISION, body, signer or book.issuer)
    book.append(
        Kind.ACTION_AUTHORIZED, envelope, **about_agent(agent), session_id=body.session_id, action=body.action
    )
    return str(body.decision_id)


def abandon(book: Book, session: Open, decision_id: str = "", **changes: Any) -> Sealed:
    """The control plane closes what the instance never ended: an action, or the session itself."""
    body = Abandonment(
        tenant_id=book.tenant_id,
        instance_id=session.agent.instance_id,
        session_id=session.session_id,
        why="the lease ended",
        abandoned_at=book.time(),
    )
    body = changed(body, {**({"decision_id": decision_id} if decision_id else {}), **changes})
    return book.append(
        Kind.WORK if decision_id else Kind.SESSION_CLOSED, sign(receipt.ABANDONMENT, body, book.issuer),
        **about_agent(session.agent), session_id=session.session_id, outcome=Outcome.ABANDONED,
    )  # fmt: skip


def deny(book: Book, agent: Agent, action: str, reason: str) -> Sealed:
    body = Denial(
        tenant_id=book.tenant_id,
        instance_id=agent.instance_id,
        action=action,
        reason=reason,
        detail=action,
        count=3,
        first_at=book.time(-1000),
        last_at=book.time(),
    )
    return book.append(
        Kind.DENIED, sign(receipt.DENIAL, body, book.issuer), **about_agent(agent), action=action,
        outcome=Outcome.DENIED,
    )  # fmt: skip


def erase(book: Book, receipt_ids: list[str]) -> Sealed:
    """Destroy payload and salt of these receipts; they stay themselves."""
    for header in book.headers:
        if header.receipt_id in receipt_ids and isinstance(header.payload_hash, str):
            del book.payloads[header.payload_hash]
    body = receipt.Erasure(
        tenant_id=book.tenant_id, receipts=receipt_ids, reason="a person asked for it", erased_at=book.time()
    )
    return book.by_operator(Kind.ERASED, receipt.ERASURE, body)


def revoke(book: Book, kind: Target, target: str, *, signer: Signer | None = None) -> Sealed:
    body = Revocation(
        revocation_id=book.new_name("rev"),
        tenant_id=book.tenant_id,
        kind=kind,
        target=target,
        revoked_at=book.time(),
        reason="no longer wanted",
    )
    return book.by_operator(Kind.REVOKED, REVOCATION, body, signer)


def release(book: Book, agent: Agent) -> Sealed:
    body = Release(
        tenant_id=book.tenant_id,
        lease_id=agent.lease.lease_id,
        instance_id=agent.instance_id,
        released_at=book.time(),
    )
    return book.append(Kind.LEASE_RELEASED, sign(RELEASE, body, agent.signer), **about_agent(agent))


def delegate(
    book: Book, parent: Agent, child: str, version: int, scope: list[str], *, ttl_ms: int = 300_000,
    signer: Signer | None = None, wish: dict[str, Any] | None = None, record: bool = True, **changes: Any,
) -> Agent:  # fmt: skip
    """A parent hands part of its lease to a child; `wish` changes the delegation, `changes` the lease."""
    instance_id = book.new_name("")
    key = book.key(f"instance/{instance_id}", KeyRole.INSTANCE)
    body = Delegation(
        tenant_id=book.tenant_id,
        parent_lease_id=parent.lease.lease_id,
        parent_instance_id=parent.instance_id,
        agent=child,
        instance_id=instance_id,
        instance_key=key.public_key.raw,
        scope=sorted(scope),
        not_after=book.time(ttl_ms),
        created_at=book.time(),
    )
    body = changed(body, wish or {})
    envelope = sign(DELEGATION, body, signer or parent.signer)
    if record:
        book.append(Kind.LEASE_DELEGATED, envelope, **about_agent(parent))
    dock = next(dock for dock, _ in book.docks.values() if dock.agent == child)
    lease: Lease = changed(
        Lease(
            **{
                **{name: getattr(parent.lease, name) for name in parent.lease.__struct_fields__},
                "lease_id": book.new_name("lse"), "serial": 0, "dock_id": dock.dock_id,
                "dock_hash": book.docks[dock.dock_id][1].payload_digest(), "agent": child, "version": version,
                "manifest_hash": book.manifests[version_name(child, version)].hash(),
                "instance_id": instance_id, "instance_key": key.public_key.raw,
                "dispatch_id": book.new_name("dsp"), "epoch": 1, "scope": sorted(scope), "delegate_scope": [],
                "depth": parent.lease.depth + 1, "issued_at": book.time(), "not_before": book.time(-10_000),
                "expires_at": body.not_after, "authorized_by": dock.operator,
                "parent_lease_id": parent.lease.lease_id,
                "parent_hash": parent.lease_envelope.payload_digest(),
                "delegation_hash": envelope.payload_digest(),
            }
        ),
        changes,
    )  # fmt: skip
    return Agent(key, instance_id, lease, book.record_lease(Kind.LEASE_ISSUED, lease))
