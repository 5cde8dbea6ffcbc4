"""The code stays short, documented and finished."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tidy import shape
from tests.tidy.project import SRC, problems_in, relative, source_files, text_of, tree_of

FILE_LINES_MAX = 600
FILE_LINES_P90_MAX = 400
FILE_LINES_MEDIAN_MAX = 150

NUL = "\n"


def sizes(files: list[Path]) -> list[int]:
    return [len(text_of(path).splitlines()) for path in files]


def too_long(lengths: list[int]) -> list[str]:
    """What the limits on file length say about these lengths."""
    median, p90 = statistics.median(lengths), statistics.quantiles(lengths, n=10)[-1]
    problems = []
    if max(lengths) > FILE_LINES_MAX:
        problems.append(f"the longest file has {max(lengths)} lines, the limit is {FILE_LINES_MAX}")
    if p90 > FILE_LINES_P90_MAX:
        problems.append(f"nine of ten files have up to {p90} lines, the limit is {FILE_LINES_P90_MAX}")
    if median > FILE_LINES_MEDIAN_MAX:
        problems.append(f"the median file has {median} lines, the limit is {FILE_LINES_MEDIAN_MAX}")
    return problems


def test_files_are_short() -> None:
    # Files that only re-export would pull the median down without being read.
    lengths = sizes([path for path in source_files() if path.name != "__init__.py"])
    assert not too_long(lengths)


def test_functions_are_short() -> None:
    assert not problems_in(source_files(), lambda path: shape.long_functions(tree_of(path)))


def test_every_module_says_what_it_is() -> None:
    assert not problems_in(source_files(), lambda path: shape.missing_docstring(tree_of(path)))


def test_nothing_is_put_off() -> None:
    assert not problems_in(source_files(), lambda path: shape.unfinished(text_of(path)))
    assert not problems_in(source_files(), lambda path: shape.empty_functions(tree_of(path)))


def test_init_files_only_reexport() -> None:
    inits = [path for path in source_files() if path.name == "__init__.py"]
    assert not problems_in(inits, lambda path: shape.beyond_reexports(tree_of(path)))


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in source_files()}
    assert not sorted(relative(folder) for folder in folders if not (folder / "__init__.py").is_file())
    assert SRC in folders


# --- the checks themselves -----------------------------------------------------------------------

LONG = "def f():\n" + "    x = 1\n" * 60
SHORT = "def f():\n" + "    x = 1\n" * 59

Check = Callable[[ast.Module], list[str]]


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (shape.long_functions, LONG, SHORT),
        (shape.long_functions, "class A:\n    async " + LONG.replace(NUL, NUL + "    ").strip(), SHORT),
        (shape.missing_docstring, "x = 1", '"""Says what it is."""'),
        (shape.beyond_reexports, '"""D."""\nx = 1', '"""D."""\nfrom a import b\n__all__ = ["b"]'),
        (shape.beyond_reexports, '"""D."""\ndef f(): return 1', '"""D."""\n__version__ = "1"'),
        (shape.empty_functions, "def f(): ...", "def f(): return 1"),
        (shape.empty_functions, "def f():\n    'D.'\n    pass", "class P(Protocol):\n    def f(self): ..."),
        (
            shape.empty_functions,
            "class A:\n    def f(self): pass",
            "class P(Protocol[T]):\n    def f(self): ...",
        ),
        (shape.empty_functions, "@cache\ndef f(): ...", "@abc.abstractmethod\ndef f(): ..."),
    ],
)
def test_checks_tell_bad_from_good(check: Check, bad: str, good: str) -> None:
    assert check(ast.parse(bad))
    assert not check(ast.parse(good))


@pytest.mark.parametrize(
    "line", ["x = 1  # TODO later", "# FIXME", "XXX", "raise NotImplementedError", "pass  # stub"]
)
def test_unfinished_work_is_found(line: str) -> None:
    assert shape.unfinished("x = 1\n" + line) == [f"line 2: {shape.unfinished(line)[0].split(': ')[1]}"]
    assert not shape.unfinished("todos = []\npass")


@pytest.mark.parametrize("lengths", [[10] * 20 + [601], [100] * 8 + [401] * 4, [151] * 9])
def test_long_files_are_found(lengths: list[int]) -> None:
    assert len(too_long(lengths)) == 1
    assert not too_long([150, 150, 150])
