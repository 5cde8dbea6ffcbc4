from __future__ import annotations

import json
import os
from email.utils import formatdate
from pathlib import Path

import pytest

from dragons.cli import doctor
from dragons.cli.context import Cli, Globals
from dragons.cli.doctor import Health
from dragons.cli.output import Format

NOW_MS = 1_800_000_000_000


def cli_of(home: Path, url: str = "http://127.0.0.1:1") -> Cli:
    return Cli(Globals(home, url), Format.JSON)


@pytest.mark.parametrize(
    ("version", "health"), [((3, 11), Health.OK), ((3, 10), Health.FAIL), ((4, 0), Health.OK)]
)
def test_python(version: tuple[int, int], health: Health) -> None:
    assert doctor.python_version(version).health is health


def test_openssl_signs() -> None:
    finding = doctor.openssl()
    assert finding.health is Health.OK
    assert "Ed25519" in finding.found


def test_missing_server_packages_are_named() -> None:
    finding = doctor.servers_installed(("json", "no_such_module"))
    assert finding.health is Health.WARN
    assert "no_such_module" in finding.found
    assert "json" not in finding.found


def test_a_home_that_was_never_made(tmp_path: Path) -> None:
    finding = doctor.home_made(cli_of(tmp_path / "none"))
    assert finding.health is Health.FAIL
    assert "dragons init" in finding.fix


def test_a_home_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert doctor.home_made(cli_of(tmp_path)).health is Health.FAIL


def test_exposed_keys_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "operator" / "tnt_1"
    folder.mkdir(parents=True)
    for name, mode in (("operator.pem", 0o640), ("token", 0o600)):
        (folder / name).write_text("secret")
        os.chmod(folder / name, mode)  # noqa: PTH101 - the mode is the point
    (finding,) = doctor.secrets_private(tmp_path)
    assert finding.health is Health.FAIL
    assert "operator.pem has mode 0640" in finding.found
    assert finding.fix.startswith("chmod 600")
    (folder / "operator.pem").chmod(0o600)
    (finding,) = doctor.secrets_private(tmp_path)
    assert finding.health is Health.OK
    assert finding.found.startswith("2 keys and tokens")


def test_a_root_key_on_this_machine_is_a_warning(tmp_path: Path) -> None:
    assert doctor.root_offline(tmp_path).health is Health.OK
    folder = tmp_path / "operator" / "tnt_1"
    folder.mkdir(parents=True)
    (folder / "root.pem").write_text("secret")
    assert doctor.root_offline(tmp_path).health is Health.WARN


def test_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, health in ((2 << 30, Health.OK), (500 << 20, Health.WARN), (1 << 20, Health.FAIL)):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path, usage=usage: usage)
        assert doctor.storage_free(tmp_path / "not" / "yet").health is health


@pytest.mark.parametrize(
    ("apart_s", "health"),
    [
        (0, Health.OK),
        (1, Health.OK),
        (-4, Health.OK),
        (20, Health.WARN),
        (-20, Health.WARN),
        (90, Health.FAIL),
    ],
)
def test_the_clock(apart_s: int, health: Health) -> None:
    date = formatdate(NOW_MS / 1000 + apart_s, usegmt=True)
    assert doctor.clock_difference(date, NOW_MS).health is health


def test_a_control_plane_without_a_date() -> None:
    assert doctor.clock_difference("", NOW_MS).health is Health.WARN


def test_a_control_plane_that_is_down(tmp_path: Path) -> None:
    (finding,) = doctor.control_plane(cli_of(tmp_path), fsck=True)
    assert finding.health is Health.FAIL
    assert finding.fix == "Start it: dragons up"


def test_the_whole_examination_of_an_empty_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.doctor(cli_of(tmp_path / "none"), fsck=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is False
    health = {finding["check"]: finding["health"] for finding in report["findings"]}
    assert health["home"] == health["control plane"] == "fail"
    assert health["python"] == health["openssl"] == "ok"
    assert all(finding.get("fix") for finding in report["findings"] if finding["health"] != "ok")
