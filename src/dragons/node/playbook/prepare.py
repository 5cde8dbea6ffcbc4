"""Before a playbook runs: are its agent and its notifier on the record, and if not, may they be put there?

As `dragons.node.prepare`: the operator whose key is at hand may register an agent that nobody ever saw, after
saying so, and a changed one only when asked to. The runner is docked to hand notifications on, never to send
them. Never changes what the catalogue says already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dragons.authority.catalogue import Entry
from dragons.core.errors import DragonsError, ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Reason, Risk
from dragons.identity.manifest import Manifest
from dragons.node.playbook import book as names
from dragons.node.playbook.book import Book
from dragons.node.playbook.notifying import NotifierProgram
from dragons.node.prepare import Tell
from dragons.sdk.client import OperatorClient
from dragons.sdk.operator import READY_INSTANCES, Operator

NOTIFY_ENTRIES = {
    f"{names.NOTIFY_PREFIX}{kind}": Entry(
        description=f"Tell people by {kind}.", risk=Risk.LOW, delegable=True
    )
    for kind in ("slack", "email", "webhook")
}
# What these words mean in a tenant whose catalogue does not say it otherwise.
ENTRIES = {
    names.RUN: Entry(description="Start a service and record its end.", risk=Risk.LOW, delegable=False),
    names.RESTART: Entry(description="Start a crashed service again.", risk=Risk.LOW, delegable=False),
    names.WATCH: Entry(description="Note that a service runs well again.", risk=Risk.LOW, delegable=False),
    names.READ_LOGS: Entry(description="Read a service's output and logs.", risk=Risk.LOW, delegable=False),
    names.DIAGNOSE: Entry(description="Find out why a service crashed.", risk=Risk.LOW, delegable=False),
    names.ASK_MODEL: Entry(
        description="Send a redacted log to a model for advice.", risk=Risk.MEDIUM, delegable=False
    ),
    names.WRITE_POSTMORTEM: Entry(description="Write a postmortem.", risk=Risk.LOW, delegable=False),
    **NOTIFY_ENTRIES,
}


class Allowed(NamedTuple):
    """What may be registered: an agent that is new, and one that changed."""

    new: bool = True
    changed: bool = False


class Wanted(NamedTuple):
    """One agent that is to be ready: what its dock lets it do, and only hand on."""

    manifest: Manifest
    scope: Sequence[str]
    delegate_scope: Sequence[str] = ()


def prepare_playbook(
    client: OperatorClient,
    operator: Operator | None,
    book: Book,
    notifier: NotifierProgram | None,
    tell: Tell,
    *,
    allowed: Allowed = Allowed(),  # noqa: B008 - a tuple of constants
    ttl_seconds: int = 3600,
) -> None:
    """Make runner and notifier ready where that is allowed; leaves other refusals to the control plane."""
    _check_reading(client)
    wanted = [Wanted(book.manifest, book.scope, book.handed_on)]
    if notifier is not None and book.handed_on:
        wanted.append(Wanted(notifier.manifest, sorted(NOTIFY_ENTRIES)))
    unready = [one for one in wanted if _may_register(client, one.manifest, allowed)]
    if operator is not None and unready:
        _know(client, operator, unready)
        for one in unready:
            _make_ready(client, operator, one, tell, ttl_seconds)
    _check_delegable(client, book.handed_on)


def _check_reading(client: OperatorClient) -> None:
    """A postmortem is made from the ledger, so a token that may not read it is refused before anything runs."""
    try:
        client.receipts(limit=1)
    except ForbiddenError as error:
        raise ForbiddenError(
            error.code,
            f"A playbook's postmortem is made from the ledger. {error.message}",
            fix="Use the token of an operator or an admin: `dragons tokens issue --role operator`.",
        ) from error


def _may_register(client: OperatorClient, manifest: Manifest, allowed: Allowed) -> bool:
    try:
        versions = client.agent(manifest.agent).versions
    except DragonsError as error:
        if error.status != 404:  # noqa: PLR2004 - HTTP Not Found
            raise
        versions = []
    if any(one.active and one.manifest_hash == manifest.hash() for one in versions):
        return False
    return allowed.changed or (allowed.new and not versions)


def _know(client: OperatorClient, operator: Operator, wanted: Sequence[Wanted]) -> None:
    known = client.catalogue().capabilities
    used = {name for one in wanted for name in (*one.scope, *one.delegate_scope)}
    unknown = sorted(used - known.keys())
    strange = [name for name in unknown if name not in ENTRIES]
    if strange:
        raise InvalidInputError(
            Reason.CAPABILITY_UNKNOWN,
            f"The catalogue does not know {', '.join(strange)}.",
            fix="Describe them in a catalogue and publish it: `dragons capabilities publish`.",
        )
    if unknown:
        operator.publish_catalogue({**known, **{name: ENTRIES[name] for name in unknown}})


def _make_ready(
    client: OperatorClient, operator: Operator, wanted: Wanted, tell: Tell, ttl_seconds: int
) -> None:
    manifest = wanted.manifest
    passed_on = f", handing on {', '.join(wanted.delegate_scope)}" if wanted.delegate_scope else ""
    tell(
        f"registering {manifest.agent} {manifest.hash()[:16]}… for {', '.join(wanted.scope)}{passed_on}"
        " with the operator's key"
    )
    registered = operator.register_manifest(manifest)
    views = client.agent(manifest.agent).versions
    if not any(view.active and view.version == registered.version for view in views):
        operator.activate(manifest.agent, registered.version)
    for dock in client.docks(manifest.agent).docks:
        fits = set(wanted.scope) <= set(dock.scope) and set(wanted.delegate_scope) <= set(dock.delegate_scope)
        if dock.status == "valid" and fits and dock.ttl_seconds_max >= ttl_seconds:
            return
    operator.dock(
        manifest.agent,
        scope=wanted.scope,
        delegate_scope=wanted.delegate_scope,
        ttl_seconds_max=max(ttl_seconds, 3600),
        instances_max=READY_INSTANCES,
    )


def _check_delegable(client: OperatorClient, handed_on: Sequence[str]) -> None:
    known = client.catalogue().capabilities
    kept = [name for name in handed_on if name in known and not known[name].delegable]
    if kept:
        raise InvalidInputError(
            Reason.CAPABILITY_NOT_DELEGABLE,
            f"The catalogue does not let anybody hand on {', '.join(kept)}.",
            fix="Publish it with `delegable: true`: `dragons capabilities publish FILE`.",
        )
