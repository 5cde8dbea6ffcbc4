"""The project as files: what the tidy checks read."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "dragons"

# What a reader expects at the top of the repository.
REQUIRED_DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "THREAT_MODEL.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
)

# Environments, caches, build results and the work tree's own records, as in .gitignore.
_LEFT_BEHIND = re.compile(
    r"\.git|\.venv.*|\..*_cache|\.hypothesis|\.dragons|dragons-demo|__pycache__|node_modules|build|dist|.*\.egg-info"
)
_TARGET = re.compile(r"^([a-z][a-z-]*):(?!=)", re.MULTILINE)


def relative(path: Path) -> str:
    """`path` as it is written in a message."""
    return path.relative_to(ROOT).as_posix()


def problems_in(paths: Iterable[Path], check: Callable[[Path], list[str]]) -> list[str]:
    """What `check` finds in all files together, so that one run shows everything."""
    return [f"{relative(path)}: {problem}" for path in paths for problem in check(path)]


def text_of(path: Path) -> str:
    """The file's text; empty for a binary file."""
    data = path.read_bytes()
    return "" if b"\0" in data else data.decode("utf-8")


@cache
def source_files() -> tuple[Path, ...]:
    """Every Python file of the package."""
    return tuple(sorted(SRC.rglob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=relative(path))


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project; what tools leave behind is not the project's."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not _LEFT_BEHIND.fullmatch(name)]
        found += [Path(folder) / name for name in names if not _LEFT_BEHIND.fullmatch(name)]
    return tuple(sorted(found))


@cache
def documents() -> tuple[Path, ...]:
    """Every Markdown file of the project."""
    return tuple(path for path in project_files() if path.suffix == ".md")


@cache
def make_targets() -> frozenset[str]:
    return frozenset(_TARGET.findall((ROOT / "Makefile").read_text("utf-8")))


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
