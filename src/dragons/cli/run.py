"""`dragons run`: a program under a lease, and the activation receipt that it leaves.

The program's standard output is its own; everything that Dragons says goes to standard error. Never
starts a program whose manifest is not on the record.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dragons.cli import activation
from dragons.cli.activation import Activation
from dragons.cli.command import START, command
from dragons.cli.context import OPERATOR_FILE, Cli
from dragons.cli.values import parse_duration
from dragons.core.errors import DragonsError, InvalidInputError
from dragons.core.keys import KeyRole

if TYPE_CHECKING:
    from dragons.node.options import RunOptions, RunResult
    from dragons.sdk.operator import Operator

Repeated = list[str] | None
# A goal that is only the command line is cut here.
GOAL_LENGTH_MAX = 200

CommandArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="COMMAND", help="The program and its arguments, after --.", show_default=False),
]
GoalOption = Annotated[
    str,
    typer.Option(
        "--goal", help="What the work is for; recorded before it begins. [default: the command line]"
    ),
]
AgentOption = Annotated[
    str,
    typer.Option(
        "--agent", metavar="NAME", help="The agent. [default: what agent.yaml says, or the script's name]"
    ),
]
ScopeOption = Annotated[
    Repeated,
    typer.Option(
        "--scope",
        metavar="CAP",
        help="What it may do; all that dock and manifest allow when absent. Repeatable.",
    ),
]
DelegateOption = Annotated[
    Repeated, typer.Option("--delegate", metavar="CAP", help="What it may only hand on. Repeatable.")
]
TtlOption = Annotated[
    str, typer.Option("--ttl", help="How long the lease is; it is renewed while the program runs.")
]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="DIR", help="The agent's folder with agent.yaml. [default: the program's own]"
    ),
]
CapabilityOption = Annotated[
    Repeated,
    typer.Option(
        "--capability",
        metavar="CAP",
        help="What a single program without agent.yaml declares. Repeatable.",
    ),
]
RegisterOption = Annotated[
    bool, typer.Option("--register", help="Register and activate what is measured, also when it changed.")
]
StrictOption = Annotated[
    bool, typer.Option("--no-auto-register", help="Refuse also an agent that was never seen.")
]
DispatchOption = Annotated[
    str,
    typer.Option("--dispatch", metavar="ID", help="Continue an earlier dispatch with the next epoch."),
]
EpochOption = Annotated[
    int,
    typer.Option(
        "--epoch", min=0, metavar="N", help="The epoch that was ordered: refused when another one is next."
    ),
]
HandoverOption = Annotated[
    Path | None,
    typer.Option(
        "--handover",
        metavar="FILE",
        help="Where the instance before had got to, JSON as the order brought it; the program can read it.",
    ),
]
WatchOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--watch",
        metavar="PATH",
        help="A file or folder of results: new contents count as progress. Not a log. Repeatable.",
        show_default=False,
    ),
]
ReplayOption = Annotated[
    bool, typer.Option("--replay/--no-replay", help="Verify the session's evidence when it ended.")
]
ReceiptOption = Annotated[
    Path | None,
    typer.Option("--receipt", metavar="FILE", help="Write the activation receipt to a file, as JSON."),
]


def register(app: typer.Typer) -> None:
    """Add `dragons run`."""
    command(
        app,
        "run",
        example='dragons run --agent reconciler --goal "reconcile May" --scope read:payments -- python agent.py',
        trailing=True,
        panel=START,
    )(run)


def run(
    cli: Cli,
    *,
    words: CommandArgument = None,
    goal: GoalOption = "",
    agent: AgentOption = "",
    scope: ScopeOption = None,
    delegate: DelegateOption = None,
    ttl: TtlOption = "15m",
    directory: DirectoryOption = None,
    capability: CapabilityOption = None,
    register_changed: RegisterOption = False,
    strict: StrictOption = False,
    dispatch: DispatchOption = "",
    epoch: EpochOption = 0,
    handover: HandoverOption = None,
    watch: WatchOption = None,
    replay: ReplayOption = True,
    receipt: ReceiptOption = None,
) -> int:
    """Run a program as a governed agent: measured, leased, watched, and on the record.

    Progress is what is new: work not done lately, lines not printed lately, contents of watched files.

    A program whose lease lapses stands still until that is renewed.

    Ends with the program's own exit status and the activation receipt on standard error.
    """
    from dragons.node.options import RunOptions

    options = RunOptions(
        goal=goal or f"run {shlex.join(words or [str(directory or '.')])}"[:GOAL_LENGTH_MAX],
        agent=agent,
        command=tuple(words or ()),
        agent_dir=directory,
        capabilities=tuple(capability or ()),
        scope=tuple(scope or ()),
        delegate_scope=tuple(delegate or ()),
        ttl_seconds=parse_duration(ttl),
        dispatch_id=dispatch,
        epoch=epoch,
        handover=None if handover is None else read_handover_file(handover),
        watch=tuple(watch or ()),
        auto_register=not strict,
        register=register_changed,
        replay=replay,
    )
    result = carry_out(cli, options)
    made = activation_of(result, final_state(cli, result.instance_id))
    if receipt is not None:
        receipt.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    if cli.printer.as_json:
        sys.stderr.write(msgspec.json.encode(made).decode() + "\n")
    else:
        activation.show(made)
    if result.waiting:
        cli.printer.note(f"{result.waiting} receipts wait on this machine; they are sent by the next run.")
    return result.exit_code


def carry_out(cli: Cli, options: RunOptions) -> RunResult:
    """Run a program with what this home has at hand."""
    from dragons.node.launcher import Launcher, run_governed
    from dragons.sdk.home import Home

    launcher = Launcher(
        home=Home(cli.home),
        client=cli.client,
        clock=cli.clock,
        tell=cli.printer.note,
        operator=operator_at_hand(cli, needed=options.register),
        pin=cli.config.root_fingerprint,
    )
    return run_governed(launcher, options)


def read_handover_file(path: Path) -> dict[str, object]:
    """The JSON object in a file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            "handover_malformed", f"{path} is no JSON object.", fix="Write what the order brought into it."
        ) from error


def operator_at_hand(cli: Cli, *, needed: bool) -> Operator | None:
    """The operator, where the key is in this home; a locked key is opened only where it is needed."""
    from dragons.adapters.keyfiles import read_key

    path = cli.people / OPERATOR_FILE
    if not path.is_file() and not needed:
        return None
    if not needed:
        try:
            read_key(path, KeyRole.OPERATOR)
        except InvalidInputError as error:
            if error.code == "passphrase_missing":
                return None
            raise
    return cli.operator


def final_state(cli: Cli, instance_id: str) -> str:
    """The state on the control plane's record now; empty when it does not say."""
    try:
        return cli.client.instance(instance_id).state
    except DragonsError:
        return ""


def activation_of(result: RunResult, final: str) -> Activation:
    """What the activation receipt shows of a run; `final` is the organism state that it ended in."""
    states = list(result.states)
    if final and states[-1:] != [final]:
        states.append(final)
    return Activation(
        goal=result.goal,
        scope=list(result.scope),
        operations=result.operations,
        denied=result.denied,
        session_id=result.session_id,
        sessions=list(result.sessions),
        receipt_id=result.receipt_id,
        chain_root=result.chain_root,
        replay=result.replay,
        agent=result.version or result.agent,
        manifest_hash=result.manifest_hash,
        instance_id=result.instance_id,
        lease_id=result.lease_id,
        states=states,
        heartbeat_age_ms=result.heartbeat_age_ms,
        progress=", ".join(result.progress),
        outcome=result.ended.outcome.value,
        exit_status=result.ended.exit_status,
    )
