"""Every source file and benchmark that runs something has its unit test in the same place under tests/unit."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tidy.project import ROOT, SRC, relative, source_files, tree_of
from tests.tidy.shape import runs_nothing

UNIT = ROOT / "tests" / "unit"
BENCH = ROOT / "bench"


def needs_test(path: Path) -> bool:
    return path.name != "__init__.py" and not runs_nothing(tree_of(path))


def mirrored_files() -> list[Path]:
    return [*source_files(), *sorted(BENCH.glob("*.py"))]


def mirror_of(path: Path) -> Path:
    folder = path.parent.relative_to(ROOT if path.is_relative_to(BENCH) else SRC)
    return UNIT / folder / f"test_{path.stem.strip('_')}.py"


def test_source_files_have_their_tests() -> None:
    expected = [mirror_of(path) for path in mirrored_files() if needs_test(path)]
    assert not [relative(path) for path in expected if not path.is_file()]


def test_unit_tests_belong_to_a_source_file() -> None:
    # A long subject may have several files: test_keys.py, test_keys_rotation.py.
    expected = [mirror_of(path).with_suffix("").as_posix() for path in mirrored_files()]
    assert not [
        relative(path)
        for path in sorted(UNIT.rglob("test_*.py"))
        if not any(f"{path.with_suffix('').as_posix()}_".startswith(f"{name}_") for name in expected)
    ]


# --- the check itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("from a import b", True),
        ("LIMIT = 3", True),
        ("class A(Struct):\n    x: int", True),
        ("class P(Protocol):\n    def f(self): ...", True),
        ("def f():\n    return 1", False),
        ("class A:\n    @property\n    def f(self):\n        return 1", False),
    ],
)
def test_declarations_run_nothing(text: str, *, data: bool) -> None:
    assert runs_nothing(ast.parse(text)) is data


def test_the_mirror_names_the_same_place() -> None:
    assert relative(mirror_of(SRC / "core" / "keys.py")) == "tests/unit/core/test_keys.py"
    assert relative(mirror_of(SRC / "settings.py")) == "tests/unit/test_settings.py"
    assert relative(mirror_of(BENCH / "append.py")) == "tests/unit/bench/test_append.py"
