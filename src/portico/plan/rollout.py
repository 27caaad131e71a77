"""Whether a canary goes on, waits or is taken back: a pure function of what it and the other targets did.

    verdict = decide(said, step, held, canary, others)

A canary is taken back as soon as chance does not explain any more that it fails more often, or answers later, than is
allowed beside the others over the same time; so what fails everywhere, callers' mistakes too, is nobody's fault. It
goes a step on when it has been held long enough, in enough calls, and is within its bounds.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from portico.config import schema

Verdict = Literal["hold", "on", "back"]

SIGMAS: Final = 3.5
"""How sure a verdict against a canary is: it is looked at again and again, and chance must not have its way once."""
LIKELY: Final = 2.0
"""How far the others may be from what was seen of them."""
FEWEST: Final = 3
"""Calls that must have failed, or come late, before anything is said of it."""
LATE: Final = 0.05
"""The share of calls that are later than the 95th percentile by its definition."""
KNOWN: Final = 20
"""Answers of the others from which on their 95th percentile says something."""

BUCKETS: Final = 64
"""Classes of times: four to each doubling, from one millisecond on."""
_FIRST: Final = 0.001


class Arm(msgspec.Struct):
    """What one side did: calls, how many of them failed, and how long the answers took to begin, by `bucket`."""

    calls: int = 0
    failed: int = 0
    times: Sequence[int] = (0,) * BUCKETS

    @property
    def answered(self) -> int:
        """Calls of which a time is known."""
        return sum(self.times)

    @property
    def failure_rate(self) -> float:
        """The share of calls that failed."""
        return self.failed / self.calls if self.calls else 0.0

    def p95(self) -> float | None:
        """Return the seconds that 95 of 100 answers took at most, None while there are too few."""
        left = self.answered
        if left < KNOWN:
            return None
        left = math.ceil(left * (1 - LATE))
        for place, count in enumerate(self.times):
            left -= count
            if left <= 0:
                return edge(place + 1)
        raise AssertionError("the classes hold all answers")

    def later(self, seconds: float) -> int:
        """Return how many answers surely took longer."""
        return sum(count for place, count in enumerate(self.times) if edge(place) >= seconds)


class Decision(msgspec.Struct, frozen=True):
    """What is to become of a canary, and why, in words."""

    verdict: Verdict
    why: str


def bucket(seconds: float) -> int:
    """Return the class of a time."""
    if seconds <= _FIRST:
        return 0
    return min(int(4 * math.log2(seconds / _FIRST)), BUCKETS - 1)


def edge(place: int) -> float:
    """Return the time at which a class begins, in seconds."""
    return _FIRST * math.exp2(place / 4)


def decide(said: schema.Canary, held: float, canary: Arm, others: Arm) -> Decision:
    """Return what is to become of a canary that has been held at its step for so many seconds.

    `canary` is what it did in this step, `others` what the other targets did over the same time; where the canary has
    all calls, in the step before.
    """
    most = others.failure_rate + said.error_rate
    failing = f"{canary.failed} of {canary.calls} calls failed, and {others.failed} of {others.calls} of the others"
    # Where nothing at all is known of the others, a canary that has had its calls must do for itself.
    unknown = 0.0 if canary.calls >= said.calls else 1.0
    worst = said.error_rate + (most_likely(others.failed, others.calls) if others.calls else unknown)
    if canary.failed >= FEWEST and least(canary.failed, canary.calls) > worst:
        return Decision("back", failing)
    usual = others.p95()
    late = 0
    timing = "the others have answered too rarely to compare times"
    if usual is not None:
        late = canary.later(usual * said.latency)
        timing = f"{late} of {canary.answered} answers took over {said.latency:g} times the {usual:.3g} s of the others"
        if late >= FEWEST and least(late, canary.answered) > LATE:
            return Decision("back", timing)
    if held < said.hold or canary.calls < said.calls:
        return Decision("hold", f"held for {held:.0f} s of {said.hold:g}, in {canary.calls} calls of {said.calls}")
    if canary.failure_rate > most:
        return Decision("hold", failing)
    if late > LATE * canary.answered:
        return Decision("hold", timing)
    return Decision("on", f"{failing}; {timing}")


def least(hits: int, count: int) -> float:
    """Return the share that is surely behind so many hits at least."""
    return _interval(hits, count, SIGMAS)[0]


def most_likely(hits: int, count: int) -> float:
    """Return the share that may well be behind so many hits at most."""
    return _interval(hits, count, LIKELY)[1]


def _interval(hits: int, count: int, sigmas: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval.

    (E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.)
    """
    share, square = hits / count, sigmas * sigmas
    centre = share + square / (2 * count)
    spread = sigmas * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return (centre - spread) / (1 + square / count), (centre + spread) / (1 + square / count)
