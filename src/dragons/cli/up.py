"""`dragons up`: the control plane of this home, in the foreground until a signal ends it."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from dragons.cli.command import START, command
from dragons.cli.context import Cli
from dragons.cli.init import DEFAULT_TENANT, NameOption, OperatorOption, make_home, settings_of, tell_keys
from dragons.cli.localnode import LocalNode, node_command
from dragons.cli.output import write_json
from dragons.core.errors import NotFoundError

if TYPE_CHECKING:
    from dragons.compose import Tenancy

_READY_SECONDS_MAX = 60.0
_ASK_EVERY_SECONDS = 0.05


def register(app: typer.Typer) -> None:
    """Add `dragons up`."""
    command(app, "up", example="dragons up --port 7420", panel=START)(up)


def up(
    cli: Cli,
    *,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen. [default: 127.0.0.1, or $DRAGONS_HOST]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65_535, help="0 takes a free one. [default: the home's, or $DRAGONS_PORT]"
        ),
    ] = None,
    name: NameOption = DEFAULT_TENANT,
    operator: OperatorOption = None,
    no_node: Annotated[
        bool, typer.Option("--no-node", help="Run no node here: dispatches wait for one of another process.")
    ] = False,
) -> None:
    """Start the control plane and serve until Ctrl-C; the first start makes the home.

    A node named `local` runs beside it and carries out dispatches. With -o json one document on standard output says that it is ready.
    """
    settings = settings_of(cli, host=host, port=_port(cli, port))
    made = make_home(settings, name, operator, None)
    remember_url(cli, settings.url)
    node = None if no_node else LocalNode(node_command(cli.home, settings.url), cli.printer.note)

    def attend() -> None:
        if _announce(cli, settings.url, made) and node is not None:
            node.keep()

    threading.Thread(target=attend, daemon=True).start()
    from dragons.compose import serve

    try:
        serve(settings, (lambda: None) if node is None else node.end)
    except KeyboardInterrupt:
        # Ctrl-C is how a person ends it; everything was closed before this arrives.
        cli.printer.note("The control plane is stopped.")


def remember_url(cli: Cli, url: str) -> None:
    """Write the address into the home's `config.json`, where clients on this machine look."""
    from dragons.sdk.home import CONFIG_FILE, write_secret

    path = cli.home / CONFIG_FILE
    known = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    if known.get("url") != url:
        known["url"] = url
        write_secret(path, msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n")
        cli.__dict__.pop("config", None)


def _port(cli: Cli, wanted: int | None) -> int | None:
    """The port to serve on: as wanted, as the environment says, as the home remembers, else the usual."""
    if wanted == 0 or (wanted is None and os.environ.get("DRAGONS_PORT") == "0"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free: int = probe.getsockname()[1]
            return free
    if wanted is not None or "DRAGONS_PORT" in os.environ:
        return wanted
    try:
        return urlsplit(cli.config.url).port
    except NotFoundError:
        return None


def _announce(cli: Cli, url: str, made: Tenancy) -> bool:
    """Say that the control plane is ready, once it is; False when it never became so."""
    if not _ready(url):
        return False
    if cli.printer.as_json:
        write_json(
            {
                "url": url,
                "pid": os.getpid(),
                "home": str(cli.home),
                "created": made.created,
                "tenant_id": made.tenant_id,
                "root_fingerprint": made.root_fingerprint,
                "token_file": str(made.token_path),
            }
        )
        return True
    cli.printer.note(
        f"\nThe control plane is ready at {url}, home {cli.home}."
        f"\n  tenant            {made.tenant_id}"
        f"\n  root fingerprint  {made.root_fingerprint}"
    )
    if made.created:
        tell_keys(cli, made)
    cli.printer.note(
        "\nIn another terminal:"
        "\n  dragons doctor                       is all well?"
        '\n  dragons run --agent NAME --goal "…" -- COMMAND    govern any program, as it is'
        '\n  dragons dispatch create --goal "…" -- COMMAND     have it run, and restarted when it fails'
        "\nFor an agent with capabilities of its own:"
        "\n  dragons capabilities publish FILE    say what each capability means"
        "\n  dragons manifests register DIR --activate"
        "\n  dragons docks create --agent NAME --scope CAP"
        "\nCtrl-C stops the control plane. Agents whose authority can't be checked are denied meanwhile.\n"
    )
    return True


def _ready(url: str) -> bool:
    import httpx2

    waiting = threading.Event()
    waited = 0.0
    while waited < _READY_SECONDS_MAX:
        try:
            if httpx2.get(f"{url}/readyz", timeout=2.0, trust_env=False).is_success:
                return True
        except httpx2.HTTPError:
            pass
        waiting.wait(_ASK_EVERY_SECONDS)
        waited += _ASK_EVERY_SECONDS
    return False
