"""What an outage drill came to: the share of calls that was served, how soon a target was used again, what it cost."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from bench.figures import percentile

TARGETS = ("a", "b", "c")
DIES, RETURNS, SLOWS, RECOVERS = "a dies", "a is back", "c slows tenfold", "c is well again"
WELL = "all well"
SERVED_SHARE = 0.9999
"""Of the calls that there is capacity for."""
RECOVERY = 2.0
"""Seconds from a target's return until it does its share again."""
EXTRA = 0.2
"""Attempts beside the first, as a share of calls."""
SHARE_BACK = 0.8
"""Of what a target served before, from which on it does its share again."""
BIN = 0.25
"""Seconds of one point of the plot."""


class Drill(msgspec.Struct, frozen=True):
    """A rate of calls, what each of three targets takes at most (both a second), and what happens when (seconds).

    `wait` is how long a call waits at most for room.
    """

    rate: float
    limit: int
    seconds: float
    steps: tuple[tuple[float, str], ...]
    wait: float = 30.0

    def capacity(self, at: float) -> int:
        """Return the calls a second that the targets take at this time."""
        down = self._when(DIES) <= at < self._when(RETURNS)
        return self.limit * (len(TARGETS) - down)

    def _when(self, what: str) -> float:
        return next(at for at, step in self.steps if step == what)


def of(rate: float, limit: int, scale: float = 1.0) -> Drill:
    """Return the drill as it is run: 65 seconds, times `scale`."""
    steps = ((0.0, WELL), (10.0, DIES), (25.0, RETURNS), (40.0, SLOWS), (52.0, RECOVERS))
    return Drill(rate, limit, 65.0 * scale, tuple((at * scale, what) for at, what in steps))


class Heard(msgspec.Struct, frozen=True):
    """One call as its caller saw it: when it was made, how long it took (seconds), and its end: "served" or not."""

    at: float
    took: float
    end: str


class Tried(msgspec.Struct, frozen=True):
    """One attempt: when, where, and whether it was good."""

    at: float
    target: str
    good: bool


class Figures(msgspec.Struct, frozen=True):
    """What is promised, measured. Times are in seconds.

    `allowed` are the calls that the capacity of each second had room for. `first_again` is when the target that had
    died served its first call after it was back, `recovered` when it did its share again.
    """

    calls: int
    allowed: int
    served: int
    share_of_allowed: float
    other_ends: dict[str, int]
    attempts: int
    extra_load: float
    first_again: float
    recovered: float
    p50: float
    p99: float
    p99_by_phase: dict[str, float]

    def broken_promises(self) -> list[str]:
        """Return what was not kept, in words."""
        broken = []
        if self.share_of_allowed < SERVED_SHARE:
            broken.append(f"{self.share_of_allowed:.4%} of what capacity allows were served, not {SERVED_SHARE:.2%}")
        if not self.recovered < RECOVERY:
            broken.append(f"the target did its share again after {self.recovered:.2f} s, not {RECOVERY:g} s")
        if not self.extra_load < EXTRA:
            broken.append(f"{self.extra_load:.1%} extra attempts, not {EXTRA:.0%}")
        return broken


class Outcome(msgspec.Struct, frozen=True):
    """The figures, and what is drawn: for each target the calls a second that it served, and the callers' p99."""

    figures: Figures
    lanes: dict[str, list[tuple[float, float]]]


def allowed(drill: Drill, heard: Sequence[Heard]) -> int:
    """Return how many of the calls there was capacity for, second by second, first come first served.

    A call that waits may use the capacity of later seconds, for as long as a call waits at most.
    """
    offered = Counter(int(call.at) for call in heard)
    waiting: deque[list[int]] = deque()
    total = 0
    for second in range(math.ceil(drill.seconds + drill.wait)):
        waiting.append([second, offered[second]])
        room = min(drill.capacity(second), drill.capacity(second + 0.999))
        while waiting and room:
            came, count = waiting[0]
            served = min(count, room) if second - came <= drill.wait else 0
            total += served
            room -= served
            waiting[0][1] -= served
            if not waiting[0][1] or second - came > drill.wait:
                waiting.popleft()
    return total


def outcome(drill: Drill, heard: Sequence[Heard], tried: Sequence[Tried], back: float) -> Outcome:
    """Return the figures of a drill. `back` is when the target that had died could serve again."""
    ends = Counter(call.end for call in heard)
    served = ends.pop("served", 0)
    room = allowed(drill, heard)
    times = sorted(call.took for call in heard)
    phases = [*drill.steps, (drill.seconds, "")]
    by_phase = {}
    for (begin, what), (end, _) in pairwise(phases):
        found = sorted(call.took for call in heard if begin <= call.at < end)
        if found:
            by_phase[what] = round(percentile(found, 99), 3)
    died = next(at for at, what in drill.steps if what == DIES)
    good = sorted(each.at for each in tried if each.good and each.target == TARGETS[0])
    before = sum(1 for at in good if at < died) / died
    again = [at - back for at in good if at >= back]
    figures = Figures(
        calls=len(heard),
        allowed=room,
        served=served,
        share_of_allowed=served / room if room else 1.0,
        other_ends=dict(ends),
        attempts=len(tried),
        extra_load=round(len(tried) / len(heard) - 1, 4),
        first_again=round(again[0], 3) if again else math.inf,
        recovered=round(share_back(again, before * SHARE_BACK), 3),
        p50=round(percentile(times, 50), 3),
        p99=round(percentile(times, 99), 3),
        p99_by_phase=by_phase,
    )
    return Outcome(figures, _lanes(drill, heard, tried))


def share_back(times: Sequence[float], rate: float, window: float = 1.0) -> float:
    """Return the time from which on a window begins that holds this rate of them; infinity where none does."""
    need = max(1, math.ceil(rate * window))
    for place in range(len(times) - need + 1):
        if times[place + need - 1] - times[place] <= window:
            return times[place]
    return math.inf


def _lanes(drill: Drill, heard: Sequence[Heard], tried: Sequence[Tried]) -> dict[str, list[tuple[float, float]]]:
    bins = math.ceil(drill.seconds / BIN)
    lanes: dict[str, list[tuple[float, float]]] = {}
    for target in TARGETS:
        for good, what in ((True, "served"), (False, "failed")):
            counts = Counter(int(each.at / BIN) for each in tried if each.target == target and each.good is good)
            lanes[f"{target} {what}"] = [(place * BIN, counts[place] / BIN) for place in range(bins)]
    slowest: dict[int, list[float]] = {}
    for call in heard:
        slowest.setdefault(int(call.at / BIN), []).append(call.took)
    lanes["p99, ms"] = [
        (place * BIN, percentile(sorted(slowest[place]), 99) * 1000) for place in range(bins) if place in slowest
    ]
    lost = Counter(int(call.at / BIN) for call in heard if call.end != "served")
    lanes["not served"] = [(place * BIN, float(lost[place])) for place in range(bins)]
    return lanes
