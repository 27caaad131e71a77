"""How targets did at some time, by what recorded calls found out: up, down, or nobody knows."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, Literal

from portico.record import AttemptRecord, Record

State = Literal["up", "down", "unknown"]

NEAR: Final = 60.0
"""Seconds before and after a moment in which an attempt says something of it."""
SILENT: Final = frozenset(("caller_gone", "hedge_lost", "shutting_down"))
"""Errors that say nothing of a target."""
CAUSED: Final = frozenset((401, 402, 403, 408, 409, 424, 425, 429))
"""Statuses below 500 that are not of a caller's making."""


class Evidence:
    """What the attempts of recorded calls say of targets."""

    def __init__(self, records: Iterable[Record]) -> None:
        found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for record in records:
            for attempt, good in outcomes(record):
                found[attempt.target].append((began(record, attempt), good))
        self._times: dict[str, list[float]] = {}
        self._good: dict[str, list[int]] = {}
        for target, seen in found.items():
            seen.sort()
            self._times[target] = [at for at, _ in seen]
            self._good[target] = [0, *accumulate(good for _, good in seen)]

    def __repr__(self) -> str:
        return f"<Evidence of {len(self._times)} targets>"

    @property
    def targets(self) -> frozenset[str]:
        """The targets of which anything is known."""
        return frozenset(self._times)

    def state(self, target: str, at: float) -> State:
        """Return how a target did about this time, in seconds since the epoch: by most of the attempts."""
        times = self._times.get(target)
        if times is None:
            return "unknown"
        first, last = bisect_left(times, at - NEAR), bisect_right(times, at + NEAR)
        if first == last:
            return "unknown"
        good = self._good[target]
        return "up" if 2 * (good[last] - good[first]) >= last - first else "down"


def outcomes(record: Record) -> Iterator[tuple[AttemptRecord, bool]]:
    """Yield the attempts of a call that say something of their targets, and whether they were good."""
    broke = record.end in ("cut", "failed") and record.error not in SILENT and record.status < 400
    for place, attempt in enumerate(record.attempts):
        if attempt.error in SILENT:
            continue
        status = attempt.status or 0
        if attempt.error is None and 400 <= status < 500 and status not in CAUSED:
            continue  # the caller's own
        last = place == len(record.attempts) - 1
        yield attempt, attempt.error is None and 0 < status < 400 and not (last and broke)


def began(record: Record, attempt: AttemptRecord) -> float:
    """Return when an attempt began, in seconds since the epoch."""
    return record.time_ms / 1000 + attempt.started_us / 1e6


def failed(record: Record) -> bool:
    """Return whether a call failed at its targets, and not by its caller's doing or for want of room."""
    if record.end == "failed":
        return record.status >= 500 or record.status in CAUSED or record.status < 400
    return record.end == "cut" and record.error not in SILENT
