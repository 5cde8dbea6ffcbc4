from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dragons.cli.init import missing_packages
from dragons.cli.main import run
from dragons.core.errors import InvalidInputError


def test_a_home_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert run(["init", "--home", str(home), "--name", "Acme", "-o", "json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["created"] is True
    assert len(first["root_fingerprint"]) == 64
    for name in ("root_key", "operator_key", "token_file"):
        assert stat.S_IMODE(Path(first[name]).stat().st_mode) == 0o600
    before = {path: path.read_bytes() for path in home.rglob("*.pem")}
    assert run(["init", "--home", str(home), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**first, "created": False}
    assert {path: path.read_bytes() for path in home.rglob("*.pem")} == before


def test_it_says_what_to_pin_and_what_to_take_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--home", str(tmp_path / "home")]) == 0
    out, err = capsys.readouterr()
    assert "root fingerprint" in out
    assert "Pin the root fingerprint" in err
    assert "root.pem offline" in err
    assert err.rstrip().endswith("Next: dragons up")


def test_a_root_key_that_was_taken_away_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    run(["init", "--home", str(home), "-o", "json"])
    Path(json.loads(capsys.readouterr().out)["root_key"]).unlink()
    assert run(["init", "--home", str(home)]) == 0
    assert "not on this machine" in capsys.readouterr().out


def test_keys_can_be_encrypted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    home = tmp_path / "home"
    assert run(["init", "--home", str(home), "--passphrase-file", str(secret), "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert "ENCRYPTED" in Path(made["root_key"]).read_text()
    words = ["keys", "fingerprint", "--home", str(home), "--root-key", made["root_key"]]
    assert run(words) == 2
    assert run([*words, "--passphrase-file", str(secret)]) == 0
    assert capsys.readouterr().out.strip() == made["root_fingerprint"]


def test_half_a_home_is_not_built_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "control").mkdir()
    assert run(["init", "--home", str(tmp_path)]) == 1
    assert "[home_incomplete]" in capsys.readouterr().err


def test_missing_packages_are_named_and_broken_ones_are_not_hidden() -> None:
    told = missing_packages(ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"))
    assert isinstance(told, InvalidInputError)
    assert "dragons-control-plane[control]" in told.fix
    broken = ModuleNotFoundError("No module named 'dragons.x'", name="dragons.x")
    assert missing_packages(broken) is broken
