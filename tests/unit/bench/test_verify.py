from pathlib import Path

from bench.verify import build, measure, raw
from dragons.audit.verify import verify_file


def test_a_built_pack_is_valid_with_every_verdict(tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    pin = build(path, 50, payloads=True)
    report = verify_file(path, pin, workers=1)
    assert report.valid, report.to_json()
    assert report.receipts > 50
    assert not verify_file(path, "0" * 64, workers=1).valid


def test_both_rates_and_memory_are_measured() -> None:
    found = measure(50, payloads=False, workers=1, rounds=1)
    assert found.receipts > 50
    assert found.pair.ratio.median == found.pair.ours.median / found.pair.theirs.median
    assert found.all_mb >= found.parent_mb > 0


def test_raw_verification_takes_time() -> None:
    assert raw(10, 1) > 0
