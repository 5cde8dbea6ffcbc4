"""A command's context whose control plane answers what a test says, and remembers what it was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragons.cli.context import Cli, Globals
from dragons.cli.output import Format
from dragons.wire.base import Recorded

RECORDED = Recorded(receipt_id="rcp_1", seq=4, chain_root="ab" * 32, issued_at="2026-11-20T19:44:03.123Z")


class Answers:
    """Stands where a client or an operator stands: each method returns the answer of its name."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def method(*arguments: Any, **named: Any) -> Any:
            self.asked.append((name, arguments, named))
            return self.answers[name]

        return method


def cli_with(home: Path, wanted: Format = Format.TABLE, **answers: Any) -> tuple[Cli, Answers]:
    """A context, and the stand-in for both its client and its operator."""
    cli = Cli(Globals(home), wanted)
    stand_in = Answers(**answers)
    cli.__dict__["client"] = stand_in
    cli.__dict__["operator"] = stand_in
    return cli, stand_in
