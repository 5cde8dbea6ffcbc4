"""Rows that give or end authority, compared with the receipts that they must follow from.

Keys, revocations, and that every instance and session began on the record. Whoever can write to the
database could add an operator's key or take a revocation away; the ledger says otherwise. Decides
nothing and repairs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from dragons.authority.lease import Lease
from dragons.authority.revocation import REVOCATION, WITHDRAWAL, Revocation, Target, Withdrawal, entry
from dragons.control.genesis import first_ledger_key
from dragons.control.keys import key_row
from dragons.control.ports import Reader
from dragons.control.records import record_of
from dragons.control.rows import KeyRow, ReceiptRow
from dragons.core.canonical import decode
from dragons.core.clock import parse_time
from dragons.core.errors import DragonsError
from dragons.core.statement import payload_type
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import DISPATCH_END, INTERVENTION, DispatchEnd, Header, Intervention
from dragons.identity.records import (
    KEY,
    KEY_REVOCATION,
    REGISTRATION,
    TENANT,
    Key,
    KeyRevocation,
    Registration,
    Tenant,
    version_name,
)
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.organism import Act

_TENANT, _KEY, _KEY_REVOCATION, _REVOCATION, _WITHDRAWAL, _REGISTRATION = (
    payload_type(kind) for kind in (TENANT, KEY, KEY_REVOCATION, REVOCATION, WITHDRAWAL, REGISTRATION)
)
_ORDER, _ORDER_END, _INTERVENTION = (
    payload_type(kind) for kind in (DISPATCH_ORDER, DISPATCH_END, INTERVENTION)
)
_GIVES_OR_ENDS = {
    _TENANT, _KEY, _KEY_REVOCATION, _REVOCATION, _WITHDRAWAL, _REGISTRATION, _ORDER, _ORDER_END, _INTERVENTION,
}  # fmt: skip


@dataclass(slots=True)
class Derived:
    """What the receipts noted so far say should be in the store.

    `versions` are entries with signer and time. `orders` says of each dispatch that goes on who let it, and
    when, `leases` which leases it has had, `dispatch_of` where an instance works.
    """

    keys: dict[str, KeyRow] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    instances: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    versions: dict[str, tuple[str, int]] = field(default_factory=dict)
    orders: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    leases: dict[str, list[str]] = field(default_factory=dict)
    dispatch_of: dict[str, str] = field(default_factory=dict)

    def note(self, row: ReceiptRow, header: Header) -> None:
        """Take in a receipt whose header was decoded; a statement that can't be is somebody else's finding."""
        if header.kind is Kind.LEASE_ISSUED and isinstance(header.instance_id, str):
            self.instances.add(header.instance_id)
            self._note_lease(row, header.instance_id)
        elif header.kind is Kind.SESSION_OPENED and isinstance(header.session_id, str):
            self.sessions.add(header.session_id)
        elif row.statement_type in _GIVES_OR_ENDS:
            try:
                self._note_statement(row)
            except (DragonsError, msgspec.DecodeError):
                return

    def _note_statement(self, row: ReceiptRow) -> None:
        if row.statement_type == _TENANT:
            first = first_ledger_key(decode(Tenant, row.statement))
            self.keys[first.key_id] = first
        elif row.statement_type == _KEY:
            key = decode(Key, row.statement)
            self.keys[key.key_id] = key_row(key, row.issued_ms)
        elif row.statement_type == _REVOCATION:
            revocation = decode(Revocation, row.statement)
            self.revoked[entry(revocation.kind, revocation.target)] = row.seq
        elif row.statement_type == _WITHDRAWAL:
            self.revoked[entry(Target.LEASE, decode(Withdrawal, row.statement).lease_id)] = row.seq
        elif row.statement_type == _REGISTRATION:
            made = decode(Registration, row.statement)
            name = entry(Target.VERSION, version_name(made.manifest.agent, made.version))
            self.versions[name] = (record_of(row).statement.signatures[0].keyid, row.issued_ms)
        elif row.statement_type == _KEY_REVOCATION:
            self._note_end(row.seq, decode(KeyRevocation, row.statement))
        else:
            self._note_dispatch(row)

    def _note_lease(self, row: ReceiptRow, instance_id: str) -> None:
        try:
            lease = decode(Lease, row.statement)
        except (DragonsError, msgspec.DecodeError):
            return
        if lease.dispatch_id in self.orders:
            self.leases.setdefault(lease.dispatch_id, []).append(lease.lease_id)
            self.dispatch_of[instance_id] = lease.dispatch_id

    def _note_dispatch(self, row: ReceiptRow) -> None:
        """Who lets a dispatch go on: whoever ordered it or released an instance of it."""
        origin = (record_of(row).statement.signatures[0].keyid, row.issued_ms)
        if row.statement_type == _ORDER:
            self.orders[decode(Dispatch, row.statement).dispatch_id] = [origin]
        elif row.statement_type == _ORDER_END:
            self.orders.pop(decode(DispatchEnd, row.statement).dispatch_id, None)
        else:
            body = decode(Intervention, row.statement)
            dispatch_id = self.dispatch_of.get(str(body.instance_id), "")
            if body.action == Act.RELEASE and dispatch_id in self.orders:
                self.orders[dispatch_id].append(origin)

    def _note_end(self, seq: int, end: KeyRevocation) -> None:
        """The end of a key, and of what rests on it: `dragons.control.compromise` over receipts."""
        since_ms = parse_time(end.compromised_since)

        def is_spoiled(origin: tuple[str, int]) -> bool:
            return origin[0] == end.key_id and origin[1] >= since_ms

        self.revoked[entry(Target.OPERATOR, end.key_id)] = seq
        ended = [name for name, origin in self.versions.items() if is_spoiled(origin)]
        for dispatch_id, origins in self.orders.items():
            if any(map(is_spoiled, origins)):
                ended += [entry(Target.LEASE, one) for one in self.leases.get(dispatch_id, ())]
        for name in ended:
            self.revoked.setdefault(name, seq)
        if end.key_id in self.keys:
            self.keys[end.key_id] = replace(
                self.keys[end.key_id], revoked_ms=parse_time(end.revoked_at), compromised_ms=since_ms
            )

    def differences(self, reader: Reader, tenant_id: str) -> Iterator[str]:
        """What the store says otherwise, one line each."""
        stored = {row.key_id: row for row in reader.keys(tenant_id)}
        for key_id in sorted(stored.keys() | self.keys.keys()):
            if key_id not in self.keys:
                yield f"the key {key_id} is in the store, but no receipt registered it"
            elif key_id not in stored:
                yield f"the key {key_id} was registered, but the store has lost it"
            elif stored[key_id] != self.keys[key_id]:
                yield f"the key {key_id} is not as its receipts say"
        known = {row.entry for row in reader.revocations(tenant_id)}
        for name, seq in self.revoked.items():
            if name not in known:
                yield f"receipt {seq} revokes {name}, but the store has lost that"
        for instance in reader.instances(tenant_id):
            if instance.instance_id not in self.instances:
                yield f"the instance {instance.instance_id} is in the store, but no receipt leased to it"
        for session in reader.sessions(tenant_id):
            if session.session_id not in self.sessions:
                yield f"the session {session.session_id} is in the store, but no receipt opened it"
