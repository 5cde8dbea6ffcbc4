"""Checks of one module's form. Each takes a syntax tree or a text and returns what is wrong with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

FUNCTION_LINES_MAX = 60

_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b|\bpass\s*#\s*stub")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def long_functions(tree: ast.Module) -> list[str]:
    """Functions longer than the limit, from `def` to their last line."""
    return [
        f"line {node.lineno}: {node.name} has {length} lines, the limit is {FUNCTION_LINES_MAX}"
        for node in ast.walk(tree)
        if isinstance(node, Function)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def missing_docstring(tree: ast.Module) -> list[str]:
    return [] if ast.get_docstring(tree) else ["the module has no docstring"]


def beyond_reexports(tree: ast.Module) -> list[str]:
    """What an `__init__.py` holds besides its docstring, imports, `__all__` and `__version__`."""
    allowed = {"__all__", "__version__"}
    problems = []
    for index, node in enumerate(tree.body):
        docstring = index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if all(isinstance(target, ast.Name) and target.id in allowed for target in targets):
                continue
        problems.append(f"line {node.lineno}: more than a docstring and re-exports")
    return problems


def unfinished(text: str) -> list[str]:
    """Marks of work that was put off."""
    return [
        f"line {number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for match in _UNFINISHED.finditer(line)
    ]


def empty_functions(tree: ast.Module) -> list[str]:
    """Functions without a body that are neither a protocol's, abstract nor an overload."""
    return [
        f"line {node.lineno}: {node.name} has no body"
        for node, declared in _functions(tree, declared=False)
        if not declared and _is_empty(node)
    ]


def runs_nothing(tree: ast.Module) -> bool:
    """True for a module that holds declarations only: re-exports, constants, fields, protocols."""
    return all(_is_empty(node) for node, _ in _functions(tree, declared=False))


def _functions(parent: ast.AST, *, declared: bool) -> Iterator[tuple[Function, bool]]:
    """Each function, and whether its place excuses it from having a body."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, Function):
            names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
            excused = declared or bool(names & {"abstractmethod", "overload"})
            yield node, excused
            yield from _functions(node, declared=excused)
        elif isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}
            yield from _functions(node, declared="Protocol" in bases)
        else:
            yield from _functions(node, declared=declared)


def _is_empty(node: Function) -> bool:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return all(
        isinstance(statement, ast.Pass)
        or (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and statement.value.value is ...
        )
        for statement in body
    )
