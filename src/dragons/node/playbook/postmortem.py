"""The postmortem: what a run's receipts say, as Markdown. Pure.

Every figure is from a receipt, and stands beside its id. What a program or a model wrote is shown as
quoted text that can't become markup. Never says more than the record does: what is not there is a dash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dragons.core.vocabulary import Kind
from dragons.node.playbook.book import ASK_MODEL, DIAGNOSE, NOTIFY_PREFIX, READ_LOGS, RESTART, RUN, WATCH
from dragons.node.playbook.record import Fact, Ledger
from dragons.node.playbook.redact import redact

TIMELINE_MAX = 200
EXCERPT_LINES = 40
EXCERPT_BYTES = 8_000
_FENCE = re.compile("`{3,}|~{3,}")


class Subject(NamedTuple):
    """Whose run it was, as its lease and its manifest say, and how it was given up."""

    agent: str
    manifest_hash: str
    instance_id: str
    lease_id: str
    session_id: str
    goal: str
    why: str


class Crashed(NamedTuple):
    """One start of the service, and what was made of its end."""

    run: Fact
    restart: Fact | None
    diagnosis: Fact | None


def postmortem(subject: Subject, ledger: Ledger, log: str) -> str:
    """The whole document. `log` is the end of what was collected last; its digest is in the receipt."""
    lines = [
        f"# Postmortem: {_plain(subject.agent)} could not be kept up",
        "",
        *_summary(subject, ledger),
        *_starts(ledger),
        *_diagnoses(ledger),
        *_excerpt(ledger, log),
        *_advice(ledger),
        *_life(ledger),
        *_denials(ledger),
        *_notices(ledger),
        *_timeline(ledger),
        *_verification(subject, ledger),
    ]
    return "\n".join(lines).rstrip() + "\n"


def starts_of(ledger: Ledger) -> list[Crashed]:
    """Every start on the record, oldest first, with the diagnosis that follows it."""
    found: list[Crashed] = []
    restarts: dict[int, Fact] = {}
    for fact in ledger.session:
        if fact.action == RESTART:
            restarts[_count(fact, "attempt")] = fact
        elif fact.action == RUN and fact.outcome != "denied":
            found.append(Crashed(fact, restarts.pop(_count(fact, "attempt"), None), None))
        elif fact.action == DIAGNOSE and found and found[-1].diagnosis is None:
            found[-1] = found[-1]._replace(diagnosis=fact)
    return found


def summary_of(subject: Subject, ledger: Ledger) -> str:
    """Two sentences for whoever reads nothing else."""
    starts = starts_of(ledger)
    ended = [one for one in starts if one.run.outcome == "failed"]
    how = _how(ended[-1].run) if ended else "-"
    first = f"{subject.agent} ended {len(ended)} times in {len(starts)} starts, the last time with {how}; {subject.why}."
    last = next((one.diagnosis for one in reversed(starts) if one.diagnosis is not None), None)
    return first if last is None else f"{first} {last.result.get('cause', '')}".strip()


def _summary(subject: Subject, ledger: Ledger) -> Iterator[str]:
    yield _plain(summary_of(subject, ledger))
    yield ""
    opened = next((one for one in ledger.session if one.kind == Kind.SESSION_OPENED.value), None)
    issued = next((one for one in ledger.instance if one.kind == Kind.LEASE_ISSUED.value), None)
    ran = _last(ledger.session, RUN)
    rows = [
        ("goal", _plain(subject.goal), opened),
        ("agent", f"{_plain(subject.agent)}, manifest `{subject.manifest_hash}`", issued),
        ("instance", f"`{subject.instance_id}`", issued),
        ("lease", f"`{subject.lease_id}`", issued),
        ("session", f"`{subject.session_id}`, opened {opened.issued_at if opened else '-'}", opened),
        ("command", _command(ran), ran),
    ]
    yield from _table(("what", "value", "receipt"), [(name, value, _id(fact)) for name, value, fact in rows])


def _starts(ledger: Ledger) -> Iterator[str]:
    yield from ("## Starts", "")
    rows = []
    for number, one in enumerate(starts_of(ledger), start=1):
        restart = one.restart
        waited = "-" if restart is None else f"{_count(restart, 'waited_ms')} ms"
        rows.append(
            (
                str(number), one.run.issued_at, _how(one.run), f"{one.run.result.get('duration_ms', '-')} ms",
                waited, _id(one.run), _id(restart),
            )
        )  # fmt: skip
    names = (
        "start",
        "end recorded",
        "ended with",
        "ran for",
        "pause before",
        "receipt",
        "receipt of the restart",
    )
    yield from _table(names, rows)


def _diagnoses(ledger: Ledger) -> Iterator[str]:
    found = [(number, one.diagnosis) for number, one in enumerate(starts_of(ledger), start=1)]
    known = [(number, fact) for number, fact in found if fact is not None]
    if not known:
        return
    yield from ("## Diagnosis", "")
    rows = [
        (str(number), _plain(fact.result.get("rule", "-")), _plain(fact.result.get("cause", "-")),
         _code(fact.result.get("error") or fact.result.get("line") or ""),
         _code(fact.result.get("place") or ""), _id(fact))
        for number, fact in known
    ]  # fmt: skip
    yield from _table(("start", "rule", "cause", "it said", "place", "receipt"), rows)
    last = known[-1][1]
    yield from (f"What helps: {_plain(last.result.get('advice', '-'))}", "")


def _excerpt(ledger: Ledger, log: str) -> Iterator[str]:
    collected = _last(ledger.session, READ_LOGS)
    if collected is None or not log:
        return
    shown = redact("\n".join(log.splitlines()[-EXCERPT_LINES:]), bytes_max=EXCERPT_BYTES)
    yield from ("## The end of the log", "")
    yield f"Digests of all that was collected are in {_id(collected)}. What looks like a secret is left out here."
    yield ""
    yield from _block(shown.text)


def _advice(ledger: Ledger) -> Iterator[str]:
    asked = [one for one in ledger.session if one.action == ASK_MODEL and one.outcome == "completed"]
    if not asked:
        return
    said = asked[-1]
    yield from ("## A model's advice", "")
    yield f"{_plain(said.arguments.get('model', '-'))} said this ({_id(said)}). It is advice; nothing was decided by it."
    yield ""
    yield from _block(str(said.result.get("advice", "")))


def _life(ledger: Ledger) -> Iterator[str]:
    rows = [
        (one.issued_at, one.kind, _plain(one.header.get("organism_state", "-")), _id(one))
        for one in ledger.instance
        if one.kind.startswith(("lease.", "state.", "intervention", "redispatched"))
    ]
    recovered = [one for one in ledger.session if one.action == WATCH]
    rows += [
        (one.issued_at, f"recovered, {_count(one, 'attempts')} restarts forgotten", "-", _id(one))
        for one in recovered
    ]
    if rows:
        yield from ("## Lease and life", "")
        yield from _table(("time", "event", "organism state", "receipt"), _bounded(sorted(rows)))


def _denials(ledger: Ledger) -> Iterator[str]:
    rows = [
        (one.issued_at, _plain(one.action), _plain(one.reason or "-"), _id(one))
        for one in (*ledger.session, *ledger.notices)
        if one.outcome == "denied"
    ]
    if rows:
        yield from ("## Denied", "")
        yield from _table(("time", "action", "reason", "receipt"), rows)


def _notices(ledger: Ledger) -> Iterator[str]:
    rows = [
        (one.issued_at, _plain(one.arguments.get("channel", "-")), one.outcome,
         _plain(one.result.get("detail") or one.error or one.reason or "-"), _id(one))
        for one in ledger.notices
        if one.action.startswith(NOTIFY_PREFIX)
    ]  # fmt: skip
    if rows:
        yield from ("## Notifications", "")
        yield from _table(("time", "channel", "outcome", "detail", "receipt"), rows)


def _timeline(ledger: Ledger) -> Iterator[str]:
    facts = sorted((*ledger.session, *ledger.notices), key=lambda one: one.seq)
    rows = [
        (str(one.seq), one.issued_at, _plain(one.action or one.kind), one.outcome or "-", _id(one))
        for one in facts
    ]
    yield from ("## Timeline", "")
    yield from _table(("seq", "time", "action", "outcome", "receipt"), _bounded(rows))


def _verification(subject: Subject, ledger: Ledger) -> Iterator[str]:
    newest = ledger.newest
    yield from ("## Check this", "")
    if newest is not None:
        yield f"The newest receipt above is `{newest.receipt_id}` (seq {newest.seq}), with the chain root"
        yield from ("", f"    {newest.chain_root}", "")
    sessions = [subject.session_id]
    sessions += sorted(
        {str(one.header.get("session_id")) for one in ledger.notices if one.header.get("session_id")}
    )
    yield "Whoever doubts a line exports its session and verifies it with nothing but the pinned root fingerprint:"
    yield from ("", "```sh")
    for number, session_id in enumerate(sessions, start=1):
        yield f"dragons packs export --session {session_id} --out evidence-{number}.zip"
        yield f"dragons verify evidence-{number}.zip --root FINGERPRINT"
    yield from ("```", "")


def _how(fact: Fact) -> str:
    result = fact.result
    if result.get("signal"):
        return f"signal {result['signal']}"
    if "exit_status" in result:
        return f"exit status {result['exit_status']}"
    return _plain(fact.error or fact.outcome)


def _command(ran: Fact | None) -> str:
    words = [] if ran is None else ran.arguments.get("command", [])
    return _code(" ".join(str(word) for word in words))


def _last(facts: Sequence[Fact], action: str) -> Fact | None:
    return next((one for one in reversed(facts) if one.action == action), None)


def _count(fact: Fact, name: str) -> int:
    value = fact.arguments.get(name, 0)
    return value if isinstance(value, int) else 0


def _id(fact: Fact | None) -> str:
    return "-" if fact is None else f"`{fact.receipt_id}`"


def _bounded(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    if len(rows) <= TIMELINE_MAX:
        return list(rows)
    left_out = ("…", f"{len(rows) - TIMELINE_MAX} earlier ones are in the pack")
    return [(*left_out, *("" for _ in rows[0][2:])), *rows[-TIMELINE_MAX:]]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'|'.join(' --- ' for _ in names)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _plain(value: object) -> str:
    """Text that stays text in Markdown, on one line."""
    shown = "".join(char if char.isprintable() else " " for char in str(value))
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", shown)


def _code(value: object) -> str:
    """Text as code in a cell: what would end the code or the cell is replaced."""
    shown = "".join(char if char.isprintable() else " " for char in redact(str(value)).text)
    shown = shown.replace("`", "'").replace("|", "¦").strip()
    return f"`{shown}`" if shown else "-"


def _block(text: str) -> Iterator[str]:
    """A fenced block that nothing inside of it can end."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    clean = (
        "".join(char if char.isprintable() or char == "\t" else " " for char in line)
        for line in text.splitlines()
    )
    yield from (f"{fence}text", *clean, fence, "")
