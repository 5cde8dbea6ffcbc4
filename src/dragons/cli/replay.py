"""`dragons packs replay`: what happened, told from the pack: goal → action → evidence → outcome.

A story is only told of a pack that was judged first, and the verdict comes with it. Where the pack
can't be read on, the story says so and ends; it is never completed by guessing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.cli.output import console, show
from dragons.cli.verify import PackArgument, RootOption, WorkersOption, judge, report_view
from dragons.core.errors import InvalidInputError

BROKEN = "broken"


def replay(
    cli: Cli,
    *,
    pack: PackArgument,
    root: RootOption = None,
    workers: WorkersOption = None,
) -> int:
    """Verify a pack offline, then tell what happened: goal → action → evidence → outcome."""
    report = judge(cli, pack, root, witness=[], witnesses=0, require_payloads=False, workers=workers)
    if cli.printer.as_json:
        cli.printer.data({"report": report.to_json(), "events": list(events_of(pack))}, str)
    else:
        tell_replay(pack)
        show(report_view(report))
    return Exit.OK if report.valid else Exit.NO


def events_of(pack: Path) -> Iterator[dict[str, Any]]:
    """The events of the pack; the last one is `broken` where it can't be read on."""
    from dragons.audit.replay import replay_file

    try:
        yield from replay_file(pack)
    except InvalidInputError as error:
        yield {"event": BROKEN, "code": error.code, "detail": error.message}


def tell_replay(pack: Path) -> None:
    """Print the story on standard output."""
    from dragons.audit.replay import tell

    target = console()
    broken: dict[str, Any] = {}

    def readable() -> Iterator[dict[str, Any]]:
        for event in events_of(pack):
            if event["event"] == BROKEN:
                broken.update(event)
            else:
                yield event

    for line in tell(readable()):
        target.print(line, markup=False, highlight=False, soft_wrap=True)
    if broken:
        text = f"\nThe story ends here: {broken['detail']} [{broken['code']}]"
        target.print(text, markup=False, highlight=False, soft_wrap=True)
    target.print()
