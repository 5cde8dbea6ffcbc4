"""Rows that give or end authority, compared with the receipts that they must follow from.

Keys, revocations, and that every instance and session began on the record. Whoever can write to the
database could add an operator's key or take a revocation away; the ledger says otherwise. Decides
nothing and repairs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

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
from dragons.evidence.receipt import Header
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

_TENANT, _KEY, _KEY_REVOCATION, _REVOCATION, _WITHDRAWAL, _REGISTRATION = (
    payload_type(kind) for kind in (TENANT, KEY, KEY_REVOCATION, REVOCATION, WITHDRAWAL, REGISTRATION)
)
_GIVES_OR_ENDS = {_TENANT, _KEY, _KEY_REVOCATION, _REVOCATION, _WITHDRAWAL, _REGISTRATION}


@dataclass(slots=True)
class Derived:
    """What the receipts noted so far say should be in the store; `versions` are entries with signer and time."""

    keys: dict[str, KeyRow] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    instances: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    versions: dict[str, tuple[str, int]] = field(default_factory=dict)

    def note(self, row: ReceiptRow, header: Header) -> None:
        """Take in a receipt whose header was decoded; a statement that can't be is somebody else's finding."""
        if header.kind is Kind.LEASE_ISSUED and isinstance(header.instance_id, str):
            self.instances.add(header.instance_id)
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
        else:
            end = decode(KeyRevocation, row.statement)
            self.revoked[entry(Target.OPERATOR, end.key_id)] = row.seq
            for name, (signer, issued_ms) in self.versions.items():
                if signer == end.key_id and issued_ms >= parse_time(end.compromised_since):
                    self.revoked.setdefault(name, row.seq)
            if end.key_id in self.keys:
                self.keys[end.key_id] = replace(
                    self.keys[end.key_id],
                    revoked_ms=parse_time(end.revoked_at),
                    compromised_ms=parse_time(end.compromised_since),
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
