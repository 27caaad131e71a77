"""How times are spread: what most of them stay below, of late, in a few bytes."""

from typing import Final

STEPS: Final = 8
"""Steps in each doubling: a time is known to a tenth."""
KEPT: Final = 512
"""Times after which what was counted counts half."""
ENOUGH: Final = 20
"""Times from which on something can be said."""


class Spread:
    """Times in seconds, from a few microseconds to an hour, counted by size; older ones fade."""

    __slots__ = ("_answers", "_counts", "count")

    def __init__(self) -> None:
        self._counts = [0] * (33 * STEPS)
        self.count = 0
        self._answers: dict[float, float] = {}

    def __repr__(self) -> str:
        return f"<Spread of {self.count} times>"

    def add(self, seconds: float) -> None:
        """Count a time."""
        unit = int(seconds * 1e6) | STEPS
        bits = unit.bit_length()
        if bits > 32:
            unit, bits = (1 << 32) - 1, 32
        self._counts[(bits << 3) | ((unit >> (bits - 4)) & 7)] += 1
        self.count += 1
        if not self.count & 15:
            self._answers.clear()
            if self.count >= KEPT:
                self._counts = [count >> 1 for count in self._counts]
                self.count = sum(self._counts)

    def below(self, share: float) -> float | None:
        """Return the time that this share of them stays below, None while there are too few to say."""
        if self.count < ENOUGH:
            return None
        found = self._answers.get(share)
        if found is None:
            left = share * self.count
            place = 0
            for place, count in enumerate(self._counts):  # noqa: B007  # the place where they run out
                left -= count
                if left < 0:
                    break
            bits, step = place >> 3, place & 7
            found = self._answers[share] = ((8 + step + 1) << (bits - 4)) / 1e6
        return found
