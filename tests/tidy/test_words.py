"""No file names the place where it was written."""

from __future__ import annotations

import pytest

from tests.tidy.project import problems_in, project_files, relative, text_of
from tests.tidy.words import forbidden_words


def test_no_forbidden_words() -> None:
    assert not problems_in(project_files(), lambda path: forbidden_words(relative(path)))
    assert not problems_in(project_files(), lambda path: forbidden_words(text_of(path)))


# --- the check itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        ("/ho", "me/someone/dragons"),
        ("/ro", "ot/.cache"),
        ("cd /wo", "rk/main"),
        ("see ../sha", "red/notes.md"),
        ("see sha", "red/notes.md"),
        ("fixes iss", "ue 12"),
        ("a change (#", "12)"),
        ("https://py", "pi.org/simple"),
        ("at our work", "place"),
    ],
)
def test_forbidden_words_are_found(parts: tuple[str, str]) -> None:
    assert len(forbidden_words("fine\n" + "".join(parts))) == 1


@pytest.mark.parametrize(
    "line",
    ["../shared/vectors", "the issuer signs", "rework/this", "/workspace/in", "~/.dragons", "# 12 issues"],
)
def test_other_words_are_left_alone(line: str) -> None:
    assert not forbidden_words(line)
