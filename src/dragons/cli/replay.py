"""`dragons packs replay`: what happened, told from the pack: goal → action → evidence → outcome.

A story is only told of a pack that was judged first, and the verdict comes with it. A payload is
shown only when it opens the hash that its receipt commits to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.cli.output import console, safe, show
from dragons.cli.values import moment, short
from dragons.cli.verify import PackArgument, RootOption, WorkersOption, judge, report_view
from dragons.core.vocabulary import Kind
from dragons.evidence.payload import opens

_TEXT_MAX = 160
_ACTION_WIDTH = 18


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One selected receipt. `shown` is False where its payload is withheld, erased or wrong."""

    index: int
    seq: int
    kind: str
    issued_at: str
    receipt_id: str
    agent: str = ""
    session_id: str = ""
    goal: str = ""
    action: str = ""
    resource: str = ""
    outcome: str = ""
    reason: str = ""
    evidence: list[dict[str, str]] = []
    scope: list[str] = []
    result: Any = None
    shown: bool = True


def replay(
    cli: Cli,
    *,
    pack: PackArgument,
    root: RootOption = None,
    workers: WorkersOption = None,
) -> int:
    """Verify a pack offline, then tell what happened: goal → action → evidence → outcome."""
    report = judge(cli, pack, root, witness=[], witnesses=0, require_payloads=False, workers=workers)
    if cli.printer.as_json:
        cli.printer.data({"report": report.to_json(), "steps": list(replay_steps(pack))}, str)
    else:
        tell_replay(pack)
        show(report_view(report))
    return Exit.OK if report.valid else Exit.NO


def replay_steps(pack: Path) -> Iterator[Step]:
    """The selected receipts of a pack, in order, with what their payloads say."""
    from dragons.audit.pack import open_pack, parse_line

    with open_pack(pack) as reader:
        payloads = reader.payloads()
        waiting = next(payloads, None)
        index = -1
        for data in reader.lines():
            line = parse_line(data)
            if isinstance(line.record, msgspec.UnsetType):
                continue
            index += 1
            if line.selected is not True:
                continue
            header = _header(line.record)
            content = None
            committed = header.get("payload_hash")
            if committed is not None and waiting is not None and waiting.payload_hash == committed:
                content = _content(waiting, committed)
                waiting = next(payloads, None)
            yield _step(index, header, _statement(line.record), content)


def tell_replay(pack: Path) -> None:
    """Print the story on standard output."""
    target = console()
    for step in replay_steps(pack):
        for text in _lines(step):
            target.print(text, markup=False, highlight=False, soft_wrap=True)
    target.print()


def _step(
    index: int, header: dict[str, Any], statement: dict[str, Any], content: dict[str, Any] | None
) -> Step:
    told = content or {}
    action = told.get("action", {}) if isinstance(told.get("action"), dict) else {}
    outcome = told.get("outcome") if isinstance(told.get("outcome"), dict) else told
    evidence = told.get("evidence") or [{"sha256": digest} for digest in header.get("evidence", [])]
    return Step(
        index=index,
        seq=header["seq"],
        kind=header["kind"],
        issued_at=header["issued_at"],
        receipt_id=header["receipt_id"],
        agent=header.get("agent", ""),
        session_id=header.get("session_id", ""),
        goal=str(told.get("goal", "")),
        action=header.get("action") or statement.get("action", ""),
        resource=str(action.get("resource", "")),
        outcome=header.get("outcome", ""),
        reason=_reason(header["kind"], statement),
        evidence=evidence,
        scope=statement.get("scope", []),
        result=(outcome or {}).get("result"),
        shown=content is not None or "payload_hash" not in header,
    )


def _reason(kind: str, statement: dict[str, Any]) -> str:
    said = str(statement.get("reason") or statement.get("why") or "")
    if kind == Kind.ACTION_AUTHORIZED:
        return "authorized by the control plane"
    if kind == Kind.STATE_CHANGED:
        return f"{statement.get('before', '')} → {statement.get('after', '')}: {said}"
    return said


def _lines(step: Step) -> Iterator[str]:
    where = f"{step.seq:>6}  {moment(step.issued_at)[11:]}"
    if step.kind == Kind.SESSION_OPENED:
        goal = step.goal or "(the payload is not in the pack)"
        yield f"goal     {safe(goal)}"
        yield f"         {safe(step.agent)} · {step.session_id}"
        yield f"         scope {safe(' · '.join(step.scope))}"
        return
    if step.kind == Kind.SESSION_CLOSED:
        yield f"outcome  {step.outcome}{f' ({safe(step.reason)})' if step.reason else ''} · seq {step.seq}"
        if step.result is not None:
            yield f"         {_text(step.result)}"
        return
    name = step.action or step.kind
    ending = " · ".join(word for word in (step.outcome, safe(step.reason)) if word)
    yield f"{where}  {safe(name):<{_ACTION_WIDTH}} {safe(step.resource)}{'  ' if step.resource else ''}{ending}"
    for one in step.evidence:
        yield f"{'':>19}evidence {safe(one.get('name', ''))} {short(one.get('sha256', ''))}".rstrip()
    if step.result is not None:
        yield f"{'':>19}result {_text(step.result)}"
    if not step.shown:
        yield f"{'':>19}(the payload is not in the pack; its hash is)"


def _text(value: object) -> str:
    text = safe(msgspec.json.encode(value).decode())
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"


def _header(record: Any) -> dict[str, Any]:  # noqa: ANN401 - a Record; its module loads with the pack's
    found: dict[str, Any] = msgspec.json.decode(record.header.payload)
    return found


def _statement(record: Any) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = msgspec.json.decode(record.statement.payload)
    return found


def _content(payload: Any, committed: str) -> dict[str, Any] | None:  # noqa: ANN401 - a Payload

    if not opens(payload, committed):
        return None
    found = msgspec.json.decode(payload.body)
    return found if isinstance(found, dict) else None
