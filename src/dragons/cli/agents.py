"""`dragons agents`: named identities, their versions, and the history of which one was active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Group
from rich.text import Text

from dragons.cli import interventions
from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.output import fact_list, table
from dragons.cli.values import age, duration, moment, short
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.identity.records import parse_version_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.dispatches import DispatchView, EffectivePolicy
    from dragons.wire.fleet import FleetMember
    from dragons.wire.identity import History

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
_PAGE = 500
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")]


class _Agent(NamedTuple):
    """What there is to show of an agent."""

    history: History
    members: list[FleetMember]
    policy: EffectivePolicy
    dispatches: list[DispatchView]


def register(app: typer.Typer) -> None:
    """Add `dragons agents …`."""
    inner = group(app, "agents", "Agents: versions, activations, running instances.", panel=GOVERN)
    command(inner, "list", example="dragons agents list -o json")(list_agents)
    command(inner, "show", example="dragons agents show reconciler")(show)
    command(inner, "activate", example="dragons agents activate reconciler@v2")(activate)
    command(inner, "rollback", example='dragons agents rollback reconciler --reason "v2 misreads fees"')(
        rollback
    )
    command(inner, "history", example="dragons agents history reconciler")(history)
    interventions.register(inner)


def list_agents(cli: Cli) -> None:
    """List the tenant's agents."""
    found = cli.client.agents()
    cli.printer.rows(
        found,
        ("agent", "active", "versions", "docks", "running", "state", "mtboi", "manifest_hash"),
        [
            (
                a.agent,
                a.active,
                a.versions,
                a.docks,
                a.running,
                a.state,
                duration(a.mtboi_seconds),
                short(a.manifest_hash),
            )
            for a in found.agents
        ],
        empty="No agent is registered yet. Register one: dragons manifests register DIR",
    )


def show(cli: Cli, agent: AgentArgument) -> None:
    """Show an agent: its versions, whether it is quarantined, its policy, dispatches and running instances."""
    client = cli.client
    found = _Agent(
        client.agent(agent),
        client.fleet(agent, limit=_PAGE).members,
        client.policy(agent),
        client.dispatches(agent, open_only=True).dispatches,
    )
    versions = found.history
    held = {"since": versions.held_since, "reason": versions.held_reason, "receipt": versions.held_by}
    value = {
        "agent": versions.agent,
        "versions": versions.versions,
        "held": held if versions.held_since else None,
        "policy": {"version": found.policy.version, "origin": found.policy.origin},
        "dispatches": found.dispatches,
        "instances": found.members,
    }
    cli.printer.data(value, lambda: _agent_view(found))


def history(cli: Cli, agent: AgentArgument) -> None:
    """Show which version became active when and by whose key; rollbacks are marked."""
    found = cli.client.agent(agent)
    cli.printer.rows(
        found,
        ("#", "version", "activated", "by", "rollback", "reason"),
        [
            (a.ordinal, a.name, moment(a.activated_at), a.activated_by, a.rollback, a.reason)
            for a in found.activations
        ],
        empty=f"No version of {agent} was ever active. Activate one: dragons agents activate {agent}@v1",
    )


def activate(
    cli: Cli,
    *,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="For example reconciler@v2.")],
    reason: ReasonOption = "",
) -> None:
    """Let instances be launched as this version from now on, signed with your key."""
    agent, number = version_of(version)
    recorded = cli.operator.activate(agent, number, reason=reason)
    cli.recorded(recorded, f"{version} is active.")


def rollback(
    cli: Cli,
    *,
    agent: AgentArgument,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, metavar="N", help="The version; the one active before when absent."),
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """Make an earlier version active again; the record says that it is a rollback."""
    target = to or _before(cli.client.agent(agent))
    recorded = cli.operator.activate(agent, target, reason=reason or "rollback")
    cli.recorded(recorded, f"{agent} is back at {agent}@v{target}.")


def version_of(text: str) -> tuple[str, int]:
    """Agent and number of `reconciler@v2`; InvalidInputError otherwise."""
    try:
        return parse_version_name(text)
    except ValueError as error:
        raise InvalidInputError(
            "version_malformed",
            f"{text!r} is not a version.",
            fix="Write name@vN, for example reconciler@v2.",
        ) from error


def _before(found: History) -> int:
    """The version that was active before the present one."""
    versions = [activation.name for activation in found.activations]
    earlier = [name for name in versions if name != versions[-1]]
    if not earlier:
        raise NotFoundError(
            "version_missing",
            f"No other version of {found.agent} was active before.",
            fix=f"Name one with --to; `dragons agents show {found.agent}` lists them.",
        )
    return parse_version_name(earlier[-1])[1]


def _agent_view(found: _Agent) -> RenderableType:
    history, policy = found.history, found.policy
    versions = table(
        ("version", "active", "registered", "by", "files", "capabilities", "manifest_hash"),
        [
            (
                v.name,
                v.active,
                moment(v.registered_at),
                short(v.registered_by),
                v.files,
                v.capabilities,
                short(v.manifest_hash),
            )
            for v in history.versions
        ],
    )
    held = f"since {moment(history.held_since)}: {history.held_reason} ({history.held_by})"
    whose = "its own" if policy.origin == history.agent else "that of every agent"
    standing = fact_list(
        [
            ("quarantined", held if history.held_since else "no"),
            ("policy", f"{whose}, version {policy.version}" if policy.version else "the product's defaults"),
        ]
    )
    parts: list[RenderableType] = [versions, Text(""), standing, Text("")]
    if found.dispatches:
        columns = ("dispatch", "state", "epoch", "restarts", "target", "reason")
        dispatched = [
            (d.dispatch_id, d.state, d.epoch, d.restarts, d.target, d.state_reason) for d in found.dispatches
        ]
        parts += [table(columns, dispatched), Text("")]
    return Group(*parts, _running(found.members))


def _running(members: list[FleetMember]) -> RenderableType:
    if not members:
        return Text("No instance is running.", style="dim")
    return table(
        ("instance", "version", "state", "since", "lease", "last heartbeat", "progress", "epoch", "reason"),
        [
            (
                m.instance_id,
                f"v{m.version}",
                m.state,
                moment(m.state_since),
                f"{duration(m.lease_left_seconds)} left" if m.lease_status == "valid" else m.lease_status,
                age(m.pulse_age_ms),
                f"{m.progress_sequence} {m.progress_source}".strip(),
                m.epoch,
                m.state_reason,
            )
            for m in members
        ],
    )
