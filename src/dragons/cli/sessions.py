"""`dragons sessions`: one goal each, with the receipts of its actions; and erasing its payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import PROVE, command, group
from dragons.cli.context import Cli
from dragons.cli.output import fact_list, table
from dragons.cli.receipts import row
from dragons.cli.values import moment
from dragons.core.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.evidence import ReceiptView, SessionView

# As many receipts as one erasure statement may name.
_ERASED_MAX = 1_000
SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id, ses_….")]


def register(app: typer.Typer) -> None:
    """Add `dragons sessions …`."""
    inner = group(app, "sessions", "Sessions: a goal and the actions taken for it.", panel=PROVE)
    command(inner, "list", example="dragons sessions list --agent reconciler")(list_sessions)
    command(inner, "show", example="dragons sessions show ses_019e5f80a1f37cc28d0000000000000a")(show)
    command(
        inner,
        "erase",
        example='dragons sessions erase ses_019e5f80a1f37cc28d0000000000000a --reason "erasure request"',
    )(erase)


def list_sessions(
    cli: Cli,
    *,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
) -> None:
    """List sessions."""
    found = cli.client.sessions(agent, open_only=open_only)
    cli.printer.rows(
        found,
        ("session", "agent", "status", "outcome", "receipts", "opened", "closed"),
        [
            (s.session_id, s.agent, s.status, s.outcome, s.receipts, moment(s.opened_at), moment(s.closed_at))
            for s in found.sessions
        ],
        empty="There is no such session.",
    )


def show(cli: Cli, session: SessionArgument) -> None:
    """Show a session and its receipts."""
    view, receipts = cli.client.session(session), all_receipts(cli, session)
    cli.printer.data({"session": view, "receipts": receipts}, lambda: _session_view(view, receipts))


def erase(
    cli: Cli,
    *,
    session: SessionArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Destroy the payloads of a session for good; the receipts stay and still verify."""
    from dragons.sdk.home import Home
    from dragons.sdk.localstore import LocalStore

    committed = {
        view.receipt_id: str(view.header["payload_hash"])
        for view in all_receipts(cli, session)
        if "payload_hash" in view.header
    }
    if not committed:
        raise NotFoundError("payload_missing", f"{session} has no payloads.", fix="Check the session's id.")
    if not yes and not typer.confirm(f"Destroy all payloads of {session}? This can't be undone.", err=True):
        raise typer.Abort
    names = list(committed)
    # The record comes first: a payload that is gone without a receipt would look withheld.
    records = [
        cli.operator.erase(names[start : start + _ERASED_MAX], reason=reason)
        for start in range(0, len(names), _ERASED_MAX)
    ]
    with LocalStore(Home(cli.home).store_path(cli.tenant_id)) as store:
        destroyed = store.erase(committed.values())
    cli.printer.note(f"{destroyed} payloads of {session} are destroyed in {store.path}; the receipts stay.")
    if destroyed < len(committed):
        cli.printer.note(
            f"{len(committed) - destroyed} were not in this store: they lie elsewhere or were erased before."
        )
    cli.printer.rows(
        {"session_id": session, "destroyed": destroyed, "receipts": records},
        ("receipt", "seq", "chain_root"),
        [(one.receipt_id, one.seq, one.chain_root) for one in records],
        empty="",
    )


def all_receipts(cli: Cli, session: str) -> list[ReceiptView]:
    """Every receipt of a session, page by page."""
    found: list[ReceiptView] = []
    after = -1
    while True:
        page = cli.client.receipts(after, limit=500, session_id=session)
        found += page.receipts
        if page.next_after < 0:
            return found
        after = page.next_after


def _session_view(view: SessionView, receipts: list[ReceiptView]) -> RenderableType:

    facts = fact_list(
        [
            ("session", view.session_id),
            ("agent", view.agent),
            ("status", view.status),
            ("outcome", view.outcome),
            ("instance", view.instance_id),
            ("lease", view.lease_id),
            ("opened", moment(view.opened_at)),
            ("closed", moment(view.closed_at)),
        ]
    )
    columns = ("seq", "kind", "issued", "agent", "action", "outcome", "receipt")
    return Group(facts, Text(""), table(columns, [row(receipt) for receipt in receipts]))
