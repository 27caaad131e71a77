"""The arithmetic of the comparison."""

import pytest
from bench.figures import Spread, differences, paired, percentile, spread


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [
        ([7], 50, 7),
        ([1, 2, 3, 4], 50, 2),
        ([1, 2, 3, 4], 51, 3),
        (range(1, 101), 99, 99),
        (range(1, 101), 100, 100),
        (range(1, 1001), 99.9, 999),
    ],
)
def test_a_percentile_is_the_nearest_rank(values, percent, found):
    assert percentile(list(values), percent) == found


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_a_percentile_outside_its_range_is_refused(percent):
    with pytest.raises(ValueError, match="percent"):
        percentile([1], percent)


@pytest.mark.parametrize("of", [spread, lambda values: percentile(values, 50)])
def test_nothing_has_no_median(of):
    with pytest.raises(ValueError, match="no values"):
        of([])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([3.0], Spread(3, 3, 3, 1)),
        ([9.0, 1.0, 4.0], Spread(4, 1, 9, 3)),
        ([4.0, 1.0, 2.0, 9.0], Spread(3, 1, 9, 4)),
    ],
)
def test_a_spread_is_the_median_with_the_extremes(values, found):
    assert spread(values) == found


def test_a_spread_in_another_unit_is_scaled_throughout():
    assert Spread(2, 1, 3, 3).scaled(10) == Spread(20, 10, 30, 3)


def test_ratios_and_differences_are_taken_within_a_round():
    ours, theirs = {0: 10.0, 1: 30.0, 3: 5.0}, {0: 20.0, 1: 10.0, 2: 1.0}
    assert paired(ours, theirs) == [0.5, 3.0]
    assert differences(ours, theirs) == [-10.0, 20.0]


def test_a_round_in_which_the_other_has_nothing_gives_no_ratio():
    assert paired({0: 1.0}, {0: 0.0}) == []
