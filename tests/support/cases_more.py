"""The other half of spec/vectors: packs that were altered, signed wrongly, cut, or that leave something out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from dragons.audit.pack import HeartbeatDigest, Selection
from dragons.core.keys import KeyRole
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import Witness, format_witness, sign_checkpoint
from dragons.evidence.payload import Payload
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat
from dragons.liveness.organism import Trigger
from tests.support import cases, cases_healing, cases_keys, healing, packs, story, work
from tests.support.cases import WITNESS, WITNESS_NAME, Case, after_launch, before_launch
from tests.support.ledger import MINUTE_MS, Book, signer_of
from tests.support.packs import Parts, gap_of, session_of
from tests.support.story import Story
from tests.tamper import attacks
from tests.tamper.attacks import FOREIGN

AT = 12  # the second receipt of work in a short story


def altered(text: str, code: str, change: Callable[[Parts, Story], Parts], **options: Any) -> Case:
    """A short ledger whose pack was changed by somebody who holds none of its keys, or as said."""
    told = story.short(cycles=2)
    parts = change(packs.export(told.book, start_size=5), told)
    return Case(f"invalid-{code}", text, told.book.pin, parts, code, options)


def all_of_it() -> list[Case]:
    """Every case; a name occurs once."""
    parts = (
        cases.valid(), cases.authority(), cases.leases(), integrity(), signer(), completeness(), the_rest(),
        cases_keys.all_of_it(), cases_healing.all_of_it(),
    )  # fmt: skip
    found = [case for several in parts for case in several]
    names = [case.name for case in found]
    if len(set(names)) != len(names):
        msg = "two cases of one name"
        raise ValueError(msg)
    return found


def integrity() -> list[Case]:
    """Receipts and log."""

    def lie(**changes: Any) -> Callable[[Parts, Story], Parts]:
        return lambda parts, told: parts.with_pack(told.book.ledger, **changes)

    def misplaced(parts: Parts, told: Story) -> Parts:
        return parts.with_lines([*parts.lines[:AT], gap_of(told.book, AT + 1), *parts.lines[AT + 2 :]])

    def chain(told: Story) -> None:
        told.book.head.chain_root = "0" * 64
        work.work(told.book, told.session)

    def spliced(parts: Parts, _: Story) -> Parts:
        return parts.with_record(AT, packs.export(story.short("globex", cycles=2).book).record(AT))

    def other_root(parts: Parts, told: Story) -> Parts:
        book = told.book
        note = sign_checkpoint(book.tenant_id, parts.pack().tree_size, bytes(32), book.ledger)
        return parts.with_pack(book.ledger, root="0" * 64).with_head(
            end=note, start=msgspec.UNSET, consistency=[]
        )

    return [
        altered("A header that is no JSON.", "malformed",
                lambda p, _: attacks.on_header(attacks.changed_byte)(p, AT)),
        altered("A receipt of another tenant, genuine there.", "tenant_mismatch", spliced),
        altered("A receipt was removed.", "seq_broken", lambda p, _: attacks.removed(p, AT)),
        after_launch("A receipt that is not chained to the one before.", "chain_broken", chain),
        altered("A statement was rewritten.", "statement_altered",
                lambda p, _: attacks.on_statement(attacks.changed_text)(p, AT)),
        altered("A statement of a kind that its receipt does not carry.", "statement_kind",
                lambda p, _: attacks.on_statement(attacks.changed_type)(p, AT)),
        after_launch("A header that tells another outcome than its statement.", "header_contradicts",
                     lambda t: work.work(t.book, t.session, about={"evidence": []})),
        altered("A hash in the place of another receipt.", "gap_misplaced", misplaced),
        altered("The last receipts were cut off.", "log_truncated", lambda p, _: attacks.truncated(p, AT)),
        altered("The ledger signs another root.", "root_mismatch", other_root),
        altered("The end checkpoint is of another tree than the pack statement.", "checkpoint_contradicts",
                lambda p, t: p.with_head(end=sign_checkpoint(
                    t.book.tenant_id, p.pack().tree_size, bytes(32), t.book.ledger))),
        altered("The start checkpoint is no prefix of the log.", "inconsistent",
                lambda p, t: p.with_head(start=sign_checkpoint(t.book.tenant_id, 5, bytes(32), t.book.ledger))),
        altered("The ledger signs another context digest.", "context_altered", lie(context_sha256="0" * 64)),
        altered("A pack of no receipts, signed as such.", "pack_empty", lambda p, t: p.with_lines([]).with_pack(
            t.book.ledger, tree_size=0, selected=0, last_position=0, revocations=0)),
    ]  # fmt: skip


def signer() -> list[Case]:
    """Who signed."""

    def compromised(told: Story) -> None:
        told.book.revoke_key(told.book.issuer.key_id, compromised_since=told.book.headers[9].issued_at)

    def beat(parts: Parts, told: Story) -> Parts:
        agent = told.agent
        body = Heartbeat(
            tenant_id=told.book.tenant_id, instance_id=agent.instance_id, lease_id=agent.lease.lease_id, epoch=1,
            sequence=1, sent_at=told.book.time(),
        )  # fmt: skip
        last = sign(HEARTBEAT, body, signer_of("mallory", KeyRole.INSTANCE))
        return replace(
            parts, heartbeats=[HeartbeatDigest(instance_id=agent.instance_id, accepted=1, last=last)]
        )

    other = story.short("mallory", cycles=2)
    made_up = Case(
        "invalid-root-forged", "A whole ledger under the attacker's own root.", story.short().book.pin,
        packs.export(other.book), "ledger_key_untrusted",
    )  # fmt: skip
    return [
        made_up,
        before_launch("A second genesis.", "root_untrusted", lambda book: book.genesis()),
        before_launch("A key statement that the root did not sign.", "key_untrusted", lambda book: book.register_key(
            FOREIGN, "ledger", signers=[signer_of("mallory/root", KeyRole.ROOT)])),
        altered("A header signed by a key that nobody vouches for.", "ledger_key_untrusted",
                lambda p, _: attacks.on_header(attacks.resigned)(p, AT)),
        before_launch("A dock signed by the issuer.", "statement_signer", lambda book: book.dock(
            "reconciler", story.READ_WRITE, signer=book.issuer)),
        altered("A claim whose signature does not hold.", "signature_invalid",
                lambda p, _: attacks.on_statement(attacks.changed_signature)(p, AT)),
        after_launch("The issuer's key was compromised before it signed the lease.", "key_compromised", compromised),
        altered("A pack statement by a foreign key.", "pack_untrusted", lambda p, _: p.with_pack(FOREIGN)),
        altered("An end checkpoint by a foreign key.", "checkpoint_untrusted", lambda p, t: p.with_head(
            end=sign_checkpoint(t.book.tenant_id, p.pack().tree_size, bytes.fromhex(p.pack().root), FOREIGN))),
        altered("An end checkpoint that is none.", "checkpoint_malformed", lambda p, _: p.with_head(end="none\n")),
        altered("A heartbeat by a foreign key.", "heartbeat_untrusted", beat),
    ]  # fmt: skip


def completeness() -> list[Case]:
    """What is missing."""

    def without(selection: Callable[[Story], Selection], seq: int) -> Callable[[Parts, Story], Parts]:
        def change(_: Parts, told: Story) -> Parts:
            whole = packs.export(told.book, selection(told))
            at = next(whole.receipts()[i] for i in range(len(whole.receipts())) if whole.header(i).seq == seq)
            lines = [*whole.lines[:at], gap_of(told.book, seq), *whole.lines[at + 1 :]]
            return whole.with_lines(lines).resealed(told.book.ledger)

        return change

    def session(told: Story) -> Selection:
        return session_of(told.session.session_id)

    def window(told: Story) -> Selection:
        return packs.window_of(told.book, 10, 12)

    def foreign(_: Parts, told: Story) -> Parts:
        parts = packs.export(told.book, session(told))
        return attacks.flag_flipped(parts, parts.index_of(Kind.AGENT_DOCKED))

    def orphan(told: Story) -> None:
        healing.transition(told.book, told.agent, Trigger.CRASHED)
        told.book.now_ms += 10 * MINUTE_MS
        story.publish(told.book, 2)

    def again(told: Story) -> None:
        work.close_session(told.book, told.session)
        work.work(told.book, told.session)

    def revoked(book: Book) -> None:
        book.head.revocations = 1
        book.revoke_key(book.issuer.key_id)

    return [
        altered("The ledger leaves one receipt of a session out.", "receipt_missing", without(session, AT)),
        altered("A receipt of the context is counted as selected.", "receipt_foreign", foreign),
        altered("A window without the receipt after it.", "window_edge", without(window, 13)),
        altered("The tail was replaced by hashes.", "selection_truncated",
                lambda p, t: attacks.tail_hidden(t.book)(p, AT)),
        altered("A ledger pack that names an agent.", "selection_malformed", lambda p, t: p.with_pack(
            t.book.ledger, selection=Selection(kind="ledger", agent="reconciler"))),
        before_launch("An earlier revocation is not shown.", "revocation_withheld", revoked),
        after_launch("A session that begins in the middle.", "session_start", lambda t: work.work(
            t.book, work.Open(t.book.new_name("ses"), t.agent), about={"session_position": 4})),
        after_launch("A gap in a session.", "session_gap", lambda t: work.work(
            t.book, t.session, about={"session_position": 2})),
        after_launch("A session whose own chain is broken.", "session_chain", lambda t: work.work(
            t.book, t.session, about={"session_parent": "0" * 64})),
        after_launch("Work after the end of its session.", "session_closed", again),
        after_launch("Work in a session of another lease.", "session_foreign", lambda t: work.work(
            t.book, work.Open(t.session.session_id, t.book.lease(t.dock)))),
        after_launch("A session that nobody ever ended.", "orphan", orphan),
    ]  # fmt: skip


def the_rest() -> list[Case]:
    """Times, payloads, witnesses."""

    def payload(change: Callable[[list[Payload]], list[Payload]]) -> Callable[[Parts, Story], Parts]:
        return lambda parts, _: replace(parts, payloads=change(list(parts.payloads)))

    def salted(found: list[Payload]) -> list[Payload]:
        first = found[0]
        return [Payload(payload_hash=first.payload_hash, salt=bytes(32), body=first.body), *found[1:]]

    witness = {
        "witnesses": [format_witness(Witness(WITNESS_NAME, WITNESS.public_key))],
        "witnesses_required": 1,
    }
    return [
        after_launch("Work that ended before it began.", "time_reversed", lambda t: work.work(
            t.book, t.session, ended_at=t.book.time(-1))),
        after_launch("Work that ended in the future.", "time_future", lambda t: work.work(
            t.book, t.session, ended_at=t.book.time(9_000))),
        altered("A payload under another salt.", "payload_altered", payload(salted)),
        altered("A payload left out of a pack that says it is whole.", "payload_withheld",
                payload(lambda found: found[1:])),
        altered("A payload too many.", "payload_unclaimed", payload(lambda found: [*found, found[0]])),
        altered("No witness cosigned.", "witnesses_missing", lambda p, _: p, **witness),
    ]  # fmt: skip
