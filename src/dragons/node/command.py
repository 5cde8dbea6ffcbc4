"""Which file a command line runs, as far as its words tell.

Knows how Python and the shells take their options; of other interpreters only that a script may follow at
once. What it can't tell it calls unclear, and never guesses: then everything that the command names
counts as the program. Never runs anything.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dragons.core.errors import InvalidInputError
from dragons.identity.measure import DESCRIPTION_FILE

# Of a word in a message.
SHOWN_LENGTH_MAX = 200
_DESCRIBE = f"Describe the folder with {DESCRIPTION_FILE}, whose entrypoint may start it so, and use --dir."


class _Grammar(NamedTuple):
    """Option letters without a value, those with one, and long options without one."""

    flags: str = ""
    values: str = ""
    words: frozenset[str] = frozenset()


_PYTHON = _Grammar("bBdEiIOPqRsSuvx", "WX")
_SHELL = _Grammar("abefhikmnprtuvxBCEHPT", "oO", frozenset({"--login", "--noprofile", "--norc", "--posix"}))
_INTERPRETERS = (
    (re.compile(r"(?:python|pypy)[\d.]*"), _PYTHON),
    (re.compile(r"sh|ash|bash|dash|ksh|zsh"), _SHELL),
    (re.compile(r"(?:node|deno|bun|ruby|perl|php|lua|Rscript)[\d.]*"), _Grammar()),
)


def program_place(command: Sequence[str]) -> int | None:
    """Place of the word that names the one file which is the program; None when that is unclear.

    0 is a script that starts itself by `#!`. InvalidInputError when the code comes from where it can't
    be measured: standard input, a module's name, a folder, a missing file.
    """
    if "/" in command[0] and _is_script(own_file(command)):
        return 0
    grammar = _grammar(command[0])
    if grammar is None:
        return None
    place = _script(command, grammar)
    if isinstance(place, str):
        _refuse_hidden(command[0], place, grammar)
        return None
    if not is_file(Path(command[place])):
        raise InvalidInputError(
            "program_missing",
            f"{command[place][:SHOWN_LENGTH_MAX]} is no file.",
            fix=f"Name one. {_DESCRIBE}",
        )
    return place


def is_interpreter(command: Sequence[str]) -> bool:
    """True when it is known how the command takes its program."""
    return _grammar(command[0]) is not None


def script_place(command: Sequence[str]) -> int | None:
    """As `program_place` by the words alone: place of an interpreter's script, whether or not it is there."""
    grammar = _grammar(command[0])
    place = None if grammar is None else _script(command, grammar)
    return place if isinstance(place, int) else None


def waits_for_code(command: Sequence[str]) -> bool:
    """True when an interpreter is not told what to run: its input, or further words, would tell it."""
    grammar = _grammar(command[0])
    if grammar is None:
        return False
    option = _script(command, grammar)
    return option == "-" or option == command[-1]


def own_file(command: Sequence[str]) -> Path:
    """The file of the command's first word, looked up as it will be when it is started."""
    found = shutil.which(command[0])
    if found is None:
        raise InvalidInputError(
            "program_missing", f"There is no program {command[0]!r}.", fix="Check the name and the PATH."
        )
    return Path(found).resolve()


def named_files(command: Sequence[str]) -> list[Path]:
    """The files that the words after the first name."""
    return [Path(word).resolve() for word in command[1:] if is_file(Path(word))]


def is_file(path: Path) -> bool:
    """As `Path.is_file`, also for words that are too long to be the name of one."""
    try:
        return path.is_file()
    except OSError:
        return False


def _grammar(word: str) -> _Grammar | None:
    name = Path(word).name
    return next((grammar for pattern, grammar in _INTERPRETERS if pattern.fullmatch(name)), None)


def _script(command: Sequence[str], grammar: _Grammar) -> int | str:
    """Place of the first word that is no option and no option's value, else the option that ends the search."""
    place = 1
    while place < len(command):
        word = command[place]
        if word == "--":
            place += 1
            break
        if word[:1] not in {"-", "+"}:
            break
        taken = 1 if word in grammar.words else _taken(word, grammar)
        if not taken:
            return word
        place += taken
    return place if place < len(command) else "-"


def _taken(word: str, grammar: _Grammar) -> int:
    """How many words an option takes, itself included; 0 when it is not known."""
    letters = word[1:]
    for at, letter in enumerate(letters, start=1):
        if letter in grammar.values:
            return 2 if at == len(letters) else 1
        if letter not in grammar.flags:
            return 0
    return 1 if letters else 0


def _refuse_hidden(name: str, option: str, grammar: _Grammar) -> None:
    """An interpreter without a script runs what it is told, but not what nobody can see before it starts."""
    letter = option[1:].lstrip(grammar.flags)[:1]
    if grammar is _PYTHON and letter == "m":
        raise InvalidInputError(
            "program_unmeasured",
            f"{name} -m looks its module up when it starts, so it can't be measured.",
            fix=f"Name the module's file. {_DESCRIBE}",
        )
    if option == "-" or (grammar is _SHELL and letter == "s"):
        raise InvalidInputError(
            "program_unmeasured",
            f"{name} would run what it reads from its input, which can't be measured.",
            fix="Name the script's file.",
        )


def _is_script(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(2) == b"#!"
