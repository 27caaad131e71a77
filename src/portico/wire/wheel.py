"""A wheel of time slots: what has a deadline is looked at when it is due, and costs nothing until then.

A timer per request costs more than sending it. Here a request is put into the slot of the tick at which its earliest
deadline may have passed; a look finds out whether it did, and puts it into a later slot if not. Deadlines only ever
move away from the slot that was chosen, so that the look is never too late by more than one tick.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TICKS: Final = 20
"""Ticks in a second: a deadline is noticed within 50 ms."""
FAR: Final = 2 * TICKS
"""Beyond this many ticks, slots are whole seconds: there are few slots, and a second look puts things right."""
NEVER: Final = 1 << 62


class Watched(Protocol):
    """Something with a deadline."""

    slot: "set[Watched]"

    def check(self, now: float) -> float | None:
        """Act if a deadline has passed at `now`; return when to look again, None for never."""
        ...


class Wheel:
    """Deadlines of many things, by the clock `clock` (seconds, monotonic)."""

    __slots__ = ("_clock", "_excused", "_loop", "_near", "_slots", "_timer", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._slots: dict[int, set[Watched]] = {}
        self._near = 0
        self._wake = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._excused = False

    def watch(self, thing: Watched, due: float) -> None:
        """Look at `thing` at `due`, or up to a tick later; it must not be watched already."""
        tick = int(due * TICKS) + 1
        if tick > self._near:
            tick -= tick % TICKS
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
        slot.add(thing)
        thing.slot = slot
        if tick < self._wake:
            self._arm(tick)

    def turn(self) -> None:
        """Look at everything that is due."""
        now = self._clock()
        tick = int(now * TICKS)
        self._near = tick + FAR
        self._wake = NEVER
        for number in sorted(number for number in self._slots if number <= tick):
            slot = self._slots.pop(number)
            while slot:
                thing = slot.pop()
                due = thing.check(now)
                if due is not None:
                    self.watch(thing, max(due, now))
        for number in [number for number, slot in self._slots.items() if not slot]:
            del self._slots[number]
        if self._slots:
            self._arm(min(self._slots))

    def stop(self) -> None:
        """Look at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake = NEVER
        self._slots.clear()

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake = tick
        self._timer = self._loop.call_later(max(0.0, tick / TICKS - self._clock()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._clock() * TICKS - self._wake > 2 and not self._excused:
            # Something held the loop up. What has arrived meanwhile is read before anyone is judged by the clock.
            self._excused = True
            self._timer = self._loop.call_later(0.2 / TICKS, self._ring)
            return
        self._excused = False
        self.turn()
