"""Calls of a worker that wait for their turn: one timer for all of them, and a future for each.

A call that waits sleeps in its own task. When its turn comes it tries by itself, and says what came of it; nothing is
done on its behalf, so that a caller who hangs up leaves nothing behind.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from portico.errors import PorticoError, ShuttingDown
from portico.queueing.line import Boards, Key, Waiter
from portico.queueing.lobby import Door, Lobby

T = TypeVar("T")
K = TypeVar("K", bound=Key)

SHARED: Final = 0.005
"""Seconds between two tries for what several workers wait for, about; each tries at random, so that none is ahead."""
SOON: Final = 0.1
"""What is to be tried for in so many seconds is tried for again and again."""
MANY: Final = 8
"""Lines beyond which each is tried for less often, so that all together cost what so many do."""
FINEST: Final = 0.002
"""Seconds between two looks at the lines."""
LAST: Final = 0.9
"""The part of the time to drain in which calls may still wait: those who are served last need some of it."""


class Closed:
    """Why a call cannot go on now: what refused it and when to try again, and what its caller is told in the end.

    `cost` is what it takes of that, in whatever that is counted in.
    """

    __slots__ = ("cost", "doors", "error")

    def __init__(self, doors: Sequence[Door], error: PorticoError, cost: float = 1.0) -> None:
        self.doors = doors
        self.error = error
        self.cost = cost

    def __repr__(self) -> str:
        return f"<Closed {[key for key, _ in self.doors]}>"


Try = Callable[[Key], Awaitable[T | Closed]]
"""Told the line whose turn it is, tries and returns what was to be had, or why not. What it raises ends the wait."""


class Ticket:
    """What one call has to say in a queue: whose it is, how long it may wait, and how much is held for it.

    `until` is in seconds of the monotonic clock. `queued_ns` and `position` are what became of it: the time it waited
    in all, and its place when it first came; None where it never had to wait.
    """

    __slots__ = ("flow", "number", "position", "priority", "queued_ns", "size", "until", "waiting", "weight")

    def __init__(
        self, waiting: "Waiting", flow: str, until: float, *, weight: float = 1.0, priority: int = 0, size: int = 0
    ) -> None:
        self.waiting = waiting
        self.flow = flow
        self.until = until
        self.weight = weight
        self.priority = priority
        self.size = size
        self.number = 0
        self.queued_ns = 0
        self.position: int | None = None

    def __repr__(self) -> str:
        return f"<Ticket of {self.flow}>"

    def busy(self, keys: Iterable[K]) -> K | None:
        """Return which of these others wait for already, None for none."""
        return next((key for key in keys if self.waiting.busy(key)), None)

    async def wait(self, closed: Closed, attempt: Try[T]) -> T:
        """Wait until an attempt gets through, and return what it got.

        Raises the error of the last refusal where there is no room, no hope or no time left, ShuttingDown where the
        worker leaves, and whatever the attempt raises.
        """
        began = time.perf_counter_ns()
        try:
            return await self.waiting.wait(self, closed, attempt)
        finally:
            self.queued_ns += time.perf_counter_ns() - began


class Asleep(Waiter, Generic[T]):
    """A call that sleeps until `turn` is done: its result is the line whose turn it is."""

    __slots__ = ("turn",)

    turn: "asyncio.Future[Key]"


class Waiting:
    """Who waits in this worker. It outlives configurations: `calls` and `size` are those of the last one."""

    def __init__(
        self,
        calls: int = 1000,
        size: int = 256 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.lobby = Lobby(calls, size)
        self.clock = clock
        self.served = self.shed = self.expired = 0
        self._draw = draw
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._leaves: float | None = None

    def __repr__(self) -> str:
        return f"<Waiting {self.lobby!r}, {self.served} served, {self.shed} shed, {self.expired} too late>"

    def share(self, boards: Boards) -> None:
        """Let other workers know what is waited for here, and wait with them for what they wait for."""
        self.lobby.boards = boards

    @property
    def anybody(self) -> bool:
        """Whether somebody waits for anything, in any worker."""
        boards = self.lobby.boards
        return bool(self.lobby.lines) or (boards is not None and boards.others_wait())

    def busy(self, key: Key) -> bool:
        """Return whether somebody waits for this, in any worker: who comes now has to wait behind."""
        return key in self.lobby.lines or self._contested(key)

    def _contested(self, key: Key) -> bool:
        boards = self.lobby.boards
        return boards is not None and boards.others_wait(key)

    def resize(self, calls: int, size: int) -> None:
        """Bound the room anew; nobody is sent away for it."""
        self.lobby.calls, self.lobby.room = calls, size

    def open_all(self) -> None:
        """Let everybody try again by what is in force now."""
        for key in list(self.lobby.lines):
            self.open(key)

    def open(self, key: Key) -> None:
        """Note that something was given back."""
        if self.lobby.lines and self.lobby.open(key, self.clock()):
            self._look_soon()

    def open_rows(self, rows: Sequence[str]) -> None:
        """Note that a call has ended that was counted in these rows of the state."""
        if self.lobby.lines:
            for key in list(self.lobby.lines):
                if isinstance(key, tuple) and key[0] in rows:
                    self.open(key)

    def drain(self, seconds: float) -> None:
        """Let nobody wait past the end of this worker, in so many seconds: who is not served by then is told so."""
        self._leaves = self.clock() + seconds * LAST
        self.lobby.hurry(self._leaves)
        self._look_soon()

    async def wait(self, ticket: Ticket, closed: Closed, attempt: Try[T]) -> T:
        """Wait as `ticket` says: see `Ticket.wait`."""
        loop = asyncio.get_running_loop()
        until = ticket.until if self._leaves is None else min(ticket.until, self._leaves)
        waiter: Asleep[T] = Asleep(
            ticket.flow,
            until,
            closed.error,
            weight=ticket.weight,
            priority=ticket.priority,
            cost=closed.cost,
            size=ticket.size,
        )
        waiter.turn = loop.create_future()
        waiter.number = ticket.number
        shed = self.lobby.join(waiter, self._doors(closed.doors), self.clock())
        ticket.number = waiter.number
        if ticket.position is None:
            ticket.position = waiter.position or None
        try:
            self.shed += len(shed)
            for each in shed:
                assert isinstance(each, Asleep)
                if each is waiter:
                    raise told(waiter.error, "and the line for it is too long")
                if not each.turn.done():
                    each.turn.set_exception(told(each.error, "and the line for it is full"))
            self._look_soon()
            while True:
                key = await waiter.turn
                waiter.turn = loop.create_future()
                result = await attempt(key)
                now = self.clock()
                if not isinstance(result, Closed):
                    self.served += 1
                    self.lobby.granted(waiter, now)
                    return result
                waiter.error, waiter.cost = result.error, result.cost
                self.lobby.again(waiter, self._doors(result.doors), now)
                self._look_soon()
        finally:
            self.lobby.leave(waiter, self.clock())
            if waiter.turn.done() and not waiter.turn.cancelled():
                waiter.turn.exception()  # it is told, or its caller has left
            # What is raised holds this frame, and this frame what is raised: nothing but the collector would part them.
            del waiter
            # The next turn comes now: where rounds of the loop are long, each that a grant takes is a place unused.
            self._look()

    def _doors(self, doors: Sequence[Door]) -> list[Door]:
        """Return when each is to be tried again: what other workers wait for sooner, and later where lines are many."""
        now = self.clock()
        crowd = max(1.0, len(self.lobby.lines) / MANY)
        found: list[Door] = []
        for key, at in doors:
            wait = at - now
            if wait <= SOON:
                wait = ((0.5 + self._draw()) * SHARED if self._contested(key) else wait) * crowd
            found.append((key, now + wait))
        return found

    def _look_soon(self) -> None:
        """See that the lines are looked at when there is something to be done."""
        at = self.lobby.wake()
        if at is None:
            return
        now = self.clock()
        due = max(at, now)
        if self._timer is not None:
            # What is due already is not put off: those who come meanwhile would do so again and again.
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(at - now, 0.0) and max(at - now, FINEST), self._look)

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self.clock()
        for waiter in self.lobby.late(now):
            assert isinstance(waiter, Asleep)
            self.expired += 1
            if not waiter.turn.done():
                leaving = self._leaves is not None and now >= self._leaves
                waiter.turn.set_exception(
                    ShuttingDown("this worker leaves, and the call still waited for its turn", retry_after=1)
                    if leaving
                    else told(waiter.error, "and the time that it may wait is up")
                )
        for waiter, key in self.lobby.due(now):
            assert isinstance(waiter, Asleep)
            if not waiter.turn.done():
                waiter.turn.set_result(key)
        self._look_soon()


def told(error: PorticoError, why: str) -> PorticoError:
    """Return a refusal that also says what became of the wait for it."""
    found = type(error).__new__(type(error))
    found.__dict__.update(error.__dict__)
    found.message = f"{error.message}; {why}"
    found.args = (found.message,)
    return found
