"""`dragons manifests`: what an agent is, measured on disk and put on the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.cli.output import fact_list, table
from dragons.cli.values import moment, short, size
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.identity.manifest import Manifest, difference
from dragons.identity.measure import measure_directory, measure_program

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.identity import VersionDetail

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The agent's folder, with its agent.yaml.", show_default=False)
]
VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="VERSION", help="A manifest_hash, an agent's name (its active version) or name@vN."
    ),
]
_HASH_LENGTH = 64


def register(app: typer.Typer) -> None:
    """Add `dragons manifests …`."""
    inner = group(
        app, "manifests", "What an agent is: digests of its code, config and capabilities.", panel=GOVERN
    )
    command(inner, "measure", example="dragons manifests measure examples/reconciler")(measure)
    command(inner, "register", example="dragons manifests register examples/reconciler --activate")(
        register_manifest
    )
    command(inner, "show", example="dragons manifests show reconciler@v1")(show)
    command(inner, "diff", example="dragons manifests diff reconciler examples/reconciler")(diff)


def measure(
    cli: Cli,
    *,
    directory: Annotated[
        Path, typer.Argument(metavar="PATH", help="The agent's folder with agent.yaml, or one program.")
    ],
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Name of a single program's agent.")
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option("--capability", metavar="CAP", help="What a single program declares. Repeatable."),
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--argument", metavar="WORD", help="The command line that starts a single program. Repeatable."
        ),
    ] = None,
) -> None:
    """Measure an agent on disk; nothing is sent anywhere."""
    if directory.is_dir():
        manifest = measure_directory(directory)
    elif agent is None:
        raise InvalidInputError(
            "agent_name_missing", f"{directory} is a single file.", fix="Name its agent: --agent NAME."
        )
    else:
        manifest = measure_program(agent, directory, argument or [str(directory)], capability or [])
    cli.printer.data(
        {"manifest_hash": manifest.hash(), "manifest": manifest}, lambda: _manifest_view(manifest, [])
    )


def register_manifest(
    cli: Cli,
    *,
    directory: DirectoryArgument,
    activate: Annotated[
        bool, typer.Option("--activate", help="Also let instances be launched as this version.")
    ] = False,
) -> None:
    """Measure an agent and put its manifest on the record as its next version, signed with your key."""
    manifest = measure_directory(directory)
    registered = cli.operator.register_manifest(manifest)
    if activate:
        active = next(
            (v.active for v in cli.client.agent(manifest.agent).versions if v.version == registered.version),
            False,
        )
        if not active:
            cli.operator.activate(manifest.agent, registered.version)
    new = "is on the record now" if registered.created else "was on the record already"
    cli.printer.note(f"{registered.name} {new}{' and is active' if activate else ''}.")
    cli.printer.facts(
        registered,
        [
            ("version", registered.name),
            ("manifest_hash", registered.manifest_hash),
            ("new", registered.created),
        ],
    )


def show(cli: Cli, version: VersionArgument) -> None:
    """Show a recorded manifest: its files, its capabilities, who registered it."""
    detail = find(cli, version)
    view = detail.view
    about = [
        ("version", view.name),
        ("registered", f"{moment(view.registered_at)} by {view.registered_by}"),
        ("active", view.active),
    ]
    cli.printer.data(detail, lambda: _manifest_view(detail.manifest, about))


def diff(cli: Cli, version: VersionArgument, directory: DirectoryArgument) -> int:
    """Name the files in which a folder departs from a recorded manifest; exit code 1 when it does."""
    recorded = find(cli, version)
    measured = measure_directory(directory)
    found = difference(recorded.manifest, measured)
    value = {
        "recorded": recorded.view.manifest_hash,
        "measured": measured.hash(),
        "equal": not found,
        "changed": found.changed,
        "added": found.added,
        "removed": found.removed,
    }
    rows = [(word, name) for word in ("changed", "added", "removed") for name in getattr(found, word)]
    cli.printer.rows(
        value, ("difference", "file"), rows, empty=f"{directory} is exactly {recorded.view.name}."
    )
    return Exit.NO if found else Exit.OK


def find(cli: Cli, version: str) -> VersionDetail:
    """The recorded manifest that `version` names in any of its three ways."""
    if len(version) == _HASH_LENGTH:
        return cli.client.manifest(version)
    agent = version.partition("@")[0]
    for view in cli.client.agent(agent).versions:
        if view.name == version or (agent == version and view.active):
            return cli.client.manifest(view.manifest_hash)
    raise NotFoundError(
        "version_missing",
        f"There is no {version} on the record." if "@" in version else f"{version} has no active version.",
        fix=f"`dragons agents show {agent}` lists the versions.",
    )


def _manifest_view(manifest: Manifest, about: Sequence[tuple[str, object]]) -> RenderableType:

    files = [(file.path, "code", size(file.bytes), short(file.sha256)) for file in manifest.code]
    files += [(file.path, "config", size(file.bytes), short(file.sha256)) for file in manifest.config]
    image = [] if isinstance(manifest.image, msgspec.UnsetType) else [("image", manifest.image)]
    facts = [
        ("agent", manifest.agent),
        *about,
        ("manifest_hash", manifest.hash()),
        ("capabilities", manifest.capabilities),
        ("entrypoint", " ".join(manifest.entrypoint)),
        *image,
    ]
    return Group(fact_list(facts), Text(""), table(("file", "kind", "size", "sha256"), files))
