"""`dragons ledger`: the tenant's log as a whole: its head, its checkpoints, its soundness."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragons.cli.command import PROVE, command, group
from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.core.errors import InvalidInputError
from dragons.core.keys import PublicKey
from dragons.evidence.checkpoint import Checkpoint, verify_checkpoint
from dragons.evidence.merkle import verify_consistency

if TYPE_CHECKING:
    from dragons.wire.evidence import LedgerView


def register(app: typer.Typer) -> None:
    """Add `dragons ledger …`."""
    inner = group(app, "ledger", "The WorkLedger: an append-only, hash-chained log.", panel=PROVE)
    command(inner, "show", example="dragons ledger show")(show)
    command(inner, "checkpoint", example="dragons ledger checkpoint --out monday.note")(checkpoint)
    command(inner, "consistency", example="dragons ledger consistency monday.note")(consistency)
    command(inner, "fsck", example="dragons ledger fsck")(fsck)


def show(cli: Cli) -> None:
    """Show the ledger's head: size, Merkle root, chain root."""
    view = cli.client.ledger()
    cli.printer.facts(
        view,
        [
            ("tenant", view.tenant_id),
            ("receipts", view.size),
            ("root", view.root),
            ("chain_root", view.chain_root),
            ("revocations", view.revocations),
        ],
    )


def checkpoint(
    cli: Cli,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the note to a file to compare with later."),
    ] = None,
) -> None:
    """Print the newest signed checkpoint (a C2SP signed note); keep it to notice a rewritten past."""
    view = cli.client.ledger()
    if not view.checkpoint:
        raise InvalidInputError(
            "checkpoint_missing", "The ledger has no checkpoint yet.", fix="Try again in a moment."
        )
    if out is not None:
        out.write_text(view.checkpoint, encoding="utf-8")
        cli.printer.note(f"The checkpoint of {view.size} receipts is in {out}.")
    cli.printer.data(
        {"size": view.size, "root": view.root, "checkpoint": view.checkpoint}, view.checkpoint.rstrip
    )


def consistency(
    cli: Cli,
    *,
    checkpoint_file: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint you kept.")],
) -> int:
    """Prove that the ledger of today continues the one of a kept checkpoint: nothing was rewritten."""
    view = cli.client.ledger()
    keys = [PublicKey(key.public_key) for key in cli.client.keys().keys if key.role == "ledger"]
    kept = _read(checkpoint_file, view, keys)
    now = verify_checkpoint(view.checkpoint, view.tenant_id, keys)
    holds = now is not None and _continues(cli, kept, now)
    value = {
        "consistent": holds,
        "first": {"size": kept.size, "root": kept.root.hex()},
        "second": None if now is None else {"size": now.size, "root": now.root.hex()},
    }
    verdict = "the past is as it was" if holds else "THE PAST WAS REWRITTEN, or the proof is broken"
    if now is not None and kept.size > now.size:
        verdict = f"RECEIPTS ARE LOST: the ledger ends at {now.size}, the kept checkpoint counts {kept.size}"
    cli.printer.facts(
        value,
        [
            ("verdict", verdict),
            ("kept", f"{kept.size} receipts, root {kept.root.hex()}"),
            (
                "now",
                "not signed by a ledger key"
                if now is None
                else f"{now.size} receipts, root {now.root.hex()}",
            ),
        ],
    )
    return Exit.OK if holds else Exit.NO


def fsck(cli: Cli) -> int:
    """Let the control plane verify its whole store again; exit code 6 when it is damaged."""
    found = cli.client.fsck()
    cli.printer.facts(
        found,
        [
            ("receipts", found.receipts),
            ("sound", found.sound),
            *(("damage", line) for line in found.damage),
        ],
    )
    return Exit.OK if found.sound else Exit.STORAGE


def _read(path: Path, view: LedgerView, keys: list[PublicKey]) -> Checkpoint:
    kept = verify_checkpoint(path.read_text(encoding="utf-8"), view.tenant_id, keys)
    if kept is None:
        raise InvalidInputError(
            "checkpoint_untrusted",
            f"{path} is not signed by a ledger key of {view.tenant_id}.",
            fix="Compare with a checkpoint of this tenant: `dragons ledger checkpoint --out FILE`.",
        )
    return kept


def _continues(cli: Cli, kept: Checkpoint, now: Checkpoint) -> bool:
    if kept.size > now.size:
        return False
    proof = [bytes.fromhex(node) for node in cli.client.consistency(kept.size, now.size).proof]
    return verify_consistency(kept.size, now.size, kept.root, now.root, proof)
