"""`dragons leases`: signed, time-bounded grants; who holds one, and ending it early."""

from __future__ import annotations

from typing import Annotated

import typer

from dragons.authority.revocation import Target
from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.values import duration, moment

LeaseArgument = Annotated[str, typer.Argument(metavar="LEASE", help="The lease's id, lse_….")]


def register(app: typer.Typer) -> None:
    """Add `dragons leases …`."""
    inner = group(app, "leases", "Leases: what each running instance may do, until when.", panel=GOVERN)
    command(inner, "list", example="dragons leases list --agent reconciler")(list_leases)
    command(inner, "show", example="dragons leases show lse_019e5f80a1f37cc28d0000000000000a")(show)
    command(
        inner,
        "revoke",
        example='dragons leases revoke lse_019e5f80a1f37cc28d0000000000000a --reason "odd traffic"',
    )(revoke)


def list_leases(
    cli: Cli, agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = ""
) -> None:
    """List leases, ended ones included."""
    found = cli.client.leases(agent)
    cli.printer.rows(
        found,
        ("lease", "agent", "status", "scope", "left", "issued"),
        [
            (
                lease.lease_id,
                f"{lease.agent}@v{lease.version}",
                lease.status,
                lease.scope,
                duration(max(0, lease.left_seconds)),
                moment(lease.issued_at),
            )
            for lease in found.leases
        ],
        empty="No lease was issued yet. Start an agent: dragons run --agent NAME -- COMMAND",
    )


def show(cli: Cli, lease: LeaseArgument) -> None:
    """Show a lease; with -o json also its signed statement."""
    detail = cli.client.lease(lease)
    view = detail.view
    cli.printer.facts(
        detail,
        [
            ("lease", view.lease_id),
            ("agent", f"{view.agent}@v{view.version}"),
            ("status", view.status),
            ("instance", view.instance_id),
            ("scope", view.scope),
            ("may hand on", view.delegate_scope),
            ("dock", view.dock_id),
            ("authorized_by", view.authorized_by),
            ("parent", view.parent_lease_id),
            ("epoch", view.epoch),
            ("renewals", view.serial),
            ("issued", moment(view.issued_at)),
            ("expires", f"{moment(view.expires_at)} ({duration(max(0, view.left_seconds))} left)"),
        ],
    )


def revoke(
    cli: Cli,
    *,
    lease: LeaseArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")],
) -> None:
    """End a lease and every lease delegated from it, at once."""
    recorded = cli.operator.revoke(Target.LEASE, lease, reason=reason)
    cli.recorded(recorded, f"{lease} is revoked; it is denied from now on.")
