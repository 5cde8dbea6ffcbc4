"""A dispatch's specification: what to run, kept on the node and never sent anywhere.

The operator's order commits to it by its digest, so a node starts what was signed or nothing, whatever the
control plane says. Readable by its owner only: it may hold secrets for the program's environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from dragons.core.canonical import Document, decode, encode
from dragons.core.errors import ConflictError, InvalidInputError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import DISPATCH, AgentName, Id, check_id
from dragons.core.statement import Envelope
from dragons.evidence.payload import SALT_BYTES, commit
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.node.options import RunOptions
from dragons.sdk.home import Home, read_secret, write_secret

FOLDER = "dispatches"
SPEC_BYTES_MAX = 1_000_000
# What a program gets of the node's own environment without being asked for.
USUAL = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")

_Word = Annotated[str, msgspec.Meta(max_length=100_000)]


class Spec(Document):
    """What an instance of a dispatch runs. Paths are absolute.

    `environment` are variables with their values, `inherited` names of those that the node passes on from
    its own beside the usual ones. `salt` makes `goal` a commitment. An empty `command` is the entrypoint of
    the agent in `agent_dir`.
    """

    dispatch_id: Id
    agent: AgentName
    goal: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    salt: Annotated[bytes, msgspec.Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    command: list[_Word]
    folder: _Word
    scope: list[_Word]
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1)]
    agent_dir: _Word | msgspec.UnsetType = msgspec.UNSET
    capabilities: list[_Word] = []
    environment: dict[str, str] = {}
    inherited: list[_Word] = []
    watch: list[_Word] = []

    def hash(self) -> str:
        """What the operator signs as `spec_hash`."""
        return sha256_hex(encode(self))

    def goal_hash(self) -> str:
        """What the operator signs as `goal_hash`."""
        return commit({"goal": self.goal}, salt=self.salt).payload_hash

    def options(self, own: Mapping[str, str]) -> RunOptions:
        """The run that it describes, by a node whose environment is `own`."""
        passed = {name: own[name] for name in (*USUAL, *self.inherited) if name in own}
        return RunOptions(
            goal=self.goal,
            agent=self.agent,
            command=tuple(self.command),
            agent_dir=Path(self.agent_dir) if isinstance(self.agent_dir, str) else None,
            capabilities=tuple(self.capabilities),
            scope=tuple(self.scope),
            ttl_seconds=self.ttl_seconds,
            dispatch_id=self.dispatch_id,
            supervised=True,
            watch=tuple(Path(one) for one in self.watch),
            folder=Path(self.folder),
            environment=passed | self.environment,
            auto_register=False,
            replay=False,
        )


def spec_path(home: Home, tenant_id: str, dispatch_id: str) -> Path:
    """Where a dispatch's specification is kept."""
    return home.store_path(tenant_id).parent / FOLDER / f"{check_id(DISPATCH, dispatch_id)}.json"


def write_spec(home: Home, tenant_id: str, spec: Spec) -> Path:
    """Keep a specification; returns where. ConflictError when there is one already."""
    path = spec_path(home, tenant_id, spec.dispatch_id)
    if path.exists():
        raise ConflictError("spec_exists", f"{path} is there already.", fix="Order a new dispatch.")
    data = encode(spec)
    if len(data) > SPEC_BYTES_MAX:
        raise InvalidInputError(
            "spec_too_large",
            f"The specification has {len(data)} bytes; the limit is {SPEC_BYTES_MAX}.",
            fix="Shorten the command or its environment.",
        )
    write_secret(path, data)
    return path


def read_spec(home: Home, tenant_id: str, order: Envelope) -> Spec:
    """The specification that the operator's `order` means; a DragonsError when it is not that one."""
    wanted = order.body(DISPATCH_ORDER, Dispatch)
    path = spec_path(home, tenant_id, wanted.dispatch_id)
    spec = decode(Spec, read_secret(path, "specification"))
    says = (spec.hash(), spec.goal_hash(), spec.dispatch_id, spec.agent, spec.scope, spec.ttl_seconds)
    meant = (
        wanted.spec_hash, wanted.goal_hash, wanted.dispatch_id, wanted.agent, wanted.scope, wanted.ttl_seconds,
    )  # fmt: skip
    if says != meant or wanted.tenant_id != tenant_id:
        raise InvalidInputError(
            "spec_mismatch",
            f"{path} is not what the operator signed.",
            fix="Restore the file as `dragons dispatch create` wrote it, or order a new dispatch.",
        )
    return spec


def absolute(path: Path | str) -> str:
    """`path` from the root, links left as they are."""
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links of an environment's programs
