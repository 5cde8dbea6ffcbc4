"""The documents exist, and what they say can be typed, followed and imported."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import typer

from tests.tidy import documents as check
from tests.tidy.command_line import Node, problem
from tests.tidy.project import (
    REQUIRED_DOCUMENTS,
    ROOT,
    documents,
    make_targets,
    problems_in,
    pyproject,
    text_of,
)


@pytest.fixture(scope="module")
def program() -> Node:
    """The command line as its own library describes it."""
    return typer.main.get_command(importlib.import_module("dragons.cli.main").app)


@pytest.mark.parametrize("name", REQUIRED_DOCUMENTS)
def test_document_exists(name: str) -> None:
    path = ROOT / name
    assert path.is_file(), f"{name} is missing"
    assert path.read_text("utf-8").startswith("# ")


def test_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_readme_shows_the_program() -> None:
    calls = check.commands_of("dragons", (ROOT / "README.md").read_text("utf-8"))
    assert calls


def test_commands_exist(program: Node) -> None:
    def wrong(path: Path) -> list[str]:
        calls = check.commands_of("dragons", text_of(path))
        return [f"dragons {' '.join(words)}: {p}" for words in calls if (p := problem(program, words))]

    assert not problems_in(documents(), wrong)


def test_make_targets_exist() -> None:
    assert not problems_in(documents(), lambda path: check.unknown_targets(text_of(path)))


def test_links_lead_somewhere() -> None:
    assert not problems_in(documents(), lambda path: check.broken_links(path, text_of(path)))


def test_named_files_exist() -> None:
    assert not problems_in(documents(), lambda path: check.missing_files(text_of(path)))


def test_symbols_resolve() -> None:
    assert not problems_in(documents(), lambda path: check.unresolved_symbols(text_of(path)))


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    assert not [
        target for target in make_targets() if f"\n{target}:" not in text or f".PHONY: {target}\n" not in text
    ]
    assert {"help", "setup", "demo", "test", "test-deep", "bench", "check", "lock", "clean"} <= make_targets()


def test_version_is_one() -> None:
    assert importlib.import_module("dragons").__version__ == pyproject()["project"]["version"]


# --- the checks themselves -----------------------------------------------------------------------


def block(line: str) -> str:
    return f"text\n\n```sh\n{line}\n```\n"


@pytest.fixture(scope="module")
def sample() -> Node:
    """A small program to check commands against."""
    app, group = typer.Typer(), typer.Typer()

    @group.command()
    def add(name: str, count: int = 1, *, force: bool = False) -> None: ...

    @app.command()
    def up(*, port: int = 1) -> None: ...

    app.add_typer(group, name="agent")
    return typer.main.get_command(app)


@pytest.mark.parametrize(
    "line",
    [
        "dragons nothing",
        "dragons agent remove x",
        "dragons agent add",
        "dragons agent add x y",
        "dragons up --prot 3",
        "dragons up --port",
        "cd x && PORT=1 .venv/bin/dragons down",
        "dragons agent add x \\\n  --forec",
    ],
)
def test_wrong_commands_are_found(sample: Node, line: str) -> None:
    calls = check.commands_of("dragons", block(line))
    assert [problem(sample, words) for words in calls if problem(sample, words)]


@pytest.mark.parametrize(
    "line",
    [
        "dragons --help",
        "dragons up --port 3  # the usual port",
        "dragons up --port=3 &",
        "$ dragons agent add x --count 2 --force | tail",
        "dragons agent add --count 2 -- x",
        "dragons agent --help",
        "echo dragons nothing",
    ],
)
def test_right_commands_pass(sample: Node, line: str) -> None:
    calls = check.commands_of("dragons", block(line))
    assert not [problem(sample, words) for words in calls if problem(sample, words)]


def test_unknown_targets_are_found() -> None:
    assert check.unknown_targets(block("make nothing")) == ["nothing"]
    assert check.unknown_targets("Run `make nothing` now.") == ["nothing"]
    assert not check.unknown_targets(block("make test PYTHON=python3.12") + "We make progress.")


@pytest.mark.parametrize(
    "link", ["[a](nowhere.md)", "[a](README.md#no-such-heading)", "![a](none.png)", "[a](#none)"]
)
def test_broken_links_are_found(link: str) -> None:
    assert len(check.broken_links(ROOT / "README.md", f"# Title\n\n{link}\n")) == 1


@pytest.mark.parametrize(
    "link", ["[a](LICENSE)", "[a](https://example.org)", "[a](#a-title)", "`[a](nowhere.md)`[a](src)"]
)
def test_good_links_pass(link: str) -> None:
    text = f"# A `title`\n\n{link.replace('`[a](nowhere.md)`', '')}\n"
    assert not check.broken_links(ROOT / "README.md", text)


def test_missing_files_are_found() -> None:
    text = "`src/dragons/none.py` `NONE.md` `src/dragons/core/*.py` `LICENSE` `tests/<same path>` `a/b`"
    assert check.missing_files(text) == ["NONE.md", "src/dragons/none.py"]


def test_unresolved_symbols_are_found() -> None:
    text = (
        "`dragons.core.keys` `dragons.core.ids.new_id()` `dragons.core.none` `dragons.none.f` `dragons.toml`"
    )
    assert check.unresolved_symbols(text) == ["dragons.core.none", "dragons.none.f"]
