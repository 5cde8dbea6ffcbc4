"""`dragons packs`: evidence packs: one file that lets a stranger replay what happened, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dragons.cli.command import PROVE, command, group
from dragons.cli.context import Cli
from dragons.cli.replay import replay
from dragons.cli.values import moment, parse_moment, size
from dragons.cli.verify import PackArgument, verify
from dragons.core.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from dragons.sdk.packs import Exported
    from dragons.wire.evidence import PackRequest

OutOption = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the pack is written.")]
SessionOption = Annotated[str, typer.Option("--session", metavar="ID", help="One session.")]
AgentOption = Annotated[str, typer.Option("--agent", metavar="NAME", help="All about one agent.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="A window: from a time, a day, or 24h ago.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="A window: up to a time, exclusive.")
]
LedgerOption = Annotated[bool, typer.Option("--ledger", help="The whole ledger.")]
RedactedOption = Annotated[
    bool, typer.Option("--redacted", help="Leave the payloads out; their hashes stay.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


def register(app: typer.Typer) -> None:
    """Add `dragons packs …`."""
    inner = group(app, "packs", "Evidence packs: export, verify, replay, show.", panel=PROVE)
    command(
        inner,
        "export",
        example="dragons packs export --session ses_019e5f80a1f37cc28d0000000000000a --out evidence.zip",
    )(export)
    command(inner, "verify", example="dragons packs verify evidence.zip --root 5f0c…e1")(verify)
    command(inner, "replay", example="dragons packs replay evidence.zip --root 5f0c…e1")(replay)
    command(inner, "show", example="dragons packs show evidence.zip")(show)


def export(
    cli: Cli,
    *,
    out: OutOption,
    session: SessionOption = "",
    agent: AgentOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    ledger: LedgerOption = False,
    redacted: RedactedOption = False,
    force: ForceOption = False,
) -> None:
    """Export evidence: a session, an agent, a time window, or the whole ledger.

    Payloads come from this home's own store; the control plane never has them.
    """
    from dragons.wire.evidence import PackRequest

    window = since is not None or until is not None
    if sum((bool(session), bool(agent), window, ledger)) != 1:
        raise InvalidInputError(
            "selection_malformed",
            "A pack is of one session, one agent, one window or the whole ledger.",
            fix="Give one of --session, --agent, --since/--until, --ledger.",
        )
    now_ms = cli.clock.now_ms()
    request = PackRequest(
        session_id=session,
        agent=agent,
        since="" if since is None else parse_moment(since, now_ms),
        until="" if until is None else parse_moment(until, now_ms),
    )
    exported = write_pack(cli, request, out, redacted=redacted, force=force)
    cli.printer.facts(
        described(exported, redacted=redacted),
        [
            ("pack", exported.path),
            ("size", size(exported.bytes)),
            (
                "payloads",
                "left out" if redacted else f"{exported.payloads} shown, {exported.withheld} withheld",
            ),
        ],
    )
    cli.printer.note(f"Verify it: dragons verify {exported.path} --root FINGERPRINT")


def write_pack(cli: Cli, request: PackRequest, out: Path, *, redacted: bool, force: bool) -> Exported:
    """Write the pack of `request` to `out`; ConflictError when something is there and `force` is not given.

    With the payloads of this home's own store, unless it shall be redacted.
    """
    from dragons.sdk.home import Home
    from dragons.sdk.localstore import LocalStore
    from dragons.sdk.packs import export_pack

    if out.exists() and not force:
        raise ConflictError("file_exists", f"{out} exists already.", fix="Choose another file, or --force.")
    if redacted:
        return export_pack(cli.client, request, out)
    with LocalStore(Home(cli.home).store_path(cli.tenant_id)) as store:
        return export_pack(cli.client, request, out, store)


def described(exported: Exported, *, redacted: bool) -> dict[str, object]:
    """An exported pack for a machine."""
    return {
        "path": str(exported.path),
        "bytes": exported.bytes,
        "payloads": exported.payloads,
        "withheld": exported.withheld,
        "redacted": redacted or exported.withheld > 0,
    }


def show(cli: Cli, *, pack: PackArgument) -> None:
    """Show what a pack says of itself. Nothing of it is verified; `dragons verify PACK` does that."""
    from dragons.audit.pack import PACK, Pack, open_pack

    with open_pack(pack) as reader:
        head, body = reader.head, reader.head.statement.body(PACK, Pack)
        heartbeats = len(reader.heartbeats())
    chosen = {name: value for name, value in msgspec.to_builtins(body.selection).items() if name != "kind"}
    cli.printer.note("Unverified: this is what the file says of itself.")
    cli.printer.facts(
        {
            "verified": False,
            "format": head.format,
            "redacted": head.redacted,
            "pack": body,
            "end": head.end,
            "heartbeats": heartbeats,
            "bytes": pack.stat().st_size,
        },
        [
            ("pack", body.pack_id),
            ("tenant", body.tenant_id),
            ("selection", " ".join([body.selection.kind, *(str(value) for value in chosen.values())])),
            (
                "selected",
                f"{body.selected} receipts, positions {body.first_position} to {body.last_position}",
            ),
            ("log", f"{body.tree_size} receipts, root {body.root}"),
            ("payloads", "some or all withheld" if head.redacted else "all shown"),
            ("heartbeats", f"of {heartbeats} instances"),
            ("exported", moment(body.exported_at)),
            ("size", size(pack.stat().st_size)),
        ],
    )
