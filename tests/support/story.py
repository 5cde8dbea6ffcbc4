"""One tenant's story that has every kind of receipt in it, and shorter ones to spoil."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import Dock
from dragons.authority.revocation import Target
from dragons.core.keys import KeyRole, Signer
from dragons.core.vocabulary import Kind, Outcome, Risk
from dragons.identity.records import ACTIVATION, Activation
from dragons.liveness.organism import Trigger
from tests.support import healing, work
from tests.support.ledger import MINUTE_MS, Agent, Book
from tests.support.work import Open

RECONCILER = ["pay:suppliers", "read:payments", "send:notice", "write:ledger"]
READ_WRITE = ["read:payments", "write:ledger"]


@dataclass(slots=True)
class Story:
    """A book and the names that tests speak of."""

    book: Book
    dock: Dock
    agent: Agent
    session: Open
    names: dict[str, str] = field(default_factory=dict)


def publish(
    book: Book, version: int, *, pay: Risk = Risk.HIGH, only: list[str] | None = None, signer: Signer | None = None
) -> None:  # fmt: skip
    """The tenant's catalogue; `only` leaves the other capabilities out."""
    risks = {
        "read:payments": Risk.LOW,
        "write:ledger": Risk.MEDIUM,
        "send:notice": Risk.LOW,
        "pay:suppliers": pay,
    }
    body = Catalogue(
        tenant_id=book.tenant_id,
        version=version,
        capabilities={
            name: Entry(description=f"may {name}", risk=risk, delegable=name == "send:notice")
            for name, risk in sorted(risks.items())
            if only is None or name in only
        },
        published_at=book.time(),
    )
    book.by_operator(Kind.CATALOGUE_PUBLISHED, CATALOGUE, body, signer)


def activate(book: Book, agent: str, version: int, ordinal: int, *, signer: Signer | None = None) -> None:
    body = Activation(
        tenant_id=book.tenant_id,
        agent=agent,
        version=version,
        manifest_hash=book.manifests[f"{agent}@v{version}"].hash(),
        ordinal=ordinal,
        activated_at=book.time(),
    )
    book.by_operator(
        Kind.VERSION_ACTIVATED,
        ACTIVATION,
        body,
        signer,
        agent=f"{agent}@v{version}",
        manifest_hash=body.manifest_hash,
    )


def tenant(name: str = "acme") -> Book:
    """Genesis, the first keys, a catalogue, two agents with their manifests: receipts 0 to 7."""
    book = Book(name)
    book.genesis()
    book.register_key(book.issuer, "issuer")
    book.register_key(book.operator, "operator", ["admin", "operator"])
    publish(book, 1)
    book.register("reconciler", 1, RECONCILER)
    book.register("notifier", 1, ["send:notice"])
    activate(book, "reconciler", 1, 0)
    activate(book, "notifier", 1, 0)
    return book


def launched(name: str = "acme") -> Story:
    """A tenant with a docked agent, its lease and an open session: receipts 0 to 10."""
    book = tenant(name)
    dock = book.dock("reconciler", ["pay:suppliers", *READ_WRITE], ["send:notice"])
    agent = book.lease(dock)
    return Story(book, dock, agent, work.open_session(book, agent, "reconcile payments"))


def short(name: str = "acme", cycles: int = 3) -> Story:
    """A whole little life: launched, some work, closed, released."""
    story = launched(name)
    for _ in range(cycles):
        work.work(story.book, story.session)
    work.close_session(story.book, story.session)
    work.release(story.book, story.agent)
    return story


def full(name: str = "acme", cycles: int = 3) -> Story:
    """Every kind of receipt at least once; nothing in it is wrong."""
    story = launched(name)
    book, agent, session = story.book, story.agent, story.session
    for _ in range(cycles):
        work.work(book, session)
    work.deny(book, agent, "pay:suppliers", "online_check_required")
    decision = work.authorize(book, session, "pay:suppliers")
    work.work(book, session, "pay:suppliers", decision_id=decision)
    book.renew(agent)
    healing.transition(book, agent, Trigger.STALLED)
    healing.policy(book, 1)
    healing.transition(book, agent, Trigger.RECOVERED)
    original = work.work(book, session, "write:ledger")
    work.work(book, session, "write:ledger", corrects=original.header.receipt_id)
    child_session = _delegated(story)
    work.work(book, session, outcome=Outcome.FAILED, reason="the bank did not answer")
    work.close_session(book, session)
    work.close_session(book, child_session)
    work.erase(book, [original.header.receipt_id])
    _late(story)
    _keys_change(story)
    _abandoned(story)
    _healed(story)
    return story


def _delegated(story: Story) -> Open:
    """The reconciler starts a notifier that can only notify."""
    book = story.book
    dock = book.dock("notifier", ["send:notice"])
    child = work.delegate(book, story.agent, "notifier", 1, ["send:notice"])
    session = work.open_session(book, child, "notify the supplier")
    work.work(book, session, "send:notice")
    story.names |= {"child_lease": child.lease.lease_id, "child_dock": dock.dock_id}
    return session


def _late(story: Story) -> None:
    """Work that is reported after its lease was given back."""
    book = story.book
    late = work.open_session(book, story.agent, "one last look")
    began = book.time()
    work.release(book, story.agent)
    work.work(book, late, started_at=began, ended_at=began, about={"late": True})
    work.close_session(book, late, about={"late": True})
    story.names["late_session"] = late.session_id


def _keys_change(story: Story) -> None:
    """Rotation of issuer and ledger keys, the end of the old issuer key, a second operator who leaves."""
    book = story.book
    old_issuer, old_ledger = book.issuer, book.ledger
    book.rotate(old_issuer, book.key("issuer-2", KeyRole.ISSUER), "issuer")
    book.issuer_name = "issuer-2"
    book.rotate(old_ledger, book.key("ledger-2", KeyRole.LEDGER), "ledger")
    book.ledger_name = "ledger-2"
    book.revoke_key(old_issuer.key_id)
    guest = book.key("guest", KeyRole.OPERATOR)
    book.register_key(guest, "operator", ["operator"])
    dock = book.dock("reconciler", READ_WRITE, signer=guest)
    work.revoke(book, Target.DOCK, dock.dock_id)
    book.revoke_key(guest.key_id)
    story.names |= {"guest_key": guest.key_id, "guest_dock": dock.dock_id}


def _abandoned(story: Story) -> None:
    """A second instance, in the next epoch, that never ends what it began: the control plane does."""
    book = story.book
    healing.transition(book, story.agent, Trigger.REPLACED)
    second = book.lease(story.dock, epoch=2, dispatch_id=story.agent.lease.dispatch_id)
    session = work.open_session(book, second, "pay what is due")
    decision = work.authorize(book, session, "pay:suppliers")
    book.now_ms += 16 * MINUTE_MS
    work.abandon(book, session, decision)
    work.abandon(book, session)
    story.names["abandoned_session"] = session.session_id


def _healed(story: Story) -> None:
    """Ordered work that goes on over three instances: one is healed, one renewed late, isolated, released."""
    book = story.book
    dispatch = healing.order(book, "reconciler")
    healing.start(book, dispatch)
    first = book.lease(story.dock, dispatch_id=dispatch)
    session = work.open_session(book, first, "reconcile until it is done")
    work.work(book, session, likeness="0" * 64)
    healing.heal(book, first)
    work.abandon(book, session)
    healing.start(book, dispatch, 2, first)
    healing.transition(book, first, Trigger.REPLACED)
    second = book.lease(story.dock, dispatch_id=dispatch, epoch=2)
    late_renewal(book, second)
    healing.quarantine(book, second)
    healing.notify(book)
    healing.let_go(book, second)
    healing.start(book, dispatch, 3, second)
    third = book.lease(story.dock, dispatch_id=dispatch, epoch=3)
    session = work.open_session(book, third, "the rest")
    work.work(book, session, "write:ledger", step_key="1" * 64)
    work.close_session(book, session)
    healing.transition(book, third, Trigger.ENDED)
    healing.end(book, dispatch)
    work.release(book, third)
    healing.intervene(book, "notifier", "quarantine")
    healing.intervene(book, "notifier", "release")
    story.names |= {"dispatch": dispatch, "healed_session": session.session_id}


def late_renewal(book: Book, agent: Agent) -> None:
    """The lease ends, a minute later it is renewed, and work goes on after the gap."""
    session = work.open_session(book, agent, "a long one")
    work.work(book, session)
    book.now_ms += 16 * MINUTE_MS
    healing.transition(book, agent, Trigger.LEASE_EXPIRED)
    book.renew(agent)
    healing.transition(book, agent, Trigger.RECOVERED)
    work.work(book, session)
    work.close_session(book, session)
