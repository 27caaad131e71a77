"""What a plan knows of how targets do. The attempts measure; a plan only reads.

Times to the first token and per token are kept apart by the size of what was asked (`size_class`), for a long prompt is
slow everywhere. A time of zero is «not measured yet».
"""

from collections.abc import Sequence
from typing import Final, Protocol

CLASSES: Final = (1_000, 8_000, 64_000)
"""Input tokens up to which a call is of the first, second and third class; the fourth has no end."""


class Health(Protocol):
    """How one target does, as it stands at this moment. Attributes are read on every call: keep them plain.

    `in_flight` counts attempts under way. `first_token` (of streams), `whole` (to a whole reply) and `per_token` (of
    the output) are seconds, peak-EWMA, by size class.
    `failure_rate` is a share between 0 and 1 of recent attempts. `sampled` is when a time was last measured, on the
    clock that plans are given. `resting` is true while its breaker is open or all of its keys rest.
    """

    failure_rate: float
    in_flight: int
    first_token: Sequence[float]
    per_token: Sequence[float]
    sampled: float
    whole: Sequence[float]

    @property
    def resting(self) -> bool:
        """Whether calls should go elsewhere."""


class Untried:
    """The health of a target of which nothing is known."""

    __slots__ = ("failure_rate", "first_token", "in_flight", "per_token", "resting", "sampled", "whole")

    def __init__(self) -> None:
        self.in_flight = 0
        self.first_token: Sequence[float] = (0.0,) * 4
        self.per_token: Sequence[float] = (0.0,) * 4
        self.whole: Sequence[float] = (0.0,) * 4
        self.failure_rate = 0.0
        self.sampled = 0.0
        self.resting = False


class HealthOf(Protocol):
    """Finds the health of a target by its name; the same object for the same name, for as long as it is asked."""

    def __call__(self, name: str, /) -> Health:
        """Return the health of the target `provider/model`."""


def size_class(input_tokens: int) -> int:
    """Return the class of a call by its input tokens, from 0 to 3."""
    for size, above in enumerate(CLASSES):
        if input_tokens < above:
            return size
    return len(CLASSES)
