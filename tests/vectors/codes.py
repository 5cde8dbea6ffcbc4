"""Every code that a verdict can give, read out of the verifier's source: what has no vector shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from dragons.core.vocabulary import Reason
from tests.tidy.project import SRC

# What judges. `authority.lease` has the rules that issuing and judging share.
MODULES = (
    *(f"audit/{name}.py" for name in (
        "claims", "closing", "dispatches", "fitting", "governance", "leases", "mandate", "organisms", "origins", "redaction", "selection", "sessions", "trust",
        "verify",
    )),
    "authority/lease.py",
    "liveness/dispatch.py",
)  # fmt: skip
_CODE = re.compile(r"([a-z]+(?:_[a-z]+)*): ")


def all_codes() -> set[str]:
    """The codes that the verifier's source names."""
    return {code for name in MODULES for node in ast.walk(_tree(name)) for code in _codes_in(node)}


def _tree(name: str) -> ast.Module:
    return ast.parse((SRC / name).read_text())


def _codes_in(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id="Fault"), args=[ast.Constant(value=str(code)), *_]):
            yield code
        case ast.Tuple(elts=[ast.Attribute(value=ast.Name(id="Question")), ast.Constant(value=str(code)), _]):
            yield code
        case ast.Attribute(value=ast.Name(id="Reason"), attr=name):
            yield Reason[name].value
        case ast.Return(value=ast.Constant(value=str(text))) if found := _CODE.match(text):
            yield found[1]
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]) if found := _CODE.match(text):
            yield found[1]
