import importlib

import pytest

from bench.figures import Found, Line, Spread
from bench.machine import this_machine
from bench.sizes import TINY
from bench.suite import MEASUREMENTS, Run, apart, run_all


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_can_be_called(name: str) -> None:
    assert callable(importlib.import_module(MEASUREMENTS[name][0]).measure)


def test_a_measurement_runs_in_its_own_process() -> None:
    said: list[str] = []
    found = run_all(["authorize"], TINY, said.append)["authorize"]
    assert said == ["measuring: authorize"]
    assert not found.missing
    assert found.lines[0].ours.median > 0


def test_a_crash_is_found_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    found = apart("bench.sizes", TINY)
    assert found.crashed
    assert "measure" in found.missing
    assert "AttributeError" in capfd.readouterr().err


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.suite.apart", lambda _module, _sizes: Found(missing="no peer here"))
    said: list[str] = []
    run_all(["append", "http"], TINY, said.append)
    assert said == [
        "measuring: append", "not measured: append: no peer here",
        "measuring: http", "not measured: http: no peer here",
    ]  # fmt: skip


def test_a_run_is_met_when_all_is() -> None:
    good = Found([Line(name="x", of="", ours=Spread(1, 1, 1), unit="")])
    assert Run("x", this_machine(), {"append": good}).met
    assert not Run("x", this_machine(), {"append": good, "http": Found(missing="absent")}).met
