"""`dragons capabilities`: what each capability means in the tenant, as a reviewed YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from dragons.authority.catalogue import Entry, parse_catalogue
from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.values import moment
from dragons.core.errors import InvalidInputError, NotFoundError

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The catalogue, YAML.")]
_COLUMNS = ("capability", "risk", "delegable", "description")


def register(app: typer.Typer) -> None:
    """Add `dragons capabilities …`."""
    inner = group(app, "capabilities", "What each capability means in the tenant.", panel=GOVERN)
    command(inner, "list", example="dragons capabilities list")(list_capabilities)
    command(inner, "show", example="dragons capabilities show write:ledger")(show)
    command(inner, "publish", example="dragons capabilities publish capabilities.yaml")(publish)
    command(inner, "validate", example="dragons capabilities validate capabilities.yaml")(validate)


def validate(cli: Cli, file: FileArgument) -> None:
    """Check a catalogue file without publishing it; every fault is named with its line."""
    entries = load(file)
    cli.printer.rows(
        {"valid": True, "capabilities": entries},
        _COLUMNS,
        [_row(name, entry) for name, entry in entries.items()],
        empty="The catalogue is valid and names no capability.",
    )
    cli.printer.note(f"{file} is valid: {len(entries)} capabilities.")


def list_capabilities(cli: Cli) -> None:
    """List the capabilities of the tenant's published catalogue."""
    view = cli.client.catalogue()
    cli.printer.rows(
        view,
        _COLUMNS,
        [_row(name, entry) for name, entry in sorted(view.capabilities.items())],
        empty="No catalogue is published yet. Publish one: dragons capabilities publish FILE",
    )


def show(
    cli: Cli,
    capability: Annotated[str, typer.Argument(metavar="CAPABILITY", help="For example read:payments.")],
) -> None:
    """Show what one capability means."""
    view = cli.client.catalogue()
    entry = view.capabilities.get(capability)
    if entry is None:
        raise NotFoundError(
            "capability_missing",
            f"The catalogue has no {capability}.",
            fix="`dragons capabilities list` shows what it has.",
        )
    cli.printer.facts(
        {"capability": capability, **msgspec.to_builtins(entry), "catalogue_version": view.version},
        [
            ("capability", capability),
            ("description", entry.description),
            ("risk", entry.risk.value),
            ("delegable", entry.delegable),
            ("catalogue", f"version {view.version}, published {moment(view.published_at)}"),
        ],
    )


def publish(cli: Cli, file: FileArgument) -> None:
    """Sign a catalogue with your operator key and make it the tenant's."""
    entries = load(file)
    recorded = cli.operator.publish_catalogue(entries)
    cli.recorded(recorded, f"The catalogue in {file} with {len(entries)} capabilities is published.")


def load(file: Path) -> dict[str, Entry]:
    """The entries of the file; InvalidInputError that names every fault with its line."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            "catalogue_invalid", f"{file} is not UTF-8 text.", fix="Save it as UTF-8."
        ) from error
    return parse_catalogue(text, source=file.name)


def _row(name: str, entry: Entry) -> tuple[object, ...]:
    return (name, entry.risk.value, entry.delegable, entry.description)
