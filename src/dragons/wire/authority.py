"""Catalogue, docks, leases, revocations and decisions on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.authority.catalogue import Entry
from dragons.core.statement import Envelope
from dragons.identity.manifest import Manifest
from dragons.wire.base import Request, Response

_Scope = Annotated[list[str], msgspec.Meta(max_length=256)]


class CatalogueView(Response):
    """Version 0 with no capabilities is the catalogue of a new tenant."""

    version: int
    capabilities: dict[str, Entry]
    published_at: str = ""
    published_by: str = ""


class DockView(Response):
    dock_id: str
    agent: str
    scope: list[str]
    delegate_scope: list[str]
    ttl_seconds_max: int
    instances_max: int
    instances_live: int
    operator: str
    created_at: str
    status: str
    not_after: str = ""


class Docks(Response):
    docks: list[DockView]


class Launch(Request):
    """A measured agent asks for a lease. The request is signed by the new instance's key.

    `scope` empty means all that the dock and the manifest allow. `dispatch_id` continues an earlier
    dispatch with the next epoch. `version` 0 means the active one.
    """

    instance_id: str
    instance_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    manifest: Manifest
    scope: _Scope = []
    delegate_scope: _Scope = []
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1)] = 900
    dispatch_id: str = ""


class Delegate(Request):
    """A child lease under the caller's. `manifest` is the child's measured one."""

    delegation: Envelope
    manifest: Manifest


class Granted(Response):
    """A lease with what its holder needs: token, catalogue risks and the present revocations.

    `interval_seconds` is how often to send a heartbeat. `now` is the control plane's time. `above` are
    the entries of the revocation path that come from the leases above a delegated one.
    """

    lease: Envelope
    token: str
    dock: Envelope
    issuer_key: bytes
    issuer_key_id: str
    risks: dict[str, str]
    revocations: Envelope
    interval_seconds: int
    now: str
    above: list[str] = []


class LeaseView(Response):
    lease_id: str
    agent: str
    version: int
    instance_id: str
    dock_id: str
    authorized_by: str
    scope: list[str]
    delegate_scope: list[str]
    epoch: int
    serial: int
    depth: int
    issued_at: str
    expires_at: str
    left_seconds: int
    status: str
    parent_lease_id: str = ""


class Leases(Response):
    leases: list[LeaseView]


class LeaseDetail(Response):
    view: LeaseView
    statement: Envelope


class Authorize(Request):
    """Ask the control plane whether an action may begin now, in an open session."""

    session_id: str
    action: Annotated[str, msgspec.Meta(max_length=128)]


class Authorized(Response):
    """`decision_id` goes into the claim that reports the action's outcome."""

    allowed: bool
    reason: str = ""
    detail: str = ""
    fix: str = ""
    decision_id: str = ""
