"""Clocks: the loop's own, and one that a test moves by hand."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None:
        """Do not call it."""


class Clock(Protocol):
    """Where a part that waits takes its time from. Seconds, from any starting point."""

    def now(self) -> float:
        """Return the time."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back after `seconds`."""


class LoopClock:
    """The running loop's clock."""

    def now(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back after `seconds`."""
        return asyncio.get_running_loop().call_later(seconds, callback)


class _FakeTimer:
    """A callback on a fake clock."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call it."""
        self.callback = None


class FakeClock:
    """A clock that stands still until `advance` is called, so that a test of an hour takes no time."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _FakeTimer]] = []
        self._arrivals: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the time."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How much waits on this clock: tasks asleep and callbacks due."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved on by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.later(seconds, lambda: None if future.done() else future.set_result(None))
        try:
            await future
        finally:
            timer.cancel()

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back when the clock was moved on by `seconds`."""
        timer = _FakeTimer(callback)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        for count, arrival in self._arrivals:
            if self.sleepers >= count and not arrival.done():
                arrival.set_result(None)
        return timer

    async def asleep(self, count: int = 1) -> None:
        """Return when at least `count` tasks or callbacks wait on this clock."""
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
        while self._timers and self._timers[0][0] <= end:
            moment, _, timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is None:
                continue
            self._now = moment
            callback()
            await asyncio.sleep(0)  # the sleeper's own task goes on
            await asyncio.sleep(0)  # and reaches its next wait
        self._now = end
