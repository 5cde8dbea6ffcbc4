"""Operators come, change their keys and go: each gets a token with the key alone, and loses it with the key."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli.conftest import Plane, Program, start_plane, stop_plane


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    running = start_plane(
        tmp_path_factory.mktemp("operators") / "home", "--name", "Acme", "--operator", "Ada"
    )
    yield running
    stop_plane(running)


@pytest.fixture
def mine(started: Plane) -> Program:
    return Program(Path(started.told["home"]))


def test_a_rotated_operator_goes_on_with_a_token_of_the_new_key(mine: Program, tmp_path: Path) -> None:
    token = next(mine.home.glob("operator/*/token"))
    kept = tmp_path / "old.token"
    kept.write_bytes(token.read_bytes())
    kept.chmod(0o600)
    before = Program(mine.home, {"DRAGONS_TOKEN_FILE": str(kept)})
    rotated = mine.json("keys", "rotate", "operator")
    assert token.read_bytes() != kept.read_bytes()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    issued = [one for one in mine.json("tokens", "list")["tokens"] if one["key_id"] == rotated["new"]]
    assert [(one["role"], one["status"], one["label"]) for one in issued] == [("admin", "valid", "Ada")]
    # Until the old key ends, what it has goes on.
    assert before.json("ledger", "show")["size"]
    mine.json("keys", "revoke", rotated["old"], "--reason", "rotated")
    refused = before.error("ledger", "show", expected=4)
    assert refused["code"] == "token_key_ended"
    assert rotated["old"] in refused["message"]
    assert "dragons tokens issue --key" in refused["fix"]
    # The new one opens every door of an admin, and the new key signs.
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text("capabilities:\n  read:x: {description: Read}\n")
    assert mine.json("capabilities", "publish", str(catalogue))["receipt_id"]
    assert (
        mine.json("tokens", "issue", "--role", "auditor", "--label", "audit")["view"]["key_id"]
        == rotated["new"]
    )


def test_a_new_operator_gets_a_token_with_the_key_alone(mine: Program, tmp_path: Path) -> None:
    key, file = tmp_path / "bob.pem", tmp_path / "bob.token"
    added = mine.run("keys", "add-operator", "Bob", "--role", "operator", "--out", str(key))
    assert f"dragons tokens issue --key {key} --role operator" in added.stderr
    # Bob has nobody else's token.
    bob = Program(mine.home, {"DRAGONS_TOKEN_FILE": str(file)})
    wish = ["tokens", "issue", "--key", str(key), "--label", "bob", "--role"]
    refused = bob.error(*wish, "admin", expected=4)
    assert refused["code"] == "role_exceeded"
    made = bob.json(*wish, "operator", "--out", str(file))
    assert bob.json("agents", "list") == {"agents": []}
    assert bob.error("tokens", "list", expected=4)["code"] == "role_forbidden"
    mine.json("keys", "revoke", made["key_id"], "--reason", "left")
    assert bob.error("agents", "list", expected=4)["code"] == "token_key_ended"
    assert bob.error(*wish, "operator", expected=4)["code"] == "signer_not_valid"


def test_a_key_of_nobody_gets_none(mine: Program, tmp_path: Path) -> None:
    stranger = start_home(tmp_path)
    key = next(stranger.home.glob("operator/*/operator.pem"))
    found = mine.error("tokens", "issue", "--key", str(key), "--role", "auditor", "--label", "x", expected=4)
    assert found["code"] == "signer_not_valid"


def start_home(folder: Path) -> Program:
    """Another tenant, whose control plane does not run."""
    made = Program(folder / "home")
    made.json("init", "--name", "Other", "--operator", "Eve")
    return made
