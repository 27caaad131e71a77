"""How times are counted so that percentiles can be told of any sum of them: in slots that grow by the same factor."""

from bisect import bisect_left
from collections.abc import Sequence

from portico.store.tables import SLOTS

FACTOR = 1.7
BOUNDS = tuple(int(10_000 * FACTOR**slot) for slot in range(SLOTS - 1))
"""The upper bounds of the slots in microseconds, from 10 ms to 140 s; the last has none."""


def slot_of(microseconds: int) -> int:
    """Return the slot that a time is counted in."""
    return bisect_left(BOUNDS, microseconds)


def percentile(counts: Sequence[int], percent: float) -> int | None:
    """Return, in microseconds, the time that so many per cent of the calls took at most; None where there are none.

    It is right to within its slot, and taken to be spread evenly there; beyond the last bound it is that bound.
    """
    total = sum(counts)
    if total <= 0:
        return None
    wanted = total * percent / 100
    seen = 0
    for slot, count in enumerate(counts):
        if count > 0 and seen + count >= wanted:
            low = BOUNDS[slot - 1] if slot else 0
            high = BOUNDS[slot] if slot < len(BOUNDS) else low
            return round(low + (high - low) * max(wanted - seen, 0) / count)
        seen += count
    return BOUNDS[-1]
