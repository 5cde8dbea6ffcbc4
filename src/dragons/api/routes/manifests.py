"""Manifests on the record."""

from __future__ import annotations

from dragons.api import views
from dragons.api.operation import Call, Operation
from dragons.control.versions import register_manifest
from dragons.identity.records import version_name
from dragons.wire.base import Empty, Statement
from dragons.wire.identity import Registered, VersionDetail


async def register(call: Call[Statement]) -> Registered:
    """Record a manifest as its agent's next version; the same manifest again is that version again."""
    statement = call.input.statement
    row, created = await call.write(lambda tx: register_manifest(tx, call.caller, statement))
    return Registered(
        name=version_name(row.agent, row.version),
        version=row.version,
        manifest_hash=row.manifest_hash,
        created=created,
    )


async def show(call: Call[Empty]) -> VersionDetail:
    """A recorded manifest with the statement that registered it."""
    manifest_hash = call.path["manifest_hash"]
    return await call.read(lambda reader: views.version_detail(reader, call.caller.tenant_id, manifest_hash))


OPERATIONS = (
    Operation("manifests.register", "POST", "/v1/manifests", register, Statement, Registered),
    Operation("manifests.show", "GET", "/v1/manifests/{manifest_hash}", show, answer=VersionDetail),
)
