"""`dragons agents stop|quarantine|release|redispatch`: a person's hand on an agent or one instance of it.

Each is a statement that the operator's key signs, a receipt, and one intervention for MTBOI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import command
from dragons.cli.context import Cli
from dragons.cli.output import fact_list, table
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.liveness.organism import Act

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.base import Recorded
    from dragons.wire.dispatches import DispatchView
    from dragons.wire.fleet import FleetMember
    from dragons.wire.liveness import InstanceView

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
InstanceOption = Annotated[
    str,
    typer.Option("--instance", metavar="ID", help="Only this instance; the end of its id is enough."),
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it goes on the record.")]

_PAGE = 500
_DID = {
    Act.STOP: "stopped for good",
    Act.QUARANTINE: "quarantined",
    Act.RELEASE: "released",
    Act.REDISPATCH: "being replaced",
}
_NEXT = {
    Act.STOP: "Its authority is gone and its dispatches are cancelled. Work goes on only when somebody starts it.",
    Act.QUARANTINE: "Every action is denied. Nothing is started until `dragons agents release {agent} --reason …`.",
    Act.RELEASE: "What was quarantined is stopped. Dispatches go on with a new instance and a clean count of "
    "restarts; others are launched anew.",
    Act.REDISPATCH: "The next instance is started when the old one can't act any more, which takes seconds. "
    "`dragons fleet --agent {agent}` shows it.",
}


class Touched(NamedTuple):
    """An instance or dispatch that an intervention was about, before and after."""

    what: str
    name: str
    before: str
    after: str
    reason: str


def register(inner: typer.Typer) -> None:
    """Add the interventions to `dragons agents`."""
    command(inner, "stop", example='dragons agents stop reconciler --reason "wrong statement file"')(stop)
    command(inner, "quarantine", example='dragons agents quarantine reconciler --reason "odd transfers"')(
        quarantine
    )
    command(inner, "release", example='dragons agents release reconciler --reason "bank feed mended"')(
        release
    )
    command(inner, "redispatch", example='dragons agents redispatch reconciler --reason "stuck in a loop"')(
        redispatch
    )


def stop(
    cli: Cli,
    *,
    agent: AgentArgument,
    instance: InstanceOption = "",
    reason: ReasonOption = "stopped by the operator",
) -> None:
    """Stop an agent's instances for good and cancel its dispatches."""
    _intervene(cli, Act.STOP, agent, instance, reason)


def quarantine(
    cli: Cli, *, agent: AgentArgument, instance: InstanceOption = "", reason: ReasonOption
) -> None:
    """Isolate an agent: everything is denied, nothing is launched, until it is released."""
    _intervene(cli, Act.QUARANTINE, agent, instance, reason)


def release(cli: Cli, *, agent: AgentArgument, instance: InstanceOption = "", reason: ReasonOption) -> None:
    """End a quarantine, whoever began it; dispatches go on with a new instance."""
    _intervene(cli, Act.RELEASE, agent, instance, reason)


def redispatch(
    cli: Cli, *, agent: AgentArgument, instance: InstanceOption = "", reason: ReasonOption
) -> None:
    """Replace running instances of dispatches by new ones, with the next epoch."""
    _intervene(cli, Act.REDISPATCH, agent, instance, reason)


def _intervene(cli: Cli, act: Act, agent: str, instance: str, reason: str) -> None:
    before = cli.client.fleet(agent, limit=_PAGE).members
    dispatches = cli.client.dispatches(agent, open_only=True).dispatches
    if instance:
        chosen = one_of(before, agent, instance)
        before = [one for one in before if one.instance_id == chosen]
        dispatches = [one for one in dispatches if one.dispatch_id == before[0].dispatch_id]
        recorded = cli.operator.intervene(chosen, reason=reason, action=act.value)
    else:
        recorded = cli.operator.intervene(agent=agent, reason=reason, action=act.value)
    touched = [
        *(_instance(one, cli.client.instance(one.instance_id)) for one in before),
        *(_dispatch(one, cli.client.dispatch(one.dispatch_id).view) for one in dispatches),
    ]
    changed = [one for one in touched if one.before != one.after]
    value = {
        "action": act.value,
        "agent": agent,
        "receipt": recorded,
        "touched": [one._asdict() for one in changed],
    }
    what = f"{agent}'s instance {instance}" if instance else agent
    cli.printer.data(value, lambda: _told(act, what, agent, recorded, changed))


def one_of(members: list[FleetMember], agent: str, wanted: str) -> str:
    """The id of the one live instance that is `wanted` or ends with it."""
    found = [one.instance_id for one in members if one.instance_id.endswith(wanted.lower())]
    if not found:
        raise NotFoundError(
            "instance_missing",
            f"{agent} has no live instance {wanted}.",
            fix=f"`dragons fleet --agent {agent}` lists what there is.",
        )
    if len(found) > 1:
        raise InvalidInputError(
            "instance_ambiguous",
            f"{len(found)} instances of {agent} end with {wanted}.",
            fix=f"Give one id in full: {', '.join(found[:3])}.",
        )
    return found[0]


def _instance(before: FleetMember, after: InstanceView) -> Touched:
    return Touched("instance", before.instance_id, before.state, after.state, after.state_reason)


def _dispatch(before: DispatchView, after: DispatchView) -> Touched:
    return Touched("dispatch", before.dispatch_id, before.state, after.state, after.state_reason)


def _told(act: Act, what: str, agent: str, recorded: Recorded, changed: list[Touched]) -> RenderableType:
    facts = fact_list(
        [
            (act.value, f"{what} is {_DID[act]}"),
            ("receipt", recorded.receipt_id),
            ("seq", recorded.seq),
            ("what follows", _NEXT[act].format(agent=agent)),
        ]
    )
    if not changed:
        return Group(facts, Text(""), Text("Nothing of it ran.", style="dim"))
    columns = ("", "id", "was", "is", "reason")
    return Group(facts, Text(""), table(columns, [tuple(one) for one in changed]))
