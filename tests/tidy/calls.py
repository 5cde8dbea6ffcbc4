"""Finds where a module reads a clock or draws random bytes, under whatever name it imported them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """Names that only some modules may use. A name that ends with a dot covers everything below it.

    `allowed` maps a module's path to the reason why it may.
    """

    what: str
    names: tuple[str, ...]
    allowed: Mapping[str, str]
    harmless: frozenset[str] = field(default=frozenset())

    def covers(self, name: str) -> bool:
        """True when `name` is one of the rule's names."""
        if name in self.harmless:
            return False
        return any(name.startswith(n) if n.endswith(".") else name == n for n in self.names)


CLOCK = Rule(
    what="reads a clock",
    names=(
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "time.clock_gettime",
        "time.clock_gettime_ns",
        "time.ctime",
        "time.gmtime",
        "time.localtime",
        "time.monotonic",
        "time.monotonic_ns",
        "time.process_time",
        "time.process_time_ns",
        "time.time",
        "time.time_ns",
    ),
    allowed={"core/clock.py": "the one clock; everything else takes time as an argument"},
)

STOPWATCH = Rule(
    what="measures its own speed",
    names=("time.perf_counter", "time.perf_counter_ns"),
    allowed={"cli/bench.py": "measuring is its purpose"},
)

RANDOM = Rule(
    what="draws random bytes",
    names=(
        "cryptography.hazmat.primitives.asymmetric.ed25519.Ed25519PrivateKey.generate",
        "os.getrandom",
        "os.urandom",
        "random.",
        "secrets.",
        "uuid.",
        "uuid_utils.",
    ),
    allowed={
        "core/ids.py": "names hold random bits",
        "core/keys.py": "keys are random",
        "evidence/payload.py": "a commitment needs a fresh salt",
    },
    harmless=frozenset({"secrets.compare_digest"}),
)

RULES = (CLOCK, STOPWATCH, RANDOM)


def uses(tree: ast.Module, rule: Rule) -> list[str]:
    """Each use of the rule's names, also where the function is only handed on."""
    return [f"line {line}: {name} {rule.what}" for line, name in _names(tree) if rule.covers(name)]


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that was imported, or is reached through an import, in full."""
    imported = _imports(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            head, _, rest = _dotted(node).partition(".")
            if head in imported:
                yield node.lineno, imported[head] + (f".{rest}" if rest else "")


def _imports(tree: ast.Module) -> dict[str, str]:
    """Local name → full name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names; empty for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
