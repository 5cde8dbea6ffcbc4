"""The import contracts name packages that exist, so none of them holds by being empty."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.tidy.project import SRC, pyproject


def packages_in(contract: dict[str, Any]) -> set[str]:
    """The packages of `dragons` that a contract names."""
    named = [*contract.get("source_modules", ()), *contract.get("forbidden_modules", ())]
    inside = {name.split(".")[1] for name in named if name.startswith("dragons.")}
    return inside | set(re.findall(r"\w+", " ".join(contract.get("layers", ()))))


def absent(contract: dict[str, Any]) -> list[str]:
    return sorted(
        name
        for name in packages_in(contract)
        if not (SRC / name / "__init__.py").is_file() and not (SRC / f"{name}.py").is_file()
    )


@pytest.mark.parametrize("contract", pyproject()["tool"]["importlinter"]["contracts"], ids=lambda c: c["id"])
def test_contract_names_existing_packages(contract: dict[str, Any]) -> None:
    assert not absent(contract)


# --- the check itself ----------------------------------------------------------------------------


def test_absent_packages_are_found() -> None:
    assert absent({"layers": ["(nowhere) | (core)"]}) == ["nowhere"]
    assert absent({"source_modules": ["dragons.elsewhere.**"], "forbidden_modules": ["ssl"]}) == ["elsewhere"]
