"""Clocks: the loop's own, and one that a test moves by hand."""

import asyncio
import heapq
import itertools
from typing import Protocol


class Clock(Protocol):
    """Where a part that waits takes its time from. Seconds, from any starting point."""

    def now(self) -> float:
        """Return the time."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class LoopClock:
    """The running loop's clock."""

    def now(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class FakeClock:
    """A clock that stands still until `advance` is called, so that a test of an hour takes no time."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the time."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved on by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        for count, arrival in self._arrivals:
            if self.sleepers >= count and not arrival.done():
                arrival.set_result(None)
        await future

    async def asleep(self, count: int = 1) -> None:
        """Return when at least `count` tasks are asleep on this clock."""
        if self.sleepers >= count:
            return
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals.append((count, arrival))
        try:
            await arrival
        finally:
            self._arrivals.remove((count, arrival))

    async def advance(self, seconds: float) -> None:
        """Move the time on, waking each sleeper at its own moment and letting it run before the next."""
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._now = moment
            future.set_result(None)
            await asyncio.sleep(0)  # the sleeper's own task goes on
            await asyncio.sleep(0)  # and reaches its next wait
        self._now = end
