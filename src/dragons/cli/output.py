"""What commands print: tables for people, one JSON document for machines.

With `-o json` standard output carries exactly the machine values, nothing else; notes and progress
always go to standard error. Colour only on a terminal and never against NO_COLOR. Piped tables are
never cut to a width.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

_PIPE_WIDTH = 10_000
# What one copies: an id, a version, a digest, a time.
_WHOLE = re.compile(r"[a-z]{3}_[0-9a-f]+…?|[a-z0-9-]+@v\d+|[0-9a-f]{16,64}…?|\d{4}-\d{2}-\d{2} [\d:]+Z")
_REPLACED = {"\n": " ", "\t": " "}


class Format(StrEnum):
    """The values of `-o`."""

    TABLE = "table"
    JSON = "json"


class Printer:
    """Prints a command's data in the chosen format."""

    def __init__(self, wanted: Format) -> None:
        self.format = wanted

    @property
    def as_json(self) -> bool:
        return self.format is Format.JSON

    def data(self, value: object, human: Callable[[], RenderableType]) -> None:
        """Print `value` as JSON, or what `human` renders."""
        if self.as_json:
            write_json(value)
        else:
            show(human())

    def rows(
        self, value: object, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str
    ) -> None:
        """Print a listing; `empty` is the sentence for a listing without entries."""
        if self.as_json:
            write_json(value)
            return
        found = list(rows)
        if found:
            show(table(columns, found))
        else:
            self.note(empty)

    def facts(self, value: object, facts: Iterable[tuple[str, object]]) -> None:
        """Print one thing: JSON, or a name and a value per line."""
        self.data(value, lambda: fact_list(facts))

    def note(self, text: str) -> None:
        """A remark for a person; silent where a machine reads."""
        if not self.as_json:
            console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int], None]]:
        """A counter on standard error, shown on a terminal only."""
        if not sys.stderr.isatty() or self.as_json:
            yield lambda _: None
            return
        with console(stderr=True).status(what) as status:
            yield lambda count: status.update(f"{what}: {count:,}")


def write_json(value: object) -> None:
    """`value` as one JSON document with a newline; indented for a person at a terminal."""
    data = msgspec.json.encode(value)
    if sys.stdout.isatty():
        data = msgspec.json.format(data, indent=2)
    sys.stdout.write(data.decode() + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """A rich console on the present streams; it honours NO_COLOR and plain pipes itself."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Print on standard output. What can't be folded runs on past a narrow terminal's edge instead of being cut."""
    target = console()
    needed = Measurement.get(target, target.options, renderable).minimum
    target.width = max(target.width, needed)
    target.print(renderable, crop=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> RenderableType:
    """A table without a frame, so that its lines can be cut and counted. Names and times are never folded."""
    cells = [[plain(value) for value in row] for row in rows]
    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for place, column in enumerate(columns):
        whole = [len(row[place]) for row in cells if _WHOLE.fullmatch(row[place])]
        result.add_column(column.upper(), overflow="fold", min_width=max(whole, default=None))
    for row in cells:
        result.add_row(*(Text(cell) for cell in row))
    return result


def fact_list(facts: Iterable[tuple[str, object]]) -> RenderableType:
    """Names and values in two columns."""
    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    result.add_column(style="dim", no_wrap=True)
    result.add_column(overflow="fold")
    for name, value in facts:
        result.add_row(Text(name), Text(plain(value) if name else ""))
    return result


def plain(value: Any) -> str:  # noqa: ANN401 - any cell
    """A cell's text: lists joined as scopes are, nothing as a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return safe(" · ".join(str(item) for item in value)) or "-"
    return "-" if value is None or value == "" else safe(str(value))


def safe(text: str) -> str:
    """`text` on one line, without anything that could steer a terminal or reorder what is read."""
    return "".join(char if char.isprintable() else _REPLACED.get(char, "\ufffd") for char in text)
