"""Reads Markdown: its commands, its links, the files and the symbols it names."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.project import ROOT, make_targets

_FENCE = re.compile(
    r"^(?P<fence>```+)(?P<kind>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ ]*$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\((?P<target>[^)\s]+)\)|!\[[^\]\n]*\]\((?P<image>[^)\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$", re.MULTILINE)
_SYMBOL = re.compile(r"dragons(?:\.[A-Za-z_]\w*)+")
_FILE_SUFFIX = re.compile(r"\.(?:db|json|jsonl|md|pem|py|socket|service|toml|yaml|yml)$")
_OPERATORS = {"|", "||", "&&", ";", "&"}

# A name in backticks that begins with one of these is a path in the repository.
_TOP = (
    "src/",
    "tests/",
    "examples/",
    "bench/",
    "spec/",
    "docs/",
    "deploy/",
    "scripts/",
    "requirements/",
    ".ci/",
)
_ROOT_FILE = re.compile(r"[A-Z_]+\.md|Makefile|LICENSE|pyproject\.toml")

SHELL = frozenset({"sh", "bash", "shell", "console"})


def shell_lines(text: str) -> Iterator[str]:
    """The commands in blocks marked as shell, continued lines joined, prompts removed."""
    for match in _FENCE.finditer(text):
        if match["kind"].strip() in SHELL:
            for line in match["body"].replace("\\\n", " ").splitlines():
                yield line.strip().removeprefix("$ ")


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of one shell line, each as words, without assignments before it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a line of output with an apostrophe, or the inside of a here-document
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if word in _OPERATORS:
            if command:
                yield command
            command = []
        elif command or not re.fullmatch(r"[A-Za-z_]\w*=.*|sudo|env", word):
            command.append(word)


def commands_of(program: str, text: str) -> list[list[str]]:
    """The arguments of every call of `program`, in shell blocks and in backticks."""
    lines = [*shell_lines(text), *(code for code in _CODE.findall(prose(text)))]
    return [
        command[1:]
        for line in lines
        for command in commands(line)
        if command[0].rpartition("/")[2] == program and len(command) > 1
    ]


def unknown_targets(text: str) -> list[str]:
    """Targets of `make` that the Makefile doesn't have."""
    named = [word for words in commands_of("make", text) for word in words]
    return sorted({word for word in named if re.fullmatch(r"[a-z][a-z-]*", word)} - make_targets())


def broken_links(path: Path, text: str) -> list[str]:
    """Links inside the repository that lead nowhere."""
    found = []
    for match in _LINK.finditer(prose(text)):
        target = match["target"] or match["image"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (ROOT / name.lstrip("/") if name.startswith("/") else path.parent / name) if name else path
        if not place.exists():
            found.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(text if place == path else place.read_text("utf-8")):
            found.append(f"{target}: no such heading")
    return found


def missing_files(text: str) -> list[str]:
    """Paths in backticks that the repository doesn't have. A `*` stands for any name."""
    names = {code.removeprefix("./").split("::")[0] for code in _CODE.findall(prose(text))}
    paths = {
        name
        for name in names
        if (name.startswith(_TOP) or _ROOT_FILE.fullmatch(name)) and not re.search(r"[\s<>…{}]", name)
    }
    return sorted(name for name in paths if not any(ROOT.glob(name.rstrip("/"))))


def unresolved_symbols(text: str) -> list[str]:
    """Names such as `dragons.core.keys` in backticks that can't be imported."""
    codes = (code for code in _CODE.findall(prose(text)) if not _FILE_SUFFIX.search(code))
    matches = (_SYMBOL.match(code) for code in codes)
    return sorted(name for name in {match[0] for match in matches if match} if not resolves(name))


def resolves(name: str) -> bool:
    """True when `name` is a module, or an attribute reached from one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        try:
            found: object = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and module.startswith(error.name):
                continue
            raise  # the module is there but needs something that isn't
        for attribute in parts[end:]:
            fields = getattr(found, "__annotations__", {})
            if not hasattr(found, attribute) and attribute not in fields:
                return False
            found = getattr(found, attribute, None)
        return True
    return False


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of the headings."""
    titles = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in titles}


def prose(text: str) -> str:
    """The document without its code blocks."""
    return _FENCE.sub("", text)
