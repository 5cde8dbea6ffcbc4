"""The evidence packs of spec/vectors: valid ones of every selection, and one for every fault code.

Each case is a name, a sentence, and how to make the pack. What the verifier must say of it is
written down by `scripts/make-vectors` and compared with what it does say by tests/vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dragons.authority.revocation import Target
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Outcome
from dragons.evidence.checkpoint import Witness, cosign, format_witness
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS, Book, signer_of
from tests.support.packs import Parts, session_of
from tests.support.story import Story

WITNESS = signer_of("witness", KeyRole.LEDGER)
WITNESS_NAME = "witness.example/1"


@dataclass(frozen=True, slots=True)
class Case:
    """One pack; `options` are what its verifier asks for beyond the pin, `finish` may spoil the file itself."""

    name: str
    description: str
    pin: str
    parts: Parts
    code: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[bytes], bytes] = bytes

    def to_bytes(self) -> bytes:
        """The pack as a file."""
        return self.finish(packs.to_bytes(self.parts, compress=True))


def valid() -> list[Case]:
    """Packs that hold in every verdict."""
    told = story.full(cycles=1)
    book = told.book
    parts = packs.export(book, start_size=9)
    cosigned = cosign(parts.head.end, WITNESS_NAME, WITNESS, 1_800_001_000)
    witness = {
        "witnesses": [format_witness(Witness(WITNESS_NAME, WITNESS.public_key))],
        "witnesses_required": 1,
    }
    made = [
        ("ledger", "The whole ledger, every kind of receipt, with payloads.", parts, {}),
        ("ledger-redacted", "The whole ledger without payloads.", packs.export(book, redacted=True), {}),
        ("ledger-witnessed", "A witness cosigned the end checkpoint.", parts.with_head(end=cosigned), witness),
        (
            "session",
            "One session with its context, from an earlier checkpoint on.",
            packs.export(book, session_of(told.session.session_id), start_size=5),
            {},
        ),
        (
            "session-abandoned",
            "A session that the control plane ended.",
            packs.export(book, session_of(told.names["abandoned_session"])),
            {},
        ),
        ("agent", "All receipts about one agent.", packs.export(book, packs.agent_of("reconciler")), {}),
        ("agent-delegated", "An agent that works under a delegated lease.", packs.export(book, packs.agent_of("notifier")), {}),
        ("window", "A time window that cuts through a session.", packs.export(book, packs.window_of(book, 14, 20)), {}),
    ]  # fmt: skip
    return [
        Case(f"valid-{name}", text, book.pin, pack, options=options) for name, text, pack, options in made
    ]


def after_launch(text: str, code: str, tell: Callable[[Story], object]) -> Case:
    """A whole ledger that goes wrong after a session was opened (receipts 0 to 10)."""
    told = story.launched()
    tell(told)
    return Case(f"invalid-{code}", text, told.book.pin, packs.export(told.book), code)


def before_launch(text: str, code: str, tell: Callable[[Book], object]) -> Case:
    """A whole ledger that goes wrong after the agents were registered (receipts 0 to 7)."""
    book = story.tenant()
    tell(book)
    return Case(f"invalid-{code}", text, book.pin, packs.export(book), code)


def _late(told: Story, do: Callable[[], object], **changes: Any) -> None:
    do()
    work.work(told.book, told.session, about={"late": True}, **changes)


def authority() -> list[Case]:
    """Work that had no authority."""
    w, pay = work.work, "pay:suppliers"

    def wait(told: Story) -> Callable[[], object]:
        return lambda: setattr(told.book, "now_ms", told.book.now_ms + 16 * MINUTE_MS)

    def halt(told: Story) -> None:
        healing.intervene(told.book, told.agent, "quarantine")
        healing.transition(told.book, told.agent, Trigger.OPERATOR_QUARANTINED)
        w(told.book, told.session, about={"late": True})

    def overtaken(told: Story) -> None:
        healing.transition(told.book, told.agent, Trigger.REPLACED)
        told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)

    def unknown(told: Story) -> None:
        agent = told.book.lease(told.book.dock("reconciler", ["read:payments"]))
        story.publish(told.book, 2, only=["write:ledger"])
        w(told.book, work.open_session(told.book, agent, "read"))

    return [
        after_launch("An action outside the lease's scope.", "capability_not_leased",
                     lambda t: w(t.book, t.session, "send:notice")),
        after_launch("An action that the newest catalogue does not know.", "capability_unknown", unknown),
        after_launch("Work that began after expiry.", "lease_expired", lambda t: _late(t, wait(t))),
        after_launch("Work that began before not_before.", "lease_not_yet_valid",
                     lambda t: w(t.book, t.session, started_at=t.book.time(-MINUTE_MS))),
        after_launch("Work that began after the lease was given back.", "lease_released",
                     lambda t: _late(t, lambda: work.release(t.book, t.agent))),
        after_launch("Work that began after its dock was revoked.", "revoked",
                     lambda t: _late(t, lambda: work.revoke(t.book, Target.DOCK, t.dock.dock_id))),
        after_launch("Work of an epoch that had been replaced.", "epoch_stale",
                     lambda t: _late(t, lambda: overtaken(t))),
        after_launch("Work of a quarantined instance.", "organism_quarantined", halt),
        after_launch("A high-risk action without a decision.", "online_check_required",
                     lambda t: w(t.book, t.session, pay)),
        after_launch("Late work that is not marked late.", "late_unmarked",
                     lambda t: (began := t.book.time(), wait(t)(), w(
                         t.book, t.session, started_at=began, ended_at=began))),
        after_launch("Work marked late under a valid lease.", "late_unfounded",
                     lambda t: w(t.book, t.session, about={"late": True})),
        after_launch("A claim under a lease that was never issued.", "lease_missing",
                     lambda t: w(t.book, t.session, lease_id="lse_" + "0" * 32)),
        after_launch("A header that names another instance.", "instance_mismatch",
                     lambda t: w(t.book, t.session, about={"instance_id": "0" * 32})),
        after_launch("A header that names another manifest.", "manifest_mismatch",
                     lambda t: w(t.book, t.session, about={"manifest_hash": "0" * 64})),
        after_launch("An instance that abandons its own work.", "outcome_invalid",
                     lambda t: w(t.book, t.session, outcome=Outcome.ABANDONED)),
        after_launch("A session wider than its lease.", "scope_exceeded",
                     lambda t: work.open_session(t.book, t.agent, "more", scope=["fire:staff"])),
    ]  # fmt: skip


def leases() -> list[Case]:
    """Leases that should never have been issued."""

    def lease(**changes: Any) -> Callable[[Book], object]:
        return lambda book: book.lease(book.dock("reconciler", story.READ_WRITE), **changes)

    def inactive(book: Book) -> None:
        book.register("reconciler", 2, [*story.RECONCILER, "fire:staff"])
        book.lease(book.dock("reconciler", story.READ_WRITE), version=2)

    def delegated(**changes: Any) -> Callable[[Story], object]:
        def tell(told: Story) -> None:
            told.book.dock("notifier", ["send:notice"])
            work.delegate(told.book, told.agent, "notifier", 1, ["send:notice"], **changes)

        return tell

    return [
        before_launch("A lease wider than its dock.", "capability_not_docked", lease(scope=["pay:suppliers"])),
        before_launch("A lease that cites another dock statement.", "dock_missing", lease(dock_hash="0" * 64)),
        before_launch("A lease past the end of its dock.", "dock_expired", lambda book: book.lease(
            book.dock("reconciler", story.READ_WRITE, not_after=book.time(MINUTE_MS)))),
        before_launch("A lease longer than its dock allows.", "ttl_exceeded", lease(ttl_ms=61 * MINUTE_MS)),
        before_launch("A lease for a manifest that is not recorded.", "manifest_unrecorded",
                      lease(manifest_hash="0" * 64)),
        before_launch("A lease for what the manifest does not declare.", "capability_not_declared",
                      lambda book: book.lease(book.dock("reconciler", ["fire:staff"]))),
        before_launch("A lease for a version that is not active.", "version_inactive", inactive),
        after_launch("A delegated lease at the wrong depth.", "delegation_too_deep", delegated(depth=3)),
        after_launch("A wish for what may not be handed on.", "capability_not_delegable",
                     delegated(wish={"scope": ["read:payments"]})),
    ]  # fmt: skip
