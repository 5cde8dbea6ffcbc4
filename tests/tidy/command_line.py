"""Checks a written `dragons …` command against the program's own definition of its commands."""

from __future__ import annotations

from typing import Any, Protocol


class Node(Protocol):
    """What this module needs of a click command; typer may bring a click of its own."""

    name: str | None
    params: list[Any]


def problem(root: Node, words: list[str]) -> str:
    """What is wrong with the command `dragons words…`; empty when nothing is."""
    node, path, given = root, "dragons", 0
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            return ""
        if word in {">", ">>", "<", "2>", "2>&1"}:
            break
        if word.startswith("-") and word != "-":
            option, _, value = word.partition("=")
            if option == "--help":
                continue
            parameter = _option(node, option)
            if parameter is None:
                return f"`{path}` has no option {option}"
            if not value and not parameter.is_flag and not parameter.count:
                for _ in range(parameter.nargs):
                    if next(remaining, None) is None:
                        return f"`{path}` lacks the value of {option}"
        elif _children(node) is not None:
            child = (_children(node) or {}).get(word)
            if child is None:
                return f"`{path}` has no command {word}"
            node, path = child, f"{path} {word}"
        else:
            given += 1
    return _count_problem(node, path, given, asks_help="--help" in words)


def _count_problem(node: Node, path: str, given: int, *, asks_help: bool) -> str:
    if asks_help or _children(node) is not None:
        return ""
    arguments = [p for p in node.params if p.param_type_name == "argument"]
    lowest = sum(max(p.nargs, 1) for p in arguments if p.required)
    highest = float("inf") if any(p.nargs < 0 for p in arguments) else sum(p.nargs for p in arguments)
    if not lowest <= given <= highest:
        return f"`{path}` takes {lowest} to {highest} arguments, not {given}"
    return ""


def _children(node: Node) -> dict[str, Node] | None:
    """The commands below a group; None for a command that has none."""
    return getattr(node, "commands", None)


def _option(node: Node, name: str) -> Any:
    for parameter in node.params:
        if parameter.param_type_name == "option" and name in (*parameter.opts, *parameter.secondary_opts):
            return parameter
    return None
