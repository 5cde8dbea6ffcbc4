"""A machine's first minutes: init, up, doctor; what is said when nothing is there or something is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.functional.cli.conftest import Plane, Program, start_plane, stop_plane


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane of this file's own, because its keys are rotated."""
    running = start_plane(tmp_path_factory.mktemp("starting") / "home")
    yield running
    stop_plane(running)


@pytest.fixture(scope="module")
def mine(started: Plane) -> Program:
    return Program(Path(started.told["home"]))


def test_up_makes_the_home_and_says_where_it_is(started: Plane, mine: Program) -> None:
    told = started.told
    assert told["created"] is True
    assert told["root_fingerprint"] == mine.run("keys", "fingerprint").stdout.strip()
    assert mine.json("init")["created"] is False
    assert json.loads((mine.home / "config.json").read_text())["url"] == told["url"]


def test_the_address_that_up_shows_answers_and_so_does_each_of_its_links(started: Plane) -> None:
    url = started.told["url"]
    with httpx2.Client(trust_env=False) as http:
        shown = http.get(url)
        assert shown.status_code == 200
        assert [http.get(f"{url}{link}").status_code for link in shown.json()["links"].values()] == [200] * 3


def test_doctor_finds_everything_well(mine: Program) -> None:
    report = mine.json("doctor")
    assert report["healthy"] is True
    health = {finding["check"]: finding["health"] for finding in report["findings"]}
    assert health == {
        "python": "ok",
        "openssl": "ok",
        "server packages": "ok",
        "home": "ok",
        "key files": "ok",
        "root key": "warn",
        "storage": "ok",
        "control plane": "ok",
        "clock": "ok",
        "token": "ok",
        "ledger": "ok",
        "browser": "ok",
    }
    out = mine.run("doctor", "--no-fsck").stdout
    assert "0 fail" in out
    assert "ledger" not in out


def test_doctor_names_what_is_broken(mine: Program) -> None:
    key = next(mine.home.glob("operator/*/operator.pem"))
    key.chmod(0o644)
    try:
        done = mine.run("doctor", expected=1)
        assert "fail  key files" in done.stdout
        assert f"chmod 600 {key}" in done.stdout
        refused = mine.error("agents", "activate", "a@v1", expected=4)
        assert "chmod 600" in refused["fix"]
    finally:
        key.chmod(0o600)


def test_where_nothing_listens(tmp_path: Path, mine: Program) -> None:
    elsewhere = Program(mine.home, {"DRAGONS_URL": "http://127.0.0.1:1"})
    error = elsewhere.error("agents", "list", expected=5)
    assert error["code"] == "control_plane_unreachable"
    assert "dragons up" in error["fix"]
    assert elsewhere.run(
        "agents", "list", "--url", str(json.loads((mine.home / "config.json").read_text())["url"])
    )
    assert elsewhere.run("doctor", expected=1)
    nowhere = Program(tmp_path / "none")
    assert nowhere.error("agents", "list", expected=3)["code"] == "home_missing"
    malformed = Program(mine.home, {"DRAGONS_URL": "not a url"})
    assert malformed.error("agents", "list", expected=2)["code"] == "url_malformed"


def test_global_options_before_and_after_the_command(mine: Program, tmp_path: Path) -> None:
    lost = Program(tmp_path / "none")
    home = str(mine.home)
    assert lost.json("agents", "list", "--home", home) == lost.json("--home", home, "agents", "list")
    assert lost.error("--home", home, "agents", "list", "--home", str(tmp_path), expected=3)
    token = next(mine.home.glob("operator/*/token"))
    url = json.loads((mine.home / "config.json").read_text())["url"]
    assert lost.json("ledger", "show", "--url", url, "--token-file", str(token))["size"] >= 3


def test_a_wrong_token_is_not_allowed(mine: Program, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("dgt_" + "0" * 43)
    file.chmod(0o600)
    error = Program(mine.home, {"DRAGONS_TOKEN_FILE": str(file)}).error("agents", "list", expected=4)
    assert error["code"] == "token_invalid"


@pytest.mark.parametrize("role", ["issuer", "ledger", "operator"])
def test_keys_are_rotated_and_the_ledger_still_verifies(mine: Program, role: str, tmp_path: Path) -> None:
    rotated = mine.json("keys", "rotate", role)
    keys = {key["key_id"]: key for key in mine.json("keys", "list")["keys"]}
    assert keys[rotated["new"]]["role"] == keys[rotated["old"]]["role"] == role
    # The new key is in use: what follows is signed by it and verifies.
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text("capabilities:\n  read:it: {description: Read it}\n")
    mine.json("capabilities", "publish", str(catalogue))
    pack = tmp_path / "ledger.zip"
    mine.json("packs", "export", "--ledger", "--out", str(pack))
    pin = mine.run("keys", "fingerprint").stdout.strip()
    assert mine.json("verify", str(pack), "--root", pin)["valid"] is True
    assert mine.json("ledger", "fsck")["sound"] is True


def test_the_root_key_may_be_elsewhere(mine: Program, tmp_path: Path) -> None:
    root = next(mine.home.glob("operator/*/root.pem"))
    away = tmp_path / "usb.pem"
    shutil.move(root, away)
    try:
        out = tmp_path / "bob.pem"
        assert (
            mine.error("keys", "add-operator", "Bob", "--out", str(out), expected=3)["code"]
            == "root_key_missing"
        )
        assert not out.exists()
        mine.json("keys", "add-operator", "Bob", "--out", str(out), "--root-key", str(away))
        assert {f["check"]: f["health"] for f in mine.json("doctor")["findings"]}["root key"] == "ok"
    finally:
        shutil.move(away, root)


def test_a_second_start_changes_nothing_and_ctrl_c_ends_well(tmp_path: Path) -> None:
    first = start_plane(tmp_path / "home")
    assert stop_plane(first) == 0
    second = start_plane(tmp_path / "home")
    assert second.told["created"] is False
    assert second.told["tenant_id"] == first.told["tenant_id"]
    assert stop_plane(second) == 0
    assert "Traceback" not in second.log.read_text()
