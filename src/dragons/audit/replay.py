"""Replay: the story that a pack tells, goal → action → evidence → outcome, for a person or a machine.

A stream of plain JSON values, one for each step, in ledger order; `tell` turns them into lines of
text. Says what the receipts say and verifies nothing but that a payload opens its commitment:
verify the pack first (`dragons.audit.verify`). What is not in the pack is called withheld, never
guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from dragons.audit.kinds import STATEMENTS
from dragons.audit.pack import PACK, Pack, PackReader, open_pack, parse_line
from dragons.authority.dock import Dock
from dragons.authority.lease import Lease
from dragons.core.canonical import Document, decode, parse_canonical
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Kind
from dragons.evidence.payload import Payload, opens
from dragons.evidence.receipt import (
    RECEIPT,
    Abandonment,
    Claim,
    Closing,
    Decision,
    Denial,
    Header,
    Intervention,
    Record,
    Session,
    Transition,
)
from dragons.identity.records import Key

Event = dict[str, Any]


def replay_file(path: Path) -> Iterator[Event]:
    """The events of the pack at `path`; InvalidInputError when it is no pack or a line is malformed."""
    with open_pack(path) as reader:
        yield from replay(reader)


def replay(reader: PackReader) -> Iterator[Event]:
    """The pack's own event, then one for each selected receipt, in ledger order."""
    pack = reader.head.statement.body(PACK, Pack)
    yield {
        "event": "pack",
        "pack_id": pack.pack_id,
        "tenant_id": pack.tenant_id,
        "selection": msgspec.to_builtins(pack.selection),
        "selected": pack.selected,
        "root": pack.root,
        "exported_at": pack.exported_at,
    }
    story = _Story(reader.payload_lines())
    for data in reader.lines():
        line = parse_line(data)
        if line.record is not msgspec.UNSET:
            event = story.tell(line.record, selected=line.selected is True)
            if event is not None:
                yield event


class _Story:
    """What has to be remembered to tell the next receipt: leases, docks and operators, never work."""

    def __init__(self, payloads: Iterator[bytes]) -> None:
        self._payloads = payloads
        self._next = self._advance()
        self._leases: dict[str, Lease] = {}
        self._docks: dict[str, Dock] = {}
        self._subjects: dict[str, str] = {}

    def tell(self, record: Record, *, selected: bool) -> Event | None:
        header = record.header.body(RECEIPT, Header)
        kind = next((k for k in STATEMENTS[header.kind] if k.name == record.statement.kind), None)
        if kind is None:
            raise InvalidInputError(
                "statement_kind", f"Receipt {header.seq} carries {record.statement.payloadType!r}."
            )
        body = decode(kind.document, record.statement.payload)
        if isinstance(body, Lease):
            self._leases[body.lease_id] = body
        elif isinstance(body, Dock):
            self._docks[body.dock_id] = body
        elif isinstance(body, Key):
            self._subjects[body.key_id] = body.subject
        if not selected:
            return None
        payload = self._payload(header)
        event = self._event(header, body, payload)
        if isinstance(header.payload_hash, str):
            event["payload"] = {"payload_hash": header.payload_hash, "withheld": payload is None}
        event["receipt"] = {
            "receipt_id": header.receipt_id,
            "seq": header.seq,
            "chain_root": header.chain_root(),
            "issued_at": header.issued_at,
        }
        return event

    def _event(self, header: Header, body: Document, payload: Any) -> Event:  # noqa: ANN401 - any JSON
        if isinstance(body, Session):
            return self._session(header, body, payload)
        if isinstance(body, Claim):
            return _action(header, body, payload)
        if isinstance(body, Closing):
            summary = payload.get("summary") if isinstance(payload, dict) else None
            return _plain("session_closed", session_id=body.session_id, outcome=body.outcome, summary=summary)
        if isinstance(body, Abandonment):
            ended = "action_abandoned" if header.kind is Kind.WORK else "session_abandoned"
            return _plain(ended, session_id=body.session_id, decision_id=body.decision_id, why=body.why)
        if isinstance(body, Decision):
            return _plain(
                "authorized", session_id=body.session_id, action=body.action, decision_id=body.decision_id
            )
        if isinstance(body, Denial):
            return _plain(
                "denied",
                agent=header.agent,
                action=body.action,
                reason=body.reason,
                detail=body.detail,
                count=body.count,
            )
        if isinstance(body, Transition):
            return _plain(
                "state", agent=header.agent, instance_id=body.instance_id, before=body.before, after=body.after,
                reason=body.reason,
            )  # fmt: skip
        if isinstance(body, Intervention):
            return _plain(
                "intervention",
                agent=header.agent,
                instance_id=body.instance_id,
                action=body.action,
                reason=body.reason,
            )
        return _plain(
            "governance", kind=header.kind, agent=header.agent, lease_id=header.lease_ref,
            statement=msgspec.to_builtins(body),
        )  # fmt: skip

    def _session(self, header: Header, body: Session, payload: Any) -> Event:  # noqa: ANN401 - any JSON
        return {
            **_plain(
                "session",
                session_id=body.session_id,
                scope=body.scope,
                parent_session_id=body.parent_session_id,
            ),
            "goal": payload.get("goal") if isinstance(payload, dict) else None,
            "identity": _plain(
                None, agent=header.agent, manifest_hash=header.manifest_hash, instance_id=body.instance_id
            ),
            "authority": self._authority(body.lease_id),
        }

    def _authority(self, lease_id: str) -> Event:
        lease = self._leases.get(lease_id)
        if lease is None:
            return {"lease_id": lease_id}
        dock = self._docks.get(lease.dock_id)
        return _plain(
            None,
            lease_id=lease_id,
            dock_id=lease.dock_id,
            operator=lease.authorized_by,
            operator_subject=self._subjects.get(lease.authorized_by, ""),
            scope=lease.scope,
            ceiling=None if dock is None else dock.scope,
            not_before=lease.not_before,
            expires_at=lease.expires_at,
            epoch=lease.epoch,
            parent_lease_id=lease.parent_lease_id,
        )

    def _payload(self, header: Header) -> Any:  # noqa: ANN401 - any JSON
        found = self._next
        if found is None or found.payload_hash != header.payload_hash:
            return None
        self._next = self._advance()
        if not opens(found, found.payload_hash):
            raise InvalidInputError(
                "payload_altered", f"The payload of receipt {header.seq} is not what was committed to."
            )
        return parse_canonical(found.body)

    def _advance(self) -> Payload | None:
        line = next(self._payloads, None)
        return None if line is None else decode(Payload, line)


def _action(header: Header, body: Claim, payload: Any) -> Event:  # noqa: ANN401 - any JSON
    said: Event = payload if isinstance(payload, dict) else {}
    action, evidence = said.get("action"), said.get("evidence")
    action = action if isinstance(action, dict) else {}
    named = {
        one.get("sha256"): one
        for one in (evidence if isinstance(evidence, list) else [])
        if isinstance(one, dict)
    }
    return {
        **_plain("action", session_id=body.session_id, action=body.action, goal=said.get("goal")),
        **_plain(None, resource=action.get("resource"), arguments=action.get("arguments")),
        **_plain(
            None, decision_id=body.decision_id, corrects=body.corrects, late=header.late, count=body.count
        ),
        "evidence": [{"sha256": digest, **_facts(named.get(digest))} for digest in body.evidence],
        "outcome": _plain(None, status=body.outcome, reason=body.reason, told=said.get("outcome")),
        "started_at": body.started_at,
        "ended_at": body.ended_at,
    }


def _facts(said: Any) -> Event:  # noqa: ANN401 - any JSON
    return {} if said is None else _plain(None, name=said.get("name"), bytes=said.get("bytes"))


def _plain(event: str | None, **values: Any) -> Event:  # noqa: ANN401 - any JSON
    """The values that are there, as plain JSON."""
    named = {"event": event} if event is not None else {}
    present = {
        name: value for name, value in values.items() if value is not None and value is not msgspec.UNSET
    }
    plain: Event = msgspec.to_builtins(present)
    return {**named, **plain}


# --- for a person ----------------------------------------------------------------------------------


def tell(events: Iterable[Event]) -> Iterator[str]:
    """The events as lines of text, without colour and without line breaks of others."""
    for event in events:
        for line in _LINES.get(event["event"], _governance)(event):
            yield _one_line(line)


def _pack(event: Event) -> Iterator[str]:
    what = ", ".join(f"{name} {value}" for name, value in event["selection"].items())
    yield f"pack {event['pack_id']} of {event['tenant_id']}: {what}"
    yield f"  {event['selected']} receipts, exported {event['exported_at']}, log root {event['root']}"


def _session_lines(event: Event) -> Iterator[str]:
    who, may = event["identity"], event["authority"]
    yield ""
    yield f"session {event['session_id']} opened {event['receipt']['issued_at']}"
    yield f"  goal       {event['goal'] or _withheld(event)}"
    yield f"  identity   {who.get('agent', '')} manifest {who.get('manifest_hash', '')} instance {who['instance_id']}"
    if "dock_id" in may:
        operator = may["operator_subject"] or may["operator"]
        yield f"  authority  lease {may['lease_id']} under dock {may['dock_id']} by {operator}"
        yield f"             {', '.join(may['scope'])} from {may['not_before']} to {may['expires_at']}"
    else:
        yield f"  authority  lease {may['lease_id']}, which the pack does not show"
    yield _receipt_line(event)


def _action_lines(event: Event) -> Iterator[str]:
    late = ", reported late" if event.get("late") else ""
    yield ""
    yield f"  action     {event['action']} {event.get('resource', '')}".rstrip() + late
    if "arguments" in event:
        yield f"             with {_json(event['arguments'])}"
    elif event["payload"]["withheld"]:
        yield f"             {_withheld(event)}"
    if "decision_id" in event:
        yield f"  decision   {event['decision_id']}"
    if "corrects" in event:
        yield f"  corrects   {event['corrects']}"
    for one in event["evidence"]:
        size = f", {one['bytes']} bytes" if "bytes" in one else ""
        name = f"{one['name']} " if "name" in one else ""
        yield f"  evidence   {name}sha256:{one['sha256']}{size}"
    outcome = event["outcome"]
    told = f" {_json(outcome['told'])}" if "told" in outcome else ""
    reason = f" ({outcome['reason']})" if "reason" in outcome else ""
    yield f"  outcome    {outcome['status']}{reason}{told}"
    yield _receipt_line(event)


def _closed_lines(event: Event) -> Iterator[str]:
    yield ""
    summary = f" {_json(event['summary'])}" if "summary" in event else ""
    yield f"session {event['session_id']} closed: {event['outcome']}{summary}"
    yield _receipt_line(event)


def _authorized(event: Event) -> Iterator[str]:
    yield ""
    yield f"  authorized {event['action']} by decision {event['decision_id']}"
    yield _receipt_line(event)


def _denied(event: Event) -> Iterator[str]:
    yield ""
    yield f"  denied     {event['action']} {event['count']} times: {event['reason']}, {event['detail']}"
    yield _receipt_line(event)


def _state(event: Event) -> Iterator[str]:
    yield ""
    yield f"  state      {event['before']} to {event['after']} ({event['reason']}), instance {event['instance_id']}"
    yield _receipt_line(event)


def _intervention(event: Event) -> Iterator[str]:
    yield ""
    whom = (
        f"instance {event['instance_id']}" if "instance_id" in event else f"all of {event.get('agent', '')}"
    )
    yield f"  a person   {event['action']} ({event['reason']}), {whom}"
    yield _receipt_line(event)


def _abandoned(event: Event) -> Iterator[str]:
    what = (
        f"action of decision {event['decision_id']}"
        if "decision_id" in event
        else f"session {event['session_id']}"
    )
    yield ""
    yield f"  abandoned  {what} ({event['why']})"
    yield _receipt_line(event)


def _governance(event: Event) -> Iterator[str]:
    yield ""
    about = " ".join(str(event[name]) for name in ("agent", "lease_id") if name in event)
    reason = event["statement"].get("reason")
    yield f"  {event['kind']} {about}".rstrip() + (f" ({reason})" if reason else "")
    yield _receipt_line(event)


_LINES = {
    "pack": _pack,
    "session": _session_lines,
    "action": _action_lines,
    "session_closed": _closed_lines,
    "session_abandoned": _abandoned,
    "action_abandoned": _abandoned,
    "authorized": _authorized,
    "denied": _denied,
    "state": _state,
    "intervention": _intervention,
}


def _receipt_line(event: Event) -> str:
    one = event["receipt"]
    return (
        f"  receipt    {one['receipt_id']} seq {one['seq']} chain_root {one['chain_root']} {one['issued_at']}"
    )


def _withheld(event: Event) -> str:
    return f"withheld (payload_hash {event['payload']['payload_hash']})"


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _one_line(text: str) -> str:
    # What an agent wrote may hold line breaks and terminal control; a reader must not be fooled by it.
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
