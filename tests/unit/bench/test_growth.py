from pathlib import Path

from bench.growth import JOB, fill, measure, reopen
from bench.plane import make
from bench.sizes import TINY
from dragons.audit.pack import Selection
from dragons.audit.verify import verify_file
from dragons.compose import build_keyring
from dragons.control.export import export_pack
from dragons.core.vocabulary import Kind


def test_a_filled_ledger_is_a_real_one(tmp_path: Path) -> None:
    plane = make(tmp_path, 1)
    try:
        before = plane.size()
        fill(plane, JOB + 3)
        assert plane.size() == before + JOB + 3
        again, seconds = reopen(plane)
        plane = again
        assert seconds > 0
        # Recovered, and goes on where it was.
        assert plane.size() == before + JOB + 4
        with plane.store.read() as reader:
            row = reader.receipt_at(plane.tenant_id, before + JOB)
            assert row is not None
            assert row.kind == Kind.WORK
    finally:
        plane.store.close()


def test_a_stranger_verifies_a_filled_ledger(tmp_path: Path) -> None:
    plane = make(tmp_path, 2)
    try:
        fill(plane, JOB + 20)
        pack = tmp_path / "pack.zip"
        pin = next((plane.settings.home / "operator").rglob("root.fingerprint")).read_text("ascii").strip()
        ledger = build_keyring(plane.settings).ledger(plane.tenant_id)
        with plane.store.read() as reader, pack.open("wb") as file:
            selection = Selection(kind="ledger")
            export_pack(reader, ledger, plane.tenant_id, selection, file, now_ms=plane.clock.now_ms())
    finally:
        plane.store.close()
    report = verify_file(pack, pin, workers=1)
    assert report.valid, report.to_json()
    assert report.receipts > JOB + 20


def test_both_sizes_are_compared() -> None:
    found = measure(TINY)
    (line,) = found.lines
    assert line.ratio is not None
    assert line.unit == "of limit"
    sizes = {detail.name: detail.value for detail in found.details}
    assert sizes["receipts at the end"] > TINY.ledger_large
