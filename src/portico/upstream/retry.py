"""Whether a target is tried again, and when: by the kind of failure, within a budget, and never past the deadline."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from time import monotonic
from typing import Final

from portico.config import schema
from portico.upstream.causes import KINDS, Cause, Kind

WINDOW: Final = 10.0
"""Seconds over which the budget of retries is counted."""
SPARE: Final = 10
"""Retries in a window that are allowed however few calls there are."""
PATIENCE: Final = 0.5
"""Seconds that are waited for a target while there is another to be asked instead."""

USUAL: Final = schema.Retries()
_PLAIN: Final = schema.RetriesFor()

Draw = Callable[[], float]


class Budget:
    """Extra attempts, as a share of calls: `spend` says no where the share is used up."""

    __slots__ = ("_before", "_calls", "_clock", "_extra", "_share", "_spare", "_turns", "calls")

    def __init__(self, share: float, clock: Callable[[], float] = monotonic, spare: float = SPARE) -> None:
        self.calls = 0
        self._share = share
        self._spare = spare
        self._clock = clock
        self._turns = clock() + WINDOW
        self._extra = 0.0
        self._before = (0.0, 0.0)

    def __repr__(self) -> str:
        return f"<Budget {self._extra:g} of {self._room():g} spent>"

    def spend(self, amount: float = 1.0, part: float = 1.0) -> bool:
        """Take an extra attempt from this part of the budget; return whether there was room for it."""
        now = self._clock()
        if now >= self._turns:
            # What was before counts still, or each window would begin with nothing. Nobody looks at the clock to count
            # a call: of those since the last time, as many count as came in one window.
            took = now - self._turns + WINDOW
            late = took >= 2 * WINDOW
            self._before = (self.calls * WINDOW / took, 0.0 if late else self._extra)
            self.calls, self._extra = 0, 0.0
            self._turns = now + WINDOW
        if self._extra + self._before[1] + amount > self._room() * part:
            return False
        self._extra += amount
        return True

    def _room(self) -> float:
        return self._spare + self._share * (self.calls + self._before[0])


class Policy:
    """What a configuration says of retries, made ready. Chance and time are passed in.

    `deadline` is the seconds that a call may take, with all its attempts, until its answer begins. `once` stands for a
    request that is tried once whatever happens. `retries` is what it was made from.
    """

    __slots__ = (
        "_attempts",
        "_backoffs",
        "_draw",
        "_kinds",
        "budget",
        "deadline",
        "longest",
        "moves_on",
        "retries",
        "sleep",
    )

    def __init__(
        self,
        retries: schema.Retries = USUAL,
        deadline: float = 1800.0,
        *,
        draw: Draw = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.retries = retries
        self.deadline = deadline
        self.moves_on: Collection[int] = ()
        self.longest = retries.retry_after
        self.budget = Budget(retries.budget, clock)
        self.sleep = sleep
        self._draw = draw
        self._kinds = frozenset(retries.on)
        kinds: tuple[Kind, ...] = ("connect", "timeout", "429", "5xx")
        self._attempts = {kind: retries.by.get(kind, _PLAIN).attempts or retries.attempts for kind in kinds}
        self._backoffs = {kind: retries.by.get(kind, _PLAIN).backoff or retries.backoff for kind in kinds}

    def __repr__(self) -> str:
        return f"<Policy of {self._attempts}>"

    def wanted(self, retries: schema.Retries, deadline: float | None, moves_on: Collection[int]) -> "Policy":
        """Return this as a caller wants it for a call; the budget stays that of all. A deadline can only be nearer.

        The statuses of `moves_on` lead on to the next target, whatever else is said of them.
        """
        nearer = self.deadline if deadline is None else min(deadline, self.deadline)
        found = Policy(retries, nearer, draw=self._draw, sleep=self.sleep)
        found.budget = self.budget
        found.moves_on = moves_on
        return found

    def may(self, cause: Cause) -> bool:
        """Return whether another try, here or elsewhere, may do better after such a failure."""
        return KINDS.get(cause) in self._kinds

    def attempts(self, cause: Cause) -> int:
        """Return how often one target is tried in all, where it fails so."""
        kind = KINDS.get(cause)
        return self._attempts[kind] if kind in self._kinds else 1

    def pause(self, cause: Cause, failed: int, retry_after: float | None) -> float | None:
        """Return the seconds to wait before a target is tried again that failed so often, None for no more tries.

        Full jitter: anything from nothing up to a bound that doubles (aws.amazon.com/blogs/architecture,
        "Exponential Backoff And Jitter"). Where the provider says how long, that long, and a little of it by chance,
        for all who were told the same would come back at once.
        """
        backoff = self._backoffs[KINDS.get(cause, "5xx")]
        drawn = self._draw() * min(backoff.first * 2.0 ** (failed - 1), backoff.longest)
        if retry_after is None:
            return drawn
        if retry_after > self.longest:
            return None
        return retry_after + min(drawn, 0.1 * retry_after)
