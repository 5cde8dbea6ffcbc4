"""How instances fare, as receipts in a `Book`: states, interventions, policies, dispatches and their starts."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from dragons.authority.revocation import WITHDRAWAL, Withdrawal
from dragons.core.hashing import ZERO
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence import receipt
from dragons.evidence.chain import Sealed
from dragons.evidence.receipt import Axes, Delivery, DispatchEnd, Handover, Redispatch, Transition
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.organism import MOVES, Trigger
from dragons.liveness.policy import EVERY_AGENT, POLICY, Policy
from tests.support.ledger import Agent, Book, changed
from tests.support.work import about_agent

FENCE_MS = 6_000


def transition(
    book: Book, agent: Agent, trigger: Trigger, /, *, signer: Signer | None = None, **changes: Any
) -> Sealed:
    """Move along the table; `changes` may leave it, and `agent.state` follows them."""
    body = Transition(
        tenant_id=book.tenant_id,
        instance_id=agent.instance_id,
        before=agent.state,
        after=MOVES.get((agent.state, trigger), agent.state),
        trigger=trigger.value,
        reason=f"{trigger.value.replace('_', ' ')}, says the ledger",
        at=book.time(),
        axes=Axes(lease_expires_at=agent.lease.expires_at, policy_version=0, pulse_at=book.time(-1_000)),
        dispatch_id=agent.lease.dispatch_id,
    )
    body = changed(body, changes)
    agent.state = OrganismState(body.after)
    envelope = sign(receipt.TRANSITION, body, signer or book.issuer)
    return book.append(Kind.STATE_CHANGED, envelope, **about_agent(agent))


def intervene(
    book: Book, on: Agent | str, action: str, /, *, signer: Signer | None = None, **changes: Any
) -> Sealed:
    """A person's hand on an instance, or on everything of the agent with this name; `changes` the statement."""
    target = {"agent": on} if isinstance(on, str) else {"instance_id": on.instance_id}
    body = receipt.Intervention(
        tenant_id=book.tenant_id, action=action, reason="looked at it", at=book.time(), **target
    )
    header: dict[str, Any] = {"agent": on} if isinstance(on, str) else about_agent(on)
    return book.by_operator(Kind.INTERVENTION, receipt.INTERVENTION, changed(body, changes), signer, **header)


def withdraw(book: Book, agent: Agent, *, signer: Signer | None = None, **changes: Any) -> Sealed:
    """The issuer takes a lease back."""
    body = Withdrawal(
        tenant_id=book.tenant_id,
        lease_id=agent.lease.lease_id,
        instance_id=agent.instance_id,
        reason="it is being healed",
        withdrawn_at=book.time(),
    )
    body = changed(body, changes)
    header = {**about_agent(agent), "lease_ref": body.lease_id, "instance_id": body.instance_id}
    return book.append(Kind.REVOKED, sign(WITHDRAWAL, body, signer or book.issuer), **header)


def policy(
    book: Book, version: int, agent: str = EVERY_AGENT, *, about: dict[str, Any] | None = None, **changes: Any
) -> Sealed:
    """The thresholds for an agent, or for every one."""
    body = Policy(
        tenant_id=book.tenant_id,
        agent=agent,
        version=version,
        degrade_after_seconds=1800,
        autoheal_after_seconds=3600,
        lease_grace_seconds=300,
        heal_timeout_seconds=300,
        waiting_max_seconds=86_400,
        restarts_max=3,
        restart_window_seconds=21_600,
        backoff_first_seconds=10,
        backoff_longest_seconds=1800,
        progress_required=True,
        progress_sources=["boundary", "files", "receipts"],
        published_at=book.time(),
    )
    body = changed(body, changes)
    header = {} if agent == EVERY_AGENT else {"agent": agent}
    return book.append(Kind.POLICY_PUBLISHED, sign(POLICY, body, book.operator), about, **header)


def order(
    book: Book, agent: str, *, signer: Signer | None = None, about: dict[str, Any] | None = None, **changes: Any
) -> str:  # fmt: skip
    """An operator orders work that goes on until it is done; returns the dispatch."""
    body = Dispatch(
        dispatch_id=book.new_name("dsp"),
        tenant_id=book.tenant_id,
        agent=agent,
        dispatcher="process",
        target="node-1",
        scope=["pay:suppliers", "read:payments", "send:notice", "write:ledger"],
        ttl_seconds=900,
        goal_hash=sha256(b"the goal").hexdigest(),
        spec_hash=sha256(b"the specification").hexdigest(),
        created_at=book.time(),
    )
    body = changed(body, changes)
    envelope = sign(DISPATCH_ORDER, body, signer or book.operator)
    book.append(Kind.DISPATCH_ORDERED, envelope, about, agent=body.agent)
    return str(body.dispatch_id)


def start(
    book: Book, dispatch_id: str, epoch: int = 1, before: Agent | None = None, *, agent: str = "reconciler",
    about: dict[str, Any] | None = None, **changes: Any,
) -> Sealed:  # fmt: skip
    """The control plane orders the next instance of a dispatch; after `before`, if there was one, it waits."""
    body = Redispatch(
        tenant_id=book.tenant_id,
        order_id=book.new_name("ord"),
        dispatch_id=dispatch_id,
        agent=agent,
        epoch=epoch,
        reason="ordered by an operator" if before is None else "the one before is out of service",
        fenced_by="none" if before is None else "staleness",
        not_before=book.time(0 if before is None else FENCE_MS),
        at=book.time(),
    )
    if before is not None:
        body.handover = Handover(
            instance_id=before.instance_id,
            epoch=before.lease.epoch,
            progress_sequence=3,
            progress_digest=ZERO,
            progress_source="receipts",
            progress_at=book.time(-1_000),
        )
    body = changed(body, changes)
    envelope = sign(receipt.REDISPATCH, body, book.issuer)
    sealed = book.append(Kind.REDISPATCHED, envelope, about, agent=body.agent, epoch=body.epoch)
    if before is not None:
        book.now_ms += FENCE_MS
    return sealed


def end(book: Book, dispatch_id: str, *, agent: str = "reconciler", **changes: Any) -> Sealed:
    """A dispatch is over."""
    body = DispatchEnd(
        tenant_id=book.tenant_id,
        dispatch_id=dispatch_id,
        agent=agent,
        outcome="completed",
        reason="the program ended",
        at=book.time(),
    )
    body = changed(body, changes)
    return book.append(Kind.DISPATCH_ENDED, sign(receipt.DISPATCH_END, body, book.issuer), agent=body.agent)


def notify(book: Book, **changes: Any) -> Sealed:
    """A person was told."""
    body = Delivery(
        tenant_id=book.tenant_id,
        message_id=book.new_name("msg"),
        channel="on-call",
        topic="quarantined",
        message_hash=sha256(b"the message").hexdigest(),
        outcome="delivered",
        attempts=1,
        detail="204",
        at=book.time(),
    )
    return book.append(Kind.NOTIFIED, sign(receipt.DELIVERY, changed(body, changes), book.issuer))


# --- longer ways -----------------------------------------------------------------------------------


def heal(book: Book, agent: Agent) -> None:
    """Out of service: stalled for good, and its lease withdrawn."""
    transition(book, agent, Trigger.STALLED)
    transition(book, agent, Trigger.STALL_CONFIRMED)
    withdraw(book, agent)


def quarantine(book: Book, agent: Agent) -> None:
    """Isolated by an operator."""
    intervene(book, agent, "quarantine")
    transition(book, agent, Trigger.OPERATOR_QUARANTINED)
    withdraw(book, agent)


def let_go(book: Book, agent: Agent) -> None:
    """Released by an operator: stopped, so that the next instance may begin."""
    intervene(book, agent, "release")
    transition(book, agent, Trigger.OPERATOR_RELEASED)
