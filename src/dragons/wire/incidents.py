"""Incidents on the wire: the list, and the reconstruction of one from the ledger."""

from __future__ import annotations

from typing import Any

from dragons.wire.base import Response


class IncidentView(Response):
    """An incident at a glance; `closed_at` and `resolution` are empty while it is open.

    `state` and `reason` are the worst that its instance came to, `opened_seq` and `closed_seq` (-1 while
    it is open) the places of its first and last receipt.
    """

    incident_id: str
    agent: str
    dispatch_id: str
    instance_id: str
    state: str
    reason: str
    opened_at: str
    opened_seq: int
    closed_at: str
    closed_seq: int
    resolution: str


class Incidents(Response):
    """The newest first."""

    incidents: list[IncidentView]


class IncidentLine(Response):
    """One receipt, retold: `phase` is identity, before, incident or after; `facts` are its statement's.

    `signed_by` is the key that signed the statement; `payload_hash` commits to a payload that stays with
    the tenant, and is empty where there is none.
    """

    seq: int
    receipt_id: str
    at: str
    kind: str
    phase: str
    what: str
    signed_by: str
    instance_id: str
    facts: dict[str, Any]
    payload_hash: str


class IncidentDetail(Response):
    """What happened, in the ledger's order, from receipts alone.

    `limits` names what there was more of than is shown; `unrelated` counts receipts between the lines that
    are about other instances of the agent. A pack of the window [since, until) proves the lines.
    """

    view: IncidentView
    lines: list[IncidentLine]
    limits: list[str]
    unrelated: int
    since: str
    until: str
