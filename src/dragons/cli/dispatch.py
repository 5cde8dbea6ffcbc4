"""`dragons dispatch`: work that an operator orders and that goes on, instance after instance, until it is done."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import START, command, group
from dragons.cli.context import Cli
from dragons.cli.ordering import Wanted, absolute_words, check_active, order_of, specify
from dragons.cli.output import fact_list, table
from dragons.cli.run import (
    AgentOption,
    CapabilityOption,
    CommandArgument,
    DirectoryOption,
    RegisterOption,
    Repeated,
    ScopeOption,
    TtlOption,
    WatchOption,
)
from dragons.cli.values import moment, parse_duration, short
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, check_id

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.base import Recorded
    from dragons.wire.dispatches import DispatchDetail

LOCAL = "local"
_LOOK_SECONDS = 0.3
_ASK_EVERY = 10
_CHUNK_BYTES = 1 << 16

GoalOption = Annotated[str, typer.Option("--goal", help="What the work is for; recorded as a commitment.")]
NodeOption = Annotated[str, typer.Option("--node", metavar="NODE", help="Where it runs.")]
WebhookOption = Annotated[
    str, typer.Option("--webhook", metavar="CHANNEL", help="Who is told to run it, instead of a node.")
]
EnvironmentOption = Annotated[
    Repeated,
    typer.Option(
        "--env", metavar="NAME[=VALUE]", help="Give the program this variable, or the node's own. Repeatable."
    ),
]
DispatchArgument = Annotated[str, typer.Argument(metavar="DISPATCH", help="The dispatch's id, dsp_….")]


def register(app: typer.Typer) -> None:
    """Add `dragons dispatch …`."""
    inner = group(app, "dispatch", "Dispatches: supervised work, restarted until it is done.", panel=START)
    command(
        inner,
        "create",
        example='dragons dispatch create --agent reconciler --goal "reconcile May" -- python agent.py',
        trailing=True,
    )(create)
    command(inner, "list", example="dragons dispatch list --agent reconciler")(list_dispatches)
    command(inner, "show", example="dragons dispatch show dsp_019e5f80a1f37cc28d0000000000000a")(show)
    command(
        inner,
        "cancel",
        example='dragons dispatch cancel dsp_019e5f80a1f37cc28d0000000000000a --reason "not needed any more"',
    )(cancel)
    command(
        inner, "logs", example="dragons dispatch logs dsp_019e5f80a1f37cc28d0000000000000a -f", data=False
    )(logs)


def create(
    cli: Cli,
    *,
    words: CommandArgument = None,
    goal: GoalOption,
    agent: AgentOption = "",
    node: NodeOption = LOCAL,
    webhook: WebhookOption = "",
    directory: DirectoryOption = None,
    scope: ScopeOption = None,
    ttl: TtlOption = "15m",
    watch: WatchOption = None,
    env: EnvironmentOption = None,
    capability: CapabilityOption = None,
    register_changed: RegisterOption = False,
) -> None:
    """Order a program as a governed agent's work: started by a node, restarted when it stalls or crashes.

    Command and environment stay in this home; the control plane gets their digest, which you sign. A new agent
    is registered, activated and docked as by `dragons run`.
    """
    from dragons.liveness.dispatch import PROCESS, WEBHOOK, is_node_name
    from dragons.node.options import RunOptions
    from dragons.node.spec import absolute

    target = webhook or node
    if not is_node_name(target):
        raise InvalidInputError(
            "node_name_malformed", f"{target!r} names no node.", fix="`dragons nodes list` shows the nodes."
        )
    options = RunOptions(
        goal=goal,
        agent=agent,
        command=tuple(absolute_words(words or ())),
        agent_dir=None if directory is None else Path(absolute(directory)),
        capabilities=tuple(capability or ()),
        scope=tuple(scope or ()),
        ttl_seconds=parse_duration(ttl),
        watch=tuple(watch or ()),
        folder=Path(absolute(".")),
        register=register_changed,
    )
    _order(cli, Wanted(options, env or (), WEBHOOK if webhook else PROCESS, target))


def _order(cli: Cli, wanted: Wanted) -> None:
    from dragons.liveness.dispatch import PROCESS
    from dragons.node.prepare import prepare
    from dragons.node.program import measure
    from dragons.node.spec import write_spec
    from dragons.sdk.home import Home

    manifest = measure(wanted.options).manifest
    prepare(cli.client, cli.operator, manifest, wanted.options, cli.printer.note)
    check_active(cli.client, manifest)
    now_ms = cli.clock.now_ms()
    spec = specify(wanted, manifest.agent, now_ms)
    # The node may get its order before we get our answer.
    path = write_spec(Home(cli.home), cli.tenant_id, spec)
    try:
        recorded = cli.operator.create_dispatch(order_of(wanted, spec, cli.tenant_id, now_ms))
    except (ConflictError, ForbiddenError, InvalidInputError, NotFoundError):
        path.unlink(missing_ok=True)
        raise
    _tell_created(cli, spec.dispatch_id, recorded, path)
    if wanted.dispatcher == PROCESS:
        _warn_absent(cli, wanted.target, path)


def list_dispatches(
    cli: Cli,
    *,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that go on.")] = False,
) -> None:
    """List dispatches, the newest first."""
    found = cli.client.dispatches(agent, open_only=open_only)
    cli.printer.rows(
        found,
        ("dispatch", "agent", "runs on", "state", "epoch", "restarts", "created", "reason"),
        [
            (
                d.dispatch_id,
                d.agent,
                d.target if d.dispatcher == "process" else f"{d.dispatcher}:{d.target}",
                d.state,
                d.epoch,
                d.restarts,
                moment(d.created_at),
                d.state_reason,
            )
            for d in found.dispatches
        ],
        empty='There is no dispatch. Order one: dragons dispatch create --goal "…" -- COMMAND',
    )


def show(cli: Cli, dispatch: DispatchArgument) -> None:
    """Show a dispatch: its instances, its open orders, and every start of it on the record."""
    found = cli.client.dispatch(check_id(DISPATCH, dispatch))
    cli.printer.data(found, lambda: _detail(found))


def cancel(
    cli: Cli,
    *,
    dispatch: DispatchArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")] = "cancelled",
) -> None:
    """End a dispatch for good, and whatever works on it; an intervention on the record."""
    recorded = cli.operator.cancel_dispatch(dispatch, reason=reason)
    cli.recorded(recorded, f"{dispatch} is cancelled.")


def logs(
    cli: Cli,
    *,
    dispatch: DispatchArgument,
    epoch: Annotated[
        int, typer.Option("--epoch", min=0, metavar="N", help="Of this instance. [default: the newest]")
    ] = 0,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes, until the dispatch is over.")
    ] = False,
) -> None:
    """Show what the dispatch's program wrote. The files are on the node's machine, in its home."""
    from dragons.node.logs import epochs_in, log_path
    from dragons.sdk.home import Home

    folder = log_path(Home(cli.home), cli.tenant_id, dispatch, 1).parent
    known = epochs_in(folder)
    if not known and not follow:
        raise NotFoundError(
            "log_missing",
            f"There is no output in {folder}.",
            fix="Ask on the machine of its node, or wait with -f until it has begun.",
        )
    chosen = epoch or (known[-1] if known else 0)
    if not follow:
        for path in (*_rotated(folder, chosen), folder / f"{chosen}.log"):
            _copy(path, 0)
        return
    _follow(cli, dispatch, folder, chosen, fixed=bool(epoch))


def _follow(cli: Cli, dispatch: str, folder: Path, epoch: int, *, fixed: bool) -> None:
    from dragons.node.logs import epochs_in

    place, looks, over = 0, 0, False
    while True:
        newer = [one for one in epochs_in(folder) if one > epoch]
        path = folder / f"{epoch}.log"
        size = path.stat().st_size if path.is_file() else 0
        place = _copy(path, place if place <= size else 0)
        if newer and not fixed:
            epoch, place = newer[0], 0
            continue
        if over:
            return
        looks += 1
        # Once more after the end was seen, for what was written until then.
        over = looks % _ASK_EVERY == 0 and _is_over(cli, dispatch)
        time.sleep(_LOOK_SECONDS)


def _is_over(cli: Cli, dispatch: str) -> bool:
    try:
        return bool(cli.client.dispatch(dispatch).view.ended_at)
    except DragonsError as error:
        if isinstance(error, NotFoundError):
            raise
        return False


def _rotated(folder: Path, epoch: int) -> list[Path]:
    """What was set aside of an epoch's output, oldest first."""
    return sorted(folder.glob(f"{epoch}.log.*"), key=lambda path: -int(path.suffix[1:]))


def _copy(path: Path, place: int) -> int:
    """Pass a file's bytes on from `place`; where they end. What does not exist is empty."""
    try:
        with path.open("rb") as file:
            file.seek(place)
            while data := file.read(_CHUNK_BYTES):
                sys.stdout.buffer.write(data)
                place += len(data)
    except FileNotFoundError:
        return 0
    sys.stdout.buffer.flush()
    return place


def _tell_created(cli: Cli, dispatch_id: str, recorded: Recorded, path: Path) -> None:
    value = {"dispatch_id": dispatch_id, "receipt": recorded, "spec": str(path)}
    facts = [
        ("dispatch", dispatch_id),
        ("receipt", recorded.receipt_id),
        ("seq", recorded.seq),
        ("specification", str(path)),
    ]
    cli.printer.facts(value, facts)


def _warn_absent(cli: Cli, node: str, path: Path) -> None:
    if node not in {one.node for one in cli.client.nodes().nodes}:
        cli.printer.note(
            f"No node {node} has reported yet: it begins when one does (`dragons node --name {node}`). "
            f"On another machine the node needs {path.name} in the same place of its own home."
        )


def _detail(found: DispatchDetail) -> RenderableType:
    view = found.view
    facts: list[tuple[str, object]] = [
        ("dispatch", view.dispatch_id),
        ("agent", view.agent),
        ("runs on", f"{view.dispatcher} {view.target}"),
        ("state", f"{view.state}: {view.state_reason}"),
        ("epoch", view.epoch),
        ("restarts", view.restarts),
        ("ordered", f"{moment(view.created_at)} by {view.ordered_by}"),
    ]
    if view.ended_at:
        facts.append(("ended", moment(view.ended_at)))
    parts: list[RenderableType] = [fact_list(facts)]
    if found.instances:
        rows = [
            (
                i.instance_id,
                i.epoch,
                i.state,
                moment(i.started_at),
                moment(i.stopped_at),
                i.node,
                i.state_reason,
            )
            for i in found.instances
        ]
        columns = ("instance", "epoch", "state", "started", "stopped", "node", "reason")
        parts += [Text(""), table(columns, rows)]
    if found.orders:
        waiting = [
            (o.order_id, o.kind, o.epoch, o.target, moment(o.due_at), moment(o.taken_at))
            for o in found.orders
        ]
        parts += [Text(""), table(("open order", "kind", "epoch", "for", "due", "taken"), waiting)]
    if found.starts:
        starts = [
            (s.epoch, moment(s.at), s.fenced_by, short(s.receipt_id, 40), s.reason) for s in found.starts
        ]
        parts += [Text(""), table(("start of epoch", "ordered", "fenced by", "receipt", "reason"), starts)]
    return Group(*parts)
