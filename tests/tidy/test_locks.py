"""The lock files pin everything by hash, name no address and agree with pyproject.toml."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.tidy.project import ROOT, pyproject

LOCKS = {"base": (), "dev": ("control", "dev", "build"), "bench": ("control", "bench", "build")}

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_ADDRESS = re.compile(r"\w+://|\bfile:|^-|\s@\s", re.MULTILINE)

all_locks = pytest.mark.parametrize("name", LOCKS)


def read(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")


def pins(text: str) -> dict[str, Version]:
    """Distribution → version."""
    found = (_PIN.match(line) for line in text.splitlines())
    return {canonicalize_name(match[1]): Version(match[2]) for match in found if match}


def problems(text: str) -> list[str]:
    """What a lock file must not hold, or lacks."""
    blocks = re.split(r"^(?=\S)", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    blocks = [block for block in blocks if block.strip()]
    found = [f"an address: {match[0]}" for match in _ADDRESS.finditer(text)]
    found += [f"not pinned: {block.splitlines()[0]}" for block in blocks if not _PIN.match(block)]
    found += [f"without a hash: {block.splitlines()[0]}" for block in blocks if not _HASH.search(block)]
    return found


def declared(extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for, apart from the package's own extras."""
    project = pyproject()["project"]
    texts = [*project["dependencies"]]
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    return [r for text in texts if (r := Requirement(text)).name != project["name"]]


@all_locks
def test_lock_is_hashed_and_without_addresses(name: str) -> None:
    assert not problems(read(name))


@all_locks
def test_lock_holds_what_is_declared(name: str) -> None:
    locked = pins(read(name))
    wrong = [
        str(requirement)
        for requirement in declared(LOCKS[name])
        if (version := locked.get(canonicalize_name(requirement.name))) is None
        or version not in requirement.specifier
    ]
    assert not wrong, "run `make lock`"


def test_users_and_tests_have_the_same_versions() -> None:
    base, dev = pins(read("base")), pins(read("dev"))
    assert not [name for name, version in base.items() if dev.get(name) != version]


# --- the check itself ----------------------------------------------------------------------------

GOOD = f"a==1 \\\n    --hash=sha256:{'0' * 64}\n    # via b\n"


@pytest.mark.parametrize(
    "bad",
    [
        GOOD + "b==1\n",
        GOOD.replace("a==1", "a>=1"),
        GOOD + "    # from https://example.org/a.whl\n",
        "--index-url https://example.org\n" + GOOD,
        GOOD.replace("a==1", "a @ file:///tmp/a.whl"),
    ],
)
def test_bad_locks_are_found(bad: str) -> None:
    assert problems(bad)
    assert not problems(GOOD)
