"""Versions: a distinct manifest is registered once; which one is active, when and by whose key, is history."""

from __future__ import annotations

from dragons.control.caller import Caller
from dragons.control.compromise import is_spoiled
from dragons.control.ports import About, Appended, Reader, Transaction
from dragons.control.rows import ActivationRow, VersionRow
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.canonical import encode
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind
from dragons.identity.manifest import check_manifest
from dragons.identity.records import ACTIVATION, REGISTRATION, Activation, Registration, version_name


def register_manifest(tx: Transaction, caller: Caller, statement: Envelope) -> tuple[VersionRow, bool]:
    """Record a manifest as the agent's next version; the same manifest again is that version again.

    Returns the version and whether it is new. ConflictError when the number is not the next.
    """
    body, key = take_operator_statement(tx, caller, statement, REGISTRATION, Registration)
    check_manifest(body.manifest)
    check_date("registered_at", parse_time(body.registered_at), tx.now_ms)
    if body.manifest.hash() != body.manifest_hash:
        raise InvalidInputError("manifest_hash_wrong", "manifest_hash is not the hash of the manifest.")
    known = tx.version_by_hash(caller.tenant_id, body.manifest_hash)
    if known is not None:
        return known, False
    agent = body.manifest.agent
    following = next_version(tx, caller.tenant_id, agent)
    if body.version != following:
        raise ConflictError(
            "version_conflict", f"The next version of {agent} is {following}, not {body.version}."
        )
    row = VersionRow(
        caller.tenant_id, agent, body.version, body.manifest_hash, encode(statement), tx.now_ms, key.key_id
    )
    tx.put_version(row)
    tx.append(
        caller.tenant_id,
        Kind.MANIFEST_REGISTERED,
        statement,
        About(agent=version_name(agent, body.version), manifest_hash=body.manifest_hash),
    )
    return row, True


def activate_version(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """From now on the agent is launched as this version; an older number is a rollback, on the record."""
    body, key = take_operator_statement(tx, caller, statement, ACTIVATION, Activation)
    check_date("activated_at", parse_time(body.activated_at), tx.now_ms)
    version = tx.version(caller.tenant_id, body.agent, body.version)
    if version is None or version.manifest_hash != body.manifest_hash:
        raise NotFoundError(
            "version_missing",
            f"{version_name(body.agent, body.version)} with this manifest_hash is not on the record.",
            fix=f"`dragons agents show {body.agent}` lists the versions.",
        )
    history = tx.activations(caller.tenant_id, body.agent)
    if body.ordinal != len(history):
        raise ConflictError(
            "version_conflict", f"The next activation of {body.agent} is number {len(history)}."
        )
    tx.put_activation(
        ActivationRow(
            caller.tenant_id,
            body.agent,
            body.ordinal,
            body.version,
            body.manifest_hash,
            tx.now_ms,
            key.key_id,
            body.reason if isinstance(body.reason, str) else "",
        )
    )
    return tx.append(
        caller.tenant_id,
        Kind.VERSION_ACTIVATED,
        statement,
        About(agent=version_name(body.agent, body.version), manifest_hash=body.manifest_hash),
    )


def next_version(reader: Reader, tenant_id: str, agent: str) -> int:
    """The number that the agent's next manifest gets."""
    return max((row.version for row in reader.versions(tenant_id, agent)), default=0) + 1


def active_version(reader: Reader, tenant_id: str, agent: str) -> VersionRow | None:
    """The version that instances are launched as: that of the newest activation, if its signer still counts."""
    history = reader.activations(tenant_id, agent)
    if not history or is_spoiled(reader, tenant_id, history[-1].activated_by, history[-1].activated_ms):
        return None
    return reader.version(tenant_id, agent, history[-1].version)
