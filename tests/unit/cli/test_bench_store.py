from __future__ import annotations

from pathlib import Path

import pytest

from dragons.audit.verify import verify_file
from dragons.cli.bench_store import BenchStore, ExhaustedError


def test_what_was_appended_is_durable_and_verifies(tmp_path: Path) -> None:
    with BenchStore(tmp_path, claims=3) as store:
        for _ in range(3):
            store.append(0)
        with pytest.raises(ExhaustedError):
            store.append(0)
        pack = store.export(tmp_path / "pack.zip")
        report = verify_file(pack, store.pin, workers=1)
    assert report.valid
    # genesis and keys, catalogue, version, activation, dock, lease, session, and the three claims
    assert report.receipts == 3 + 1 + 1 + 1 + 1 + 1 + 1 + 3


def test_another_root_does_not_vouch_for_it(tmp_path: Path) -> None:
    with BenchStore(tmp_path, claims=1) as store:
        store.append(0)
        pack = store.export(tmp_path / "pack.zip")
    assert not verify_file(pack, "ab" * 32, workers=1).valid
