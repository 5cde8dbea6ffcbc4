from pathlib import Path

from bench.limit import Limit
from bench.plane import opened
from dragons.core.statement import pae, payload_type
from dragons.evidence.receipt import RECEIPT


def test_the_limit_signs_what_a_receipt_signs(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as plane:
        claim, header = plane.sample()
    limit = Limit(claim, header)
    assert limit.claim == claim.pae()
    assert limit.header == pae(payload_type(RECEIPT), header)
    assert limit.measure(2) > 0
