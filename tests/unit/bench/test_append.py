from bench.append import TARGET, measure
from bench.sizes import TINY


def test_receipts_are_measured_beside_their_signatures() -> None:
    found = measure(TINY)
    (line,) = found.lines
    assert line.theirs is not None
    assert line.ratio is not None
    assert line.ratio.median == line.ours.median / line.theirs.median
    assert line.target == TARGET == 0.5
    details = {detail.name: detail for detail in found.details}
    assert 1 <= details["group, largest"].value <= TINY.appenders
    assert details["one receipt"].value == 1e6 / line.ours.median
    assert details["decide, seal and sign the receipt"].value > 0
    assert details["processor time"].value > 0
