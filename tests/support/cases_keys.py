"""Packs of spec/vectors about endings: of keys, of operators, of a parent's lease, and of the file itself."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from zipfile import ZipFile

from dragons.audit.pack import PAYLOADS_FILE, RECEIPTS_FILE
from dragons.authority.revocation import Target
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Risk
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.cases import Case, after_launch
from tests.support.ledger import MINUTE_MS, Agent
from tests.support.story import RECONCILER, Story

PAY = "pay:suppliers"


def all_of_it() -> list[Case]:
    """Every case here; names differ from those of the other modules."""
    return [*operators(), *orders(), *keys(), *states(), *parents(), *files()]


def told_as(name: str, text: str, code: str, tell: Callable[[Story], object]) -> Case:
    """A ledger that goes on after a session was opened and a second operator was registered (receipt 11)."""

    def begin(told: Story) -> None:
        told.book.register_key(guest(told), "operator", ["operator"])
        tell(told)

    made = after_launch(text, code, begin)
    return Case(name, text, made.pin, made.parts, code)


def guest(told: Story) -> LocalSigner:
    return told.book.key("guest", KeyRole.OPERATOR)


def end(told: Story, after: int) -> None:
    """The second operator's key ends, and is not trusted since receipt `after`."""
    told.book.revoke_key(guest(told).key_id, compromised_since=told.book.headers[after].issued_at)


def operators() -> list[Case]:
    """What the end of an operator takes along."""

    def signs_on(told: Story) -> None:
        work.revoke(told.book, Target.OPERATOR, guest(told).key_id)
        story.publish(told.book, 2, pay=Risk.LOW, signer=guest(told))

    def catalogue(told: Story) -> None:
        story.publish(told.book, 2, pay=Risk.LOW, signer=guest(told))
        work.work(told.book, told.session, PAY)
        end(told, 11)
        work.work(told.book, told.session, PAY)

    def version(told: Story) -> None:
        told.book.register("reconciler", 2, [*RECONCILER, "fire:staff"], signer=guest(told))
        story.activate(told.book, "reconciler", 2, 1)
        session = work.open_session(told.book, told.book.lease(told.dock, version=2), "steal")
        end(told, 11)
        work.work(told.book, session, about={"late": True})

    def activation(told: Story) -> None:
        story.activate(told.book, "reconciler", 1, 1, signer=guest(told))
        end(told, 11)
        told.book.lease(told.dock)

    def dock(told: Story) -> None:
        agent = told.book.lease(told.book.dock("reconciler", story.READ_WRITE, signer=guest(told)))
        end(told, 11)
        work.open_session(told.book, agent, "too late")

    def in_good_time(told: Story) -> None:
        story.publish(told.book, 2, pay=Risk.LOW, signer=guest(told))
        told.book.revoke_key(guest(told).key_id)
        work.work(told.book, told.session, PAY)
        work.close_session(told.book, told.session)

    return [
        told_as("invalid-operator-revoked", "A catalogue by an operator whom another one revoked.",
                "statement_signer", signs_on),
        told_as("invalid-operator-catalogue", "Work under a catalogue by a key that was compromised by then.",
                "capability_unknown", catalogue),
        told_as("invalid-operator-version", "Work of a version that a compromised key registered.",
                "revoked", version),
        told_as("invalid-operator-activation", "A lease for a version that a compromised key activated.",
                "version_inactive", activation),
        told_as("invalid-lease_revoked", "A session under a dock by a compromised key, after the key's end.",
                "lease_revoked", dock),
        told_as("valid-operator-gone", "An operator who left: what was signed before still counts.", "", in_good_time),
    ]  # fmt: skip


def ordered_by_guest(told: Story) -> tuple[str, Agent]:
    """A dispatch by the second operator, with its first instance: receipts 12 to 14."""
    dispatch = healing.order(told.book, "reconciler", signer=guest(told))
    healing.start(told.book, dispatch)
    return dispatch, told.book.lease(told.dock, dispatch_id=dispatch)


def orders() -> list[Case]:
    """What a compromised key ordered or released, after its end."""

    def dispatch(told: Story) -> None:
        ordered = healing.order(told.book, "reconciler", signer=guest(told))
        healing.start(told.book, ordered)
        end(told, 11)
        told.book.lease(told.dock, dispatch_id=ordered)

    def at_work(told: Story) -> None:
        session = work.open_session(told.book, ordered_by_guest(told)[1], "reconcile")
        end(told, 11)
        work.work(told.book, session, about={"late": True})

    def agent(told: Story) -> None:
        healing.intervene(told.book, "reconciler", "quarantine")
        healing.intervene(told.book, "reconciler", "release", signer=guest(told))
        told.book.lease(told.dock)
        end(told, 11)
        told.book.lease(told.dock)

    def instance(told: Story) -> None:
        ordered = healing.order(told.book, "reconciler")
        healing.start(told.book, ordered)
        first = told.book.lease(told.dock, dispatch_id=ordered)
        healing.quarantine(told.book, first)
        healing.intervene(told.book, first, "release", signer=guest(told))
        healing.transition(told.book, first, Trigger.OPERATOR_RELEASED)
        end(told, 11)
        healing.start(told.book, ordered, 2, first)

    def undone(told: Story) -> None:
        ordered, first = ordered_by_guest(told)
        healing.intervene(told.book, "reconciler", "release", signer=guest(told))
        end(told, 11)
        healing.transition(told.book, first, Trigger.REVOKED)
        healing.end(told.book, ordered, outcome="cancelled")
        healing.transition(told.book, told.agent, Trigger.OPERATOR_QUARANTINED)
        work.abandon(told.book, told.session)

    return [
        told_as("invalid-operator-dispatch", "An instance of a dispatch that a compromised key ordered.",
                "dispatch_not_ordered", dispatch),
        told_as("invalid-operator-dispatched", "Work of an instance that began before that key's end.",
                "revoked", at_work),
        told_as("invalid-operator-release", "A lease for an agent that a compromised key released.",
                "organism_quarantined", agent),
        told_as("invalid-operator-let-go", "A start of a dispatch whose isolated instance a compromised key released.",
                "dispatch_not_ordered", instance),
        told_as("invalid-operator-undone", "All that such a key gave was taken back: only its signatures are left.",
                "key_compromised", undone),
    ]  # fmt: skip


def keys() -> list[Case]:
    """Who is to blame for a key that was compromised."""

    def rotation(told: Story) -> None:
        book = told.book
        since = book.time()
        book.rotate(book.issuer, book.key("issuer-2", KeyRole.ISSUER), "issuer")
        book.lease(told.dock)
        book.revoke_key(book.issuer.key_id, compromised_since=since)

    def ledger(told: Story) -> None:
        book = told.book
        old, since = book.ledger, book.time()
        work.work(book, told.session)
        book.rotate(old, book.key("ledger-2", KeyRole.LEDGER), "ledger")
        book.ledger_name = "ledger-2"
        book.revoke_key(old.key_id, compromised_since=since)

    compromised = told_as(
        "invalid-compromised-issuer", "The old key of a rotation is blamed for its next lease, not for the rotation.",
        "key_compromised", rotation,
    )  # fmt: skip
    lines = compromised.parts.lines
    spoiled = compromised.parts.with_lines([*lines[:5], b"{}", *lines[6:]])
    return [
        compromised,
        told_as("invalid-compromised-ledger", "A ledger key that was compromised before it was replaced.",
                "key_compromised", ledger),
        Case("invalid-compromised-malformed", "A line that is no receipt, before the first use of a compromised key.",
             compromised.pin, spoiled, "key_compromised"),
    ]  # fmt: skip


def states() -> list[Case]:
    """Work of an instance that was halted."""

    def halted(trigger: Trigger) -> Callable[[Story], object]:
        def tell(told: Story) -> None:
            healing.transition(told.book, told.agent, trigger)
            work.work(told.book, told.session, about={"late": True})

        return tell

    return [
        after_launch(f"Work of an instance that is {state}.", f"organism_{state}", halted(trigger))
        for state, trigger in (("autohealing", Trigger.CRASHED), ("stopped", Trigger.LEASE_LAPSED))
    ]


def parents() -> list[Case]:
    """Delegated leases that reach beyond what they hang on."""

    def delegated(told: Story, **changes: object) -> work.Agent:
        told.book.dock("notifier", ["send:notice"])
        return work.delegate(told.book, told.agent, "notifier", 1, ["send:notice"], **changes)  # type: ignore[arg-type]

    def wish(told: Story) -> None:
        delegated(told, wish={"not_after": told.book.time(16 * MINUTE_MS)})

    def renewal(told: Story) -> None:
        told.book.renew(delegated(told, ttl_ms=14 * MINUTE_MS), ttl_ms=16 * MINUTE_MS)

    def wider(told: Story) -> None:
        agent = told.book.lease(told.dock, scope=["read:payments"])
        told.book.renew(agent, scope=story.READ_WRITE)

    return [
        told_as("invalid-wish-too-long", "A wish for a child beyond the parent's end.", "ttl_exceeded", wish),
        told_as(
            "invalid-renewal-too-long", "A child renewed beyond its parent's end.", "ttl_exceeded", renewal
        ),
        told_as("invalid-renewal-wider", "A renewal that widens its lease.", "scope_exceeded", wider),
    ]


def files() -> list[Case]:
    """Files whose entries were spoiled."""
    told = story.short(cycles=2)
    parts = packs.export(told.book)

    def spoiled(code: str, text: str, name: str, change: Callable[[bytes], bytes]) -> Case:
        return Case(
            f"invalid-{code}", text, told.book.pin, parts, code, finish=lambda data: _with(data, name, change)
        )

    return [
        spoiled("damaged", "The receipts end within a line.", RECEIPTS_FILE, lambda data: data[:-1]),
        spoiled(
            "payload_malformed",
            "A line after the payloads that is none.",
            PAYLOADS_FILE,
            lambda data: data + b"{\n",
        ),
    ]


def _with(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with one entry changed."""
    made = BytesIO()
    with ZipFile(BytesIO(data)) as old, ZipFile(made, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info, change(content) if info.filename == name else content, compresslevel=1)
    return made.getvalue()
