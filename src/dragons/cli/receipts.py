"""`dragons receipts`: the signed, hash-chained record of work and of every governance event."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from dragons.cli.command import PROVE, command, group
from dragons.cli.context import Cli
from dragons.cli.output import console, plain
from dragons.cli.values import moment
from dragons.core.vocabulary import Kind

if TYPE_CHECKING:
    from dragons.wire.evidence import ReceiptView

AgentOption = Annotated[str, typer.Option("--agent", metavar="NAME", help="Only about this agent.")]
SessionOption = Annotated[str, typer.Option("--session", metavar="ID", help="Only of this session.")]
KindOption = Annotated[
    Kind | None, typer.Option("--kind", metavar="KIND", help="Only of this kind, for example work.")
]
_COLUMNS = ("seq", "kind", "issued", "agent", "action", "outcome", "receipt")
_PAGE = 500


def register(app: typer.Typer) -> None:
    """Add `dragons receipts …`."""
    inner = group(app, "receipts", "Receipts: what happened, signed and chained.", panel=PROVE)
    command(inner, "list", example="dragons receipts list --agent reconciler --limit 20")(list_receipts)
    command(inner, "show", example="dragons receipts show rcp_019e5f80a1f37cc28d0000000000000a")(show)
    command(inner, "follow", example="dragons receipts follow --after 120")(follow)


def list_receipts(
    cli: Cli,
    *,
    agent: AgentOption = "",
    session: SessionOption = "",
    kind: KindOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_PAGE, help="At most this many.")] = 50,
    after: Annotated[
        int | None,
        typer.Option("--after", min=-1, metavar="SEQ", help="The first ones after this place, oldest first."),
    ] = None,
) -> None:
    """List receipts: the newest ones, or those after a place in the ledger."""
    found = cli.client.receipts(
        -1 if after is None else after,
        limit=limit,
        agent=agent,
        session_id=session,
        kind=kind.value if kind else "",
        newest=after is None,
    )
    shown = sorted(found.receipts, key=lambda view: view.seq)
    cli.printer.rows(found, _COLUMNS, [row(view) for view in shown], empty="There is no such receipt.")


def show(
    cli: Cli, receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="The receipt's id, rcp_….")]
) -> None:
    """Show a receipt: header, statement and its place in the Merkle log."""
    detail = cli.client.receipt(receipt)
    header, statement = detail.view.header, detail.statement
    facts: list[tuple[str, object]] = [
        *((name, header[name]) for name in header if name != "tenant_id"),
        ("chain_root", detail.view.chain_root),
        ("leaf_hash", detail.proof.leaf_hash),
        ("inclusion", f"{len(detail.proof.path)} hashes to the checkpoint"),
        ("", ""),
        *((f"statement.{name}", _short_value(value)) for name, value in statement.items()),
    ]
    cli.printer.facts(detail, facts)


def follow(
    cli: Cli,
    *,
    after: Annotated[
        int | None,
        typer.Option(
            "--after",
            min=-1,
            metavar="SEQ",
            help="Begin after this place; the end of the ledger when absent.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Stop after this many; 0 goes on.")] = 0,
) -> None:
    """Print receipts as they are committed; with -o json one document a line."""
    start = cli.client.ledger().size - 1 if after is None else after
    cli.printer.note(f"Following the ledger after seq {start}. Ctrl-C ends.")
    with cli.client.events(start) as events:
        for count, event in enumerate(events, start=1):
            _print_event(cli, event.receipt)
            if count == limit:
                return


def row(view: ReceiptView) -> tuple[object, ...]:
    """A receipt as a line of a table."""
    header = view.header
    return (
        view.seq,
        view.kind,
        moment(view.issued_at),
        header.get("agent", ""),
        header.get("action", ""),
        header.get("outcome", ""),
        view.receipt_id,
    )


def _print_event(cli: Cli, view: ReceiptView) -> None:
    if cli.printer.as_json:
        sys.stdout.write(msgspec.json.encode(view).decode() + "\n")
        sys.stdout.flush()
        return
    cells = [plain(value) for value in row(view)]
    widths = (6, 20, 20, 18, 18, 10, 0)
    line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    console().print(line, markup=False, highlight=False, soft_wrap=True)
    sys.stdout.flush()


def _short_value(value: Any) -> object:  # noqa: ANN401 - a statement's field
    if isinstance(value, dict):
        return f"{{{len(value)} fields}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"[{len(value)} entries]"
    return value
