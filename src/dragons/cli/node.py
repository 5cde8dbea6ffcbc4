"""`dragons node` and `dragons nodes`: what carries out dispatches on a machine, and which of them there are."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from dragons.cli.command import GOVERN, START, command, group
from dragons.cli.context import Cli
from dragons.cli.output import write_json
from dragons.cli.values import age, moment
from dragons.core.errors import DragonsError, UnauthenticatedError

if TYPE_CHECKING:
    from dragons.sdk.home import Home

_TRY_AGAIN_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add `dragons node` and `dragons nodes …`."""
    command(app, "node", example="dragons node --name worker-1", panel=START)(node)
    inner = group(app, "nodes", "The nodes that carry out dispatches.", panel=GOVERN)
    command(inner, "list", example="dragons nodes list")(list_nodes)


def node(
    cli: Cli,
    *,
    name: Annotated[
        str,
        typer.Option("--name", metavar="NODE", help="What dispatches call it. [default: the host's name]"),
    ] = "",
    parent: Annotated[
        int, typer.Option("--parent", min=0, metavar="PID", help="End with this process, which started us.")
    ] = 0,
) -> None:
    """Carry out this node's dispatches until Ctrl-C or SIGTERM; then end its programs and leave.

    What it ended is started again when the node is back. Output goes to files: dragons dispatch logs ID.
    """
    from dragons.node import standing
    from dragons.sdk.home import Home

    chosen = standing.check_name(name or standing.usual_name())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if parent:
        standing.bind_to(parent)
    home = Home(cli.home)
    with standing.holding(home, cli.tenant_id, chosen):
        token = _token(cli, home, chosen, stop)
        if token:
            _work(cli, home, chosen, token, stop)


def list_nodes(cli: Cli) -> None:
    """List the nodes that ever reported, and when they did last."""
    found = cli.client.nodes()
    cli.printer.rows(
        found,
        ("node", "last seen", "running", "since", "version"),
        [(n.node, age(n.seen_age_ms), n.running, moment(n.first_at), n.version) for n in found.nodes],
        empty="No node has reported yet. `dragons up` runs one; another one: dragons node --name NAME",
    )


def _token(cli: Cli, home: Home, name: str, stop: threading.Event) -> str:
    """The token to work with, as soon as the control plane can be reached; empty when we are to stop."""
    from dragons.adapters.keyfiles import read_secret
    from dragons.cli.exits import UNREACHABLE_CODES
    from dragons.node.standing import token_of

    if cli.options.token_file is not None:
        return read_secret(cli.options.token_file).decode("ascii", "replace").strip()
    told = False
    while not stop.is_set():
        try:
            return token_of(home, cli.tenant_id, name, cli.url, cli.clock)
        except UnauthenticatedError:
            raise
        except DragonsError as error:
            if error.code not in UNREACHABLE_CODES:
                raise
            if not told:
                cli.printer.note(f"{error} Trying again until it answers.")
            told = True
            stop.wait(_TRY_AGAIN_SECONDS)
    return ""


def _work(cli: Cli, home: Home, name: str, token: str, stop: threading.Event) -> None:
    from dragons.node.dispatcher.process import ProcessDispatcher
    from dragons.node.launcher import Launcher
    from dragons.node.supervisor import Place, Supervisor
    from dragons.sdk.client import OperatorClient
    from dragons.sdk.transport import Retries

    def tell(text: str) -> None:
        sys.stderr.write(f"node {name}: {text}\n")
        sys.stderr.flush()

    with (
        OperatorClient(cli.url, token, clock=cli.clock) as launching,
        OperatorClient(cli.url, token, clock=cli.clock, retries=Retries(attempts=1)) as reporting,
    ):
        launcher = Launcher(home, launching, cli.clock, tell, None, cli.config.root_fingerprint, None, name)
        dispatcher = ProcessDispatcher(launcher)
        place = Place(name, home, cli.tenant_id, cli.clock)
        if cli.printer.as_json:
            write_json({"node": name, "pid": os.getpid(), "url": cli.url, "home": str(cli.home)})
        else:
            tell(f"works for {cli.url}; Ctrl-C ends its programs and leaves")
        Supervisor(place, reporting, dispatcher, tell).run(stop)
        tell("left")
