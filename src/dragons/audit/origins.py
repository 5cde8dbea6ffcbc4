"""Who signed what is in force, and when it was recorded: what the end of an operator's key takes with it.

What a key signed since it was compromised doesn't count. What takes authority away is the exception:
nothing is ever un-revoked. `dragons.control.compromise` is the same rule over the control plane's rows.
"""

from __future__ import annotations

from typing import NamedTuple

from dragons.audit.mandate import Mandate
from dragons.authority.catalogue import Catalogue
from dragons.authority.revocation import Target
from dragons.core.canonical import Document
from dragons.evidence.receipt import Intervention
from dragons.identity.records import Activation, Registration, version_name
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.organism import Act


class Origin(NamedTuple):
    """The operator's key that signed a statement, and the time of its receipt."""

    key_id: str
    at: str


class Origins:
    """Fed with every operator's statement that took effect."""

    def __init__(self) -> None:
        self._catalogue = Origin("", "")
        self._active: dict[str, Origin] = {}
        self._versions: dict[str, Origin] = {}
        self._dispatches: dict[str, Origin] = {}
        self._released: dict[str, Origin] = {}
        self._let_go: dict[str, Origin] = {}

    def note(self, body: Document, key_id: str, at: str) -> None:
        """`body`, signed by `key_id`, took effect at `at`."""
        origin = Origin(key_id, at)
        if isinstance(body, Catalogue):
            self._catalogue = origin
        elif isinstance(body, Activation):
            self._active[body.agent] = origin
        elif isinstance(body, Registration):
            self._versions[version_name(body.manifest.agent, body.version)] = origin
        elif isinstance(body, Dispatch):
            self._dispatches[body.dispatch_id] = origin
        elif isinstance(body, Intervention) and body.action == Act.RELEASE:
            if isinstance(body.agent, str):
                self._released[body.agent] = origin
            elif isinstance(body.instance_id, str):
                self._let_go[body.instance_id] = origin

    def end(self, mandate: Mandate, key_id: str, since: str, at: str) -> None:
        """A key ended at `at` and is not trusted since `since`: with it end its leases and what rests on it."""

        def is_spoiled(origin: Origin) -> bool:
            return origin.key_id == key_id and origin.at >= since

        mandate.revoke(Target.OPERATOR, key_id, at)
        if is_spoiled(self._catalogue):
            mandate.catalogue, mandate.high_risk = {}, frozenset()
        for agent, origin in self._active.items():
            if is_spoiled(origin):
                mandate.active.pop(agent, None)
        for name, origin in self._versions.items():
            if is_spoiled(origin):
                mandate.revoke(Target.VERSION, name, at)
        for agent, origin in self._released.items():
            if is_spoiled(origin):
                mandate.organisms.isolate(agent)
        known = mandate.organisms.known
        ordered = [name for name, origin in self._dispatches.items() if is_spoiled(origin)]
        let_go = [known[name].dispatch_id for name, origin in self._let_go.items() if is_spoiled(origin)]
        for dispatch_id in {*ordered, *let_go}:
            mandate.annul_dispatch(dispatch_id, at)
