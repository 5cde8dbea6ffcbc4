from pathlib import Path

from bench.claims import ACTION
from bench.plane import opened
from dragons.evidence.receipt import CLAIM, Claim


def test_every_claim_is_its_own_and_signed_by_its_worker(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as plane:
        worker = plane.workers[0]
        one, other = worker.claim(plane.clock), worker.claim(plane.clock)
    body = one.body(CLAIM, Claim)
    assert body.action == ACTION
    assert body.session_id == worker.session_id
    assert len(body.evidence) == 1
    assert body.claim_id != other.body(CLAIM, Claim).claim_id
    assert worker.stating.signer.public_key.verify(one.signatures[0].sig, one.pae())
