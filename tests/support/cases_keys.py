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
from tests.support.ledger import MINUTE_MS
from tests.support.story import RECONCILER, Story

PAY = "pay:suppliers"


def all_of_it() -> list[Case]:
    """Every case here; names differ from those of the other modules."""
    return [*operators(), *keys(), *states(), *parents(), *files()]


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
