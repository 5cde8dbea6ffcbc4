"""Before a launch: is this manifest on the record, and if not, may it be put there?

An agent that nobody ever saw may be registered by the operator whose key is at hand, after saying so. A
changed one never is without being asked for. What may not be registered is launched all the same: the
control plane refuses it, names the files that differ, and puts the denial on the record. Never docks
more than the manifest declares.
"""

from __future__ import annotations

from collections.abc import Callable

from dragons.authority.catalogue import Entry
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Reason, Risk
from dragons.identity.manifest import Manifest
from dragons.node.options import RunOptions
from dragons.node.program import RUN_CAPABILITY
from dragons.sdk.client import OperatorClient
from dragons.sdk.operator import Operator
from dragons.wire.identity import History

Tell = Callable[[str], None]


def prepare(
    client: OperatorClient, operator: Operator | None, manifest: Manifest, options: RunOptions, tell: Tell
) -> None:
    """Make an agent ready where that is allowed; leaves every refusal to the control plane."""
    history = _history(client, manifest.agent)
    known = history is not None and any(v.manifest_hash == manifest.hash() for v in history.versions)
    active = history is not None and any(
        v.active and v.manifest_hash == manifest.hash() for v in history.versions
    )
    is_new = history is None or not history.versions
    if known and (active or not options.register):
        return
    allowed = options.register or (is_new and options.auto_register)
    if not allowed or operator is None:
        return
    what = "new" if is_new else "changed"
    tell(
        f"{manifest.agent} is {what}: registering {manifest.hash()[:16]}… for {', '.join(manifest.capabilities)}"
        " with the operator's key"
    )
    _know_run(client, operator, manifest)
    operator.make_ready(manifest, ttl_seconds_max=max(options.ttl_seconds, 3600))


def explain_refusal(error: ForbiddenError, manifest: Manifest, *, has_key: bool) -> ForbiddenError:
    """A launch's refusal with what helps here; `has_key` says whether an operator's key is at hand."""
    if error.code == Reason.MANIFEST_UNRECORDED:
        fix = "Register it with `dragons manifests register`, or run with --register."
    elif error.code == Reason.VERSION_INACTIVE:
        fix = "Activate it with `dragons agents activate`, or run with --register."
    else:
        return error
    if not has_key:
        fix = "Ask an operator to register and activate it: this home has no operator key at hand."
    why = error.message.removeprefix("Denied: ")
    return ForbiddenError(error.code, f"{manifest.agent} may not run: {why}", fix=fix)


def _history(client: OperatorClient, agent: str) -> History | None:
    try:
        return client.agent(agent)
    except DragonsError as error:
        if error.status == 404:  # noqa: PLR2004 - HTTP Not Found
            return None
        raise


def _know_run(client: OperatorClient, operator: Operator, manifest: Manifest) -> None:
    """The catalogue must know what a dock allows; running a program is the one thing that needs no review."""
    catalogue = client.catalogue().capabilities
    unknown = [name for name in manifest.capabilities if name not in catalogue]
    if unknown == [RUN_CAPABILITY]:
        entry = Entry(description="Start a program and record its end.", risk=Risk.LOW, delegable=False)
        try:
            operator.publish_catalogue({**catalogue, RUN_CAPABILITY: entry})
        except ConflictError:
            # Another run published it first.
            if RUN_CAPABILITY not in client.catalogue().capabilities:
                raise
    elif unknown:
        raise InvalidInputError(
            Reason.CAPABILITY_UNKNOWN,
            f"The catalogue does not know {', '.join(unknown)}.",
            fix="Describe them in a catalogue and publish it: `dragons capabilities publish`.",
        )
