from bench.over_http import measure
from bench.sizes import TINY


def test_receipts_are_measured_beside_pings_of_the_same_server() -> None:
    found = measure(TINY)
    (line,) = found.lines
    assert line.theirs is not None
    assert line.ratio is not None
    assert line.ratio.median == line.ours.median / line.theirs.median
    assert "/v1/ping" in line.against
    details = {detail.name: detail.value for detail in found.details}
    assert 0 < details["/v1/receipts, median"] <= details["/v1/receipts, 99 %"]
    assert "/v1/receipts, processor time" in details
