from bench.authorize import ACTION, REVOCATIONS, granted_authority, measure, p50_us
from bench.sizes import TINY
from dragons.authority.decide import Allow, Deny
from dragons.core.clock import SystemClock


def test_a_decision_is_measured_beside_a_verification() -> None:
    (line,) = measure(TINY).lines
    assert line.at_most
    assert line.ratio is not None
    assert line.theirs is not None
    assert line.ratio.median == line.ours.median / line.theirs.median
    assert f"{REVOCATIONS:,}" in line.of


def test_the_authority_allows_its_lease_and_nothing_else() -> None:
    authority = granted_authority(SystemClock())
    assert isinstance(authority.authorize(ACTION), Allow)
    assert isinstance(authority.authorize("write:elsewhere"), Deny)


def test_a_median_is_of_single_calls() -> None:
    calls: list[None] = []
    assert p50_us(lambda: calls.append(None), 5) > 0
    assert len(calls) > 5
