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
    dispatch with the next epoch; `epoch` other than 0 is the one that an order named. `node` is the
    launcher's name where it is a node.
    """

    instance_id: str
    instance_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    manifest: Manifest
    scope: _Scope = []
    delegate_scope: _Scope = []
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1)] = 900
    dispatch_id: str = ""
    epoch: Annotated[int, msgspec.Meta(ge=0)] = 0
    node: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9.-]{0,62})?$(?!\n)")] = ""


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
    """Ask the control plane whether an action may begin now, in an open session.

    `step_key` names a step that happens once. Then `attempt` is the same when a question is asked again
    and new for every other, and `resolves` names the decision that began a step in doubt: whoever is
    allowed says with the claim how the step ended.
    """

    session_id: str
    action: Annotated[str, msgspec.Meta(max_length=128)]
    step_key: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""
    attempt: Annotated[str, msgspec.Meta(max_length=64)] = ""
    resolves: Annotated[str, msgspec.Meta(max_length=36)] = ""


class StepView(Response):
    """A step that was begun earlier, under `decision_id`.

    With `receipt_id` it is completed, and `payload_hash` commits to what came of it; else it is in doubt,
    and `running` says that the caller itself began it and has not reported it.
    """

    instance_id: str
    epoch: int
    begun_at: str
    decision_id: str
    completed_at: str = ""
    receipt_id: str = ""
    payload_hash: str = ""
    running: bool = False


class Authorized(Response):
    """`decision_id` goes into the claim that reports the action's outcome; `step` says what stands in its way."""

    allowed: bool
    reason: str = ""
    detail: str = ""
    fix: str = ""
    decision_id: str = ""
    step: StepView | None = None
