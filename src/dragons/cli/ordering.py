"""From a command line to an order: the specification that a node keeps, and what the operator signs of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dragons.core.capability import scope_of
from dragons.core.clock import format_time
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.ids import DISPATCH, new_id
from dragons.core.vocabulary import Reason
from dragons.evidence.payload import commit
from dragons.liveness.dispatch import Dispatch

if TYPE_CHECKING:
    from dragons.identity.manifest import Manifest
    from dragons.node.options import RunOptions
    from dragons.node.spec import Spec
    from dragons.sdk.client import OperatorClient


class Wanted(NamedTuple):
    """What is to be dispatched: a run with absolute paths, and its environment (`NAME` or `NAME=VALUE`)."""

    options: RunOptions
    environment: Sequence[str]
    dispatcher: str
    target: str


def absolute_words(words: Sequence[str]) -> list[str]:
    """A command that means the same wherever a node runs it: its program and code by their absolute paths."""
    from dragons.node.command import is_file, program_place
    from dragons.node.spec import absolute

    if not words:
        return []
    place = program_place(words)
    # Where it is unclear what is code, every file that the command names counts as such.
    named = [at for at in range(1, len(words)) if is_file(Path(words[at]))] if place is None else [place]
    # A bare name is looked up on the PATH that goes along: it may be a wrapper that is no program by itself.
    own = [0] if "/" in words[0] else []
    return [absolute(word) if at in {*named, *own} else word for at, word in enumerate(words)]


def parse_environment(given: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Values and inherited names of `NAME=VALUE` and `NAME`."""
    values: dict[str, str] = {}
    names: list[str] = []
    for one in given:
        name, equals, value = one.partition("=")
        if not name.isidentifier() or name.startswith("DRAGONS_") or "\0" in value:
            raise InvalidInputError(
                "environment_malformed",
                f"{name!r} can't be given to a program.",
                fix="Write NAME or NAME=VALUE; variables of Dragons are its own.",
            )
        if equals:
            values[name] = value
        else:
            names.append(name)
    return values, sorted(set(names))


def specify(wanted: Wanted, agent: str, now_ms: int) -> Spec:
    """What the node keeps, under a new dispatch's id."""
    from dragons.node.spec import Spec, absolute

    options = wanted.options
    values, names = parse_environment(wanted.environment)
    if "PATH" not in {*values, *names}:
        # It starts with the programs that it would start with here.
        values["PATH"] = os.environ.get("PATH", os.defpath)
    spec = Spec(
        dispatch_id=new_id(DISPATCH, now_ms),
        agent=agent,
        goal=options.goal,
        salt=commit({"goal": options.goal}).salt,
        command=list(options.command),
        folder=absolute(options.folder or Path()),
        scope=scope_of(options.scope),
        ttl_seconds=options.ttl_seconds,
        capabilities=scope_of(options.capabilities),
        environment=values,
        inherited=names,
        watch=[absolute(path) for path in options.watch],
    )
    if options.agent_dir is not None:
        spec.agent_dir = absolute(options.agent_dir)
    return spec


def order_of(wanted: Wanted, spec: Spec, tenant_id: str, now_ms: int) -> Dispatch:
    """What the operator signs."""
    return Dispatch(
        dispatch_id=spec.dispatch_id,
        tenant_id=tenant_id,
        agent=spec.agent,
        dispatcher=wanted.dispatcher,
        target=wanted.target,
        scope=spec.scope,
        ttl_seconds=spec.ttl_seconds,
        goal_hash=spec.goal_hash(),
        spec_hash=spec.hash(),
        created_at=format_time(now_ms),
    )


def check_active(client: OperatorClient, manifest: Manifest) -> None:
    """ForbiddenError unless instances may be launched as what was measured."""
    known = client.agent(manifest.agent).versions
    matching = [view for view in known if view.manifest_hash == manifest.hash()]
    if not any(view.active for view in matching):
        code = Reason.VERSION_INACTIVE if matching else Reason.MANIFEST_UNRECORDED
        what = "is not the active version" if matching else "is not what is on the record"
        raise ForbiddenError(
            code,
            f"What was measured of {manifest.agent} {what}.",
            fix="Dispatch with --register, or activate it: `dragons agents activate NAME@vN`.",
        )
