"""`dragons docks`: an operator's signed ceiling over what an agent may ever be leased."""

from __future__ import annotations

from typing import Annotated

import typer

from dragons.authority.dock import Budget
from dragons.authority.revocation import Target
from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.values import duration, moment, parse_duration
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError

DockArgument = Annotated[str, typer.Argument(metavar="DOCK", help="The dock's id, dck_….")]


def register(app: typer.Typer) -> None:
    """Add `dragons docks …`."""
    inner = group(app, "docks", "Docks: which agent may be leased what, signed by an operator.", panel=GOVERN)
    command(
        inner,
        "create",
        example="dragons docks create --agent reconciler --scope read:payments --scope write:ledger --ttl 1h",
    )(create)
    command(inner, "list", example="dragons docks list --agent reconciler")(list_docks)
    command(inner, "show", example="dragons docks show dck_019e5f80a1f37cc28d0000000000000a")(show)
    command(
        inner,
        "revoke",
        example='dragons docks revoke dck_019e5f80a1f37cc28d0000000000000a --reason "trial over"',
    )(revoke)


def create(
    cli: Cli,
    *,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="The agent to dock.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="CAP", help="A capability it may be leased. Repeatable."),
    ] = None,
    delegate: Annotated[
        list[str] | None,
        typer.Option("--delegate", metavar="CAP", help="A capability it may only hand on. Repeatable."),
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="The longest lease: 15m, 1h, 7d at most.")] = "1h",
    instances: Annotated[
        int, typer.Option("--instances", min=1, max=10_000, help="How many may run at once.")
    ] = 1,
    expires: Annotated[
        str | None, typer.Option("--expires", help="When the dock itself ends, from now: 30d.")
    ] = None,
    requests: Annotated[int | None, typer.Option("--budget-requests", min=0, help="Requests in all.")] = None,
    wall: Annotated[str | None, typer.Option("--budget-time", help="Running time in all: 8h.")] = None,
) -> None:
    """Dock an agent to the tenant up to a scope, signed with your operator key."""
    if not scope and not delegate:
        raise InvalidInputError(
            "dock_empty", "A dock allows at least one capability.", fix="Give --scope CAP."
        )
    budget = Budget()
    if requests is not None:
        budget.requests = requests
    if wall is not None:
        budget.wall_seconds = parse_duration(wall)
    not_after = "" if expires is None else format_time(cli.clock.now_ms() + parse_duration(expires) * 1000)
    docked = cli.operator.dock(
        agent,
        scope=scope or [],
        delegate_scope=delegate or [],
        ttl_seconds_max=parse_duration(ttl),
        instances_max=instances,
        not_after=not_after,
        budget=budget if requests is not None or wall is not None else None,
    )
    cli.printer.note(f"{agent} is docked as {docked.dock.dock_id}.")
    cli.printer.facts(
        {"dock_id": docked.dock.dock_id, "receipt": docked.recorded},
        [
            ("dock", docked.dock.dock_id),
            ("scope", docked.dock.scope),
            ("longest lease", duration(docked.dock.ttl_seconds_max)),
            ("receipt", docked.recorded.receipt_id),
        ],
    )


def list_docks(
    cli: Cli, agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = ""
) -> None:
    """List docks, with how many instances hold a lease under each."""
    found = cli.client.docks(agent)
    cli.printer.rows(
        found,
        ("dock", "agent", "status", "scope", "longest lease", "live"),
        [
            (
                d.dock_id,
                d.agent,
                d.status,
                d.scope,
                duration(d.ttl_seconds_max),
                f"{d.instances_live}/{d.instances_max}",
            )
            for d in found.docks
        ],
        empty="No agent is docked yet. Dock one: dragons docks create --agent NAME --scope CAP",
    )


def show(cli: Cli, dock: DockArgument) -> None:
    """Show one dock."""
    d = cli.client.dock(dock)
    cli.printer.facts(
        d,
        [
            ("dock", d.dock_id),
            ("agent", d.agent),
            ("status", d.status),
            ("scope", d.scope),
            ("may hand on", d.delegate_scope),
            ("longest lease", duration(d.ttl_seconds_max)),
            ("instances", f"{d.instances_live} of {d.instances_max}"),
            ("operator", d.operator),
            ("created", moment(d.created_at)),
            ("ends", moment(d.not_after) if d.not_after else "when revoked"),
        ],
    )


def revoke(
    cli: Cli,
    dock: DockArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")],
) -> None:
    """End a dock and every lease under it, at once."""
    recorded = cli.operator.revoke(Target.DOCK, dock, reason=reason)
    cli.recorded(recorded, f"{dock} is revoked; every lease under it is denied from now on.")
