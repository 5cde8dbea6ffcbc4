from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.cli.main import run

GOOD = """\
capabilities:
  read:payments:
    description: Read payments
  write:ledger:
    description: Write the ledger
    risk: high
    delegable: true
"""
BAD = """\
capabilities:
  read:payments:
    description: Read payments
    risk: enormous
  Write:ledger:
    descripton: misspelt
"""


def test_a_valid_catalogue_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capabilities.yaml"
    file.write_text(GOOD)
    assert run(["capabilities", "validate", str(file)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["CAPABILITY", "RISK", "DELEGABLE"],
        ["read:payments", "low", "no"],
        ["write:ledger", "high", "yes"],
    ]
    assert "2 capabilities" in err


def test_as_json_it_is_the_wire_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capabilities.yaml"
    file.write_text(GOOD)
    assert run(["capabilities", "validate", str(file), "-o", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["capabilities"]["write:ledger"] == {
        "description": "Write the ledger",
        "risk": "high",
        "delegable": True,
    }


def test_every_fault_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capabilities.yaml"
    file.write_text(BAD)
    assert run(["capabilities", "validate", str(file)]) == 2
    err = capsys.readouterr().err
    for fault in ("capabilities.yaml:4:", "capabilities.yaml:5:", "capabilities.yaml:6:"):
        assert fault in err


@pytest.mark.parametrize(("content", "code"), [(None, 3), (b"\xff\xfe", 2), (b"", 2)])
def test_what_cannot_be_read(content: bytes | None, code: int, tmp_path: Path) -> None:
    file = tmp_path / "capabilities.yaml"
    if content is not None:
        file.write_bytes(content)
    assert run(["capabilities", "validate", str(file)]) == code
