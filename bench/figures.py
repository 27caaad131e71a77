"""The arithmetic of the comparison: percentiles, medians of rounds, ratios within a round."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and the smallest and largest of them."""

    median: float
    low: float
    high: float
    rounds: int

    def scaled(self, by: float) -> "Spread":
        """Return the same in another unit."""
        return Spread(self.median * by, self.low * by, self.high * by, self.rounds)


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of `sorted_values` do not exceed (nearest rank)."""
    if not sorted_values:
        raise ValueError("no values, no percentile")
    if not 0 < percent <= 100:
        raise ValueError(f"percent is {percent!r}; it lies above 0 and up to 100")
    rank = round(percent * len(sorted_values) / 100, 6)  # 99.9 % of 1,000 are 999, whatever binary fractions say
    return sorted_values[math.ceil(rank) - 1]


def spread(values: Sequence[float]) -> Spread:
    """Return the median of `values` with the extremes. Of an even number the median is the mean of the middle two."""
    if not values:
        raise ValueError("no values, no median")
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1], len(ordered))


def paired(ours: dict[int, float], theirs: dict[int, float]) -> list[float]:
    """Return ours / theirs for every round in which both were measured (and theirs is not zero)."""
    return [ours[turn] / theirs[turn] for turn in sorted(ours) if theirs.get(turn)]


def differences(ours: dict[int, float], theirs: dict[int, float]) -> list[float]:
    """Return ours - theirs for every round in which both were measured."""
    return [ours[turn] - theirs[turn] for turn in sorted(ours) if turn in theirs]
