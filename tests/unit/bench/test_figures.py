import pytest

from bench.figures import Found, Line, Pair, Spread, alternate, compare, each, mixed, paired, rate, spread


def line(ratio: float, target: float | None, *, at_most: bool = False) -> Line:
    one = Spread(1, 1, 1)
    pair = Pair(one, one, Spread(ratio, ratio, ratio))
    return compare("x", pair, of="ours", against="theirs", target=target, at_most=at_most)


def test_a_spread_is_the_median_and_the_range() -> None:
    assert spread([3, 1, 10]) == Spread(3, 1, 10)
    assert spread([7]) == Spread(7, 7, 7)


def test_both_sides_are_measured_in_turn() -> None:
    calls: list[str] = []
    numbers = iter([100.0, 50.0, 10.0, 20.0, 1.0, 3.0])

    def of(name: str) -> float:
        calls.append(name)
        return next(numbers)

    pair = alternate(3, lambda: of("theirs"), lambda: of("ours"))
    assert calls == ["theirs", "ours"] * 3
    assert pair.theirs == Spread(10, 1, 100)
    assert pair.ours == Spread(20, 3, 50)
    assert pair.ratio == Spread(2, 0.5, 3)


def test_the_ratio_is_that_of_each_round_not_of_the_medians() -> None:
    # Medians 10 and 10 would say 1; in the rounds it was mostly less.
    pair = paired([(10, 5), (20, 10), (2, 30)])
    assert pair.ours.median / pair.theirs.median == 1
    assert pair.ratio.median == 0.5


@pytest.mark.parametrize(
    ("ratio", "target", "at_most", "met"),
    [
        (0.5, 0.5, False, True),
        (0.49, 0.5, False, False),
        (0.1, 0.1, True, True),
        (0.11, 0.1, True, False),
        (0.01, None, False, None),
    ],
)
def test_a_target_is_met_or_missed(
    ratio: float, target: float | None, at_most: bool, met: bool | None
) -> None:
    assert line(ratio, target, at_most=at_most).met is met


def test_a_line_without_a_ratio_is_judged_by_its_value() -> None:
    assert Line(name="x", of="", ours=Spread(299, 1, 500), unit="MB", target=300, at_most=True).met
    assert Line(name="x", of="", ours=Spread(301, 1, 500), unit="MB", target=300, at_most=True).met is False


def test_what_was_found_is_met_when_no_line_is_missed() -> None:
    assert Found([line(1, 1), line(0, None)]).met
    assert not Found([line(1, 1), line(0.9, 1)]).met
    assert not Found(missing="not installed").met


def test_rates_are_what_was_done_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([10.0, 10.5, 20.0, 22.0])
    monkeypatch.setattr("bench.figures.time.perf_counter", lambda: next(readings))
    seen: list[int] = []
    assert each(seen.append, 5) == 10
    assert seen == [0, 1, 2, 3, 4]
    assert rate(lambda: None, 6) == 3


@pytest.mark.parametrize("among", [1, 3, 1_000, 4_096])
def test_places_are_mixed_and_cover_all(among: int) -> None:
    assert sorted(mixed(among, among)) == list(range(among))
    assert list(mixed(5, among)) == list(mixed(5, among))
