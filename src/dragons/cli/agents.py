"""`dragons agents`: named identities, their versions, and the history of which one was active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.output import table
from dragons.cli.values import age, duration, moment, short
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.identity.records import parse_version_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.identity import History
    from dragons.wire.liveness import InstanceView

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")]


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
    command(inner, "stop", example='dragons agents stop reconciler --reason "wrong statement file"')(stop)


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
    """Show an agent: its versions and its running instances."""
    versions, instances = cli.client.agent(agent), cli.client.instances(agent, live=True)
    value = {"agent": versions.agent, "versions": versions.versions, "instances": instances.instances}
    cli.printer.data(value, lambda: _agent_view(versions, instances.instances))


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


def stop(
    cli: Cli,
    *,
    agent: AgentArgument,
    instance: Annotated[
        str | None, typer.Option("--instance", metavar="ID", help="Only this instance.")
    ] = None,
    reason: ReasonOption = "stopped by the operator",
) -> None:
    """Stop an agent's running instances, for good; each stop is an intervention on the record."""
    live = cli.client.instances(agent, live=True).instances
    chosen = [one for one in live if instance in {None, one.instance_id}]
    if not chosen:
        raise NotFoundError(
            "instance_missing",
            f"{agent} has no running instance{f' {instance}' if instance else ''}.",
            fix=f"`dragons agents show {agent}` lists what runs.",
        )
    stopped = [(one, cli.operator.intervene(one.instance_id, reason=reason)) for one in chosen]
    cli.printer.rows(
        {"stopped": [{"instance_id": one.instance_id, "receipt": receipt} for one, receipt in stopped]},
        ("instance", "version", "receipt", "seq"),
        [
            (one.instance_id, f"{agent}@v{one.version}", receipt.receipt_id, receipt.seq)
            for one, receipt in stopped
        ],
        empty="",
    )


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


def _agent_view(found: History, instances: list[InstanceView]) -> RenderableType:

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
            for v in found.versions
        ],
    )
    if not instances:
        return Group(versions, Text(""), Text("No instance is running.", style="dim"))
    running = table(
        ("instance", "version", "state", "since", "lease left", "last heartbeat", "progress", "epoch"),
        [
            (
                i.instance_id,
                f"v{i.version}",
                i.state,
                moment(i.state_since),
                duration(i.lease_left_seconds),
                age(i.pulse_age_ms),
                f"{i.progress_sequence} {i.progress_source}".strip(),
                i.epoch,
            )
            for i in instances
        ],
    )
    return Group(versions, Text(""), running)
