from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.cli import bench
from dragons.cli.bench import Measure
from dragons.cli.main import run


def test_signatures_are_measured() -> None:
    made, verified = bench.sign_rate(0.05), bench.verify_rate(0.05)
    assert made.unit == verified.unit == "/s"
    assert 100 < verified.value < made.value * 10


def test_the_disk_is_measured(tmp_path: Path) -> None:
    found = bench.fsync_time(tmp_path, 0.05)
    assert found.value > 0
    assert (tmp_path / "fsync").stat().st_size % 4096 == 0


def test_a_decision_takes_microseconds() -> None:
    assert 0 < bench.decision_time(0.05).value < 1_000


def test_work_is_done_by_all_at_once() -> None:
    seen: set[int] = set()
    count, taken_s = bench.concurrently(seen.add, 4, 0.05)
    assert seen == {0, 1, 2, 3}
    assert count >= 4
    assert 0.04 < taken_s < 5


def test_a_failure_in_a_thread_is_told() -> None:
    def fails(_number: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        bench.concurrently(fails, 3, 5)


def test_ratios_do_not_depend_on_the_machine() -> None:
    slow = {"fsync": 1000, "append": 500, "sign": 1000, "replay": 100, "verify": 400, "decide": 10}
    fast = {name: value / 2 if name in {"fsync", "decide"} else value * 2 for name, value in slow.items()}
    measured = [{n: Measure(n, float(v), "", "") for n, v in speeds.items()} for speeds in (slow, fast)]
    assert bench.ratios_of(measured[0]) == pytest.approx(bench.ratios_of(measured[1]))
    assert bench.ratios_of(measured[0])["receipts per fsync"] == pytest.approx(0.5)


def test_the_whole_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--seconds", "0.05", "--dir", str(tmp_path), "-o", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    names = [measure["name"] for measure in value["measures"]]
    assert names == ["sign", "verify", "fsync", "decide", "append", "replay"]
    assert all(measure["value"] > 0 for measure in value["measures"])
    assert len(value["ratios"]) == 4
    assert not list(tmp_path.iterdir()), "the temporary home is gone"
