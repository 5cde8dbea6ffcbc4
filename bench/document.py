"""Puts the figures of a run between two marks of a document, and leaves the rest as it is."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- figures: written by `python -m bench --write` -->"
END = "<!-- end -->"


class MarkError(ValueError):
    """The document has no place for the figures, or more than one."""


def placed(document: str, figures: str) -> str:
    """`document` with `figures` between its marks; MarkError when they are not there exactly once, in order."""
    if document.count(BEGIN) != 1:
        raise MarkError(f"Put this line where the figures belong, once: {BEGIN}")
    before, _, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise MarkError(f"Put this line behind the figures: {END}")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


def check(path: Path) -> None:
    """MarkError or OSError when figures could not be written to `path` later."""
    placed(path.read_text("utf-8"), "")


def write(path: Path, figures: str) -> None:
    """Replace what is between the marks of the file."""
    path.write_text(placed(path.read_text("utf-8"), figures), "utf-8")
