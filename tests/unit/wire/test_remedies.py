"""No refusal of the API leaves its reader without a remedy, and no remedy is for a refusal that is gone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.core import errors
from dragons.core.vocabulary import Reason
from dragons.wire.remedies import REMEDIES, remedy_of
from tests.tidy.project import SRC, relative, source_files, tree_of

# What runs in the control plane; measuring and verifying run elsewhere.
ROOMS = {"api", "control", "wire", "authority", "evidence", "identity", "liveness", "core"}
ELSEWHERE = {SRC / "identity" / "measure.py"}
STORE = SRC / "adapters" / "sql"
SELECTING = SRC / "audit" / "select.py"
REASONS = {reason.value for reason in Reason}


def serving_files() -> list[Path]:
    return [
        path
        for path in source_files()
        if path not in ELSEWHERE
        and (path.relative_to(SRC).parts[0] in ROOMS or path.is_relative_to(STORE) or path == SELECTING)
    ]


def bare_codes(tree: ast.Module) -> Iterator[str]:
    """The codes of errors that are raised without a remedy of their own; a dynamic one is a Reason's."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if not node.func.id.endswith("Error") or any(one.arg == "fix" for one in node.keywords):
            continue
        kind = getattr(errors, node.func.id, None)
        if kind is None and node.func.id not in {"LimitError", "TooLargeError"}:
            continue
        if isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


@pytest.mark.parametrize("path", serving_files(), ids=relative)
def test_every_error_names_its_remedy(path: Path) -> None:
    assert not {code for code in bare_codes(tree_of(path)) if code not in REMEDIES}


def test_every_reason_of_a_denial_has_a_remedy() -> None:
    assert set(REMEDIES) >= REASONS


def test_no_remedy_is_for_nothing() -> None:
    raised = {code for path in serving_files() for code in bare_codes(tree_of(path))}
    assert not set(REMEDIES) - REASONS - raised


def test_a_remedy_is_a_sentence() -> None:
    assert not {code: fix for code, fix in REMEDIES.items() if not fix.endswith((".", "`")) or fix[0] == " "}


def test_an_errors_own_remedy_wins() -> None:
    assert remedy_of(errors.NotFoundError("receipt_missing", "m", fix="Do this.")) == "Do this."
    assert remedy_of(errors.NotFoundError("receipt_missing", "m")) == REMEDIES["receipt_missing"]
    assert remedy_of(errors.NotFoundError("of_no_table", "m")) == ""


def test_the_check_sees_a_code_without_a_remedy() -> None:
    tree = ast.parse(
        'raise NotFoundError("a", "m")\nraise ConflictError("b", "m", fix="f")\nraise ValueError("c")'
    )
    assert list(bare_codes(tree)) == ["a"]
