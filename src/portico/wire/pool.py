"""A pool: the connections to one origin, the most recently used first, and a fair queue when all are taken."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from portico.compiled import mypyc_attr
from portico.errors import ConnectFailed, ShuttingDown, UpstreamTimeout
from portico.wire.connection import Connection, Home
from portico.wire.origin import Origin, Settings
from portico.wire.replied import LastHead
from portico.wire.stats import Stats
from portico.wire.wheel import Watched, Wheel

WAITING = 16_384
"""Callers that may wait for a connection of one pool."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool:
    """Connections to `origin`, made by `dial`. Callers `take` or `acquire` one and send on it; it comes back by itself.

    `origin` and `settings` are what the pool was asked for; equal ones share it.
    """

    __slots__ = (
        "_clock",
        "_closing",
        "_dial",
        "_emptied",
        "_idle",
        "_in_use",
        "_open",
        "_used",
        "_waiters",
        "_wheel",
        "last",
        "loop",
        "origin",
        "settings",
        "slot",
    )

    def __init__(
        self,
        origin: Origin,
        settings: Settings,
        dial: Callable[[Home], Awaitable[Connection]],
        in_use: "set[Pool]",
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wheel: Wheel,
    ) -> None:
        self.origin = origin
        self.settings = settings
        self.slot: set[Watched] = set()
        self.last = LastHead()
        self._dial = dial
        self._in_use = in_use  # the client's pools that have connections
        self.loop = loop
        self._clock = clock
        self._wheel = wheel
        self._idle: dict[Connection, None] = {}  # the most recently used last
        self._open: set[Connection] = set()
        self._used = 0  # open, or being opened, or promised
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._closing = False
        self._emptied: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<Pool {self.origin} {self.stats}>"

    @property
    def stats(self) -> Stats:
        """What there is at this moment."""
        idle = len(self._idle)
        return Stats(len(self._open), idle, len(self._open) - idle, len(self._waiters))

    def take(self) -> Connection | None:
        """Return an idle, live connection at once, or None. Send on it before anything is awaited."""
        idle = self._idle
        while idle:
            connection, _ = idle.popitem()
            if not connection.transport.is_closing():
                return connection
        return None

    async def acquire(self, deadline: float) -> Connection:
        """Return an idle connection, else a new one, else wait for a turn.

        `deadline` is a moment of the client's clock, by default the loop's time. Send on the connection before anything
        else is awaited. Raises ConnectFailed, UpstreamTimeout(phase="connect"), ShuttingDown.
        """
        while True:
            if self._closing:
                raise ShuttingDown(f"connections to {self.origin} are closed")
            connection = self.take()
            if connection is not None:
                return connection
            if self._used < self.settings.max_connections:
                self._used += 1
                return await self._connect(deadline)
            connection = await self._turn(deadline)
            if connection is None:
                return await self._connect(deadline)
            if not connection.closed:
                return connection

    # What connections tell their pool

    def release(self, connection: Connection) -> None:
        """Take back a connection that can be used again."""
        if self._closing:
            connection.close()
            return
        if self._waiters and self._promise(connection):
            return
        self._idle[connection] = None
        if self not in self.slot:
            self._wheel.watch(self, connection.idle_since + self.settings.idle)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed, and let somebody else connect in its place."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._free()
        if not self._open:
            self._in_use.discard(self)
            if self._emptied is not None:
                self._emptied.set()

    def check(self, now: float) -> float | None:
        """Close the connections that were idle for too long; return when to look again."""
        for connection in list(self._idle):
            over = connection.idle_since + self.settings.idle
            if over > now:
                return over
            del self._idle[connection]
            connection.close()
        return None

    async def close(self) -> None:
        """Close everything at once: requests in flight and callers waiting end with ShuttingDown."""
        self._closing = True
        error = ShuttingDown(f"connections to {self.origin} are closed")
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()
        self._idle.clear()
        if self._open:
            self._emptied = asyncio.Event()
            for connection in list(self._open):
                connection.fail(error)
            await self._emptied.wait()
        self.slot.discard(self)

    # What is behind them

    async def _connect(self, deadline: float) -> Connection:
        """Open a connection in the place that was counted for it."""
        started = self._clock()
        try:
            async with asyncio.timeout(deadline - started):
                connection = await self._dial(self)
            if self._closing or connection.closed:
                connection.abort()
                raise ConnectFailed(f"{self.origin} closed the connection at once")
        except TimeoutError:
            self._free()
            seconds = max(0.0, deadline - started)
            raise UpstreamTimeout(f"connecting to {self.origin} took over {seconds:g} s", phase="connect") from None
        except BaseException:
            self._free()
            raise
        self._open.add(connection)
        self._in_use.add(self)
        return connection

    async def _turn(self, deadline: float) -> Connection | None:
        """Wait for a connection that comes back, or (None) for a place to open one."""
        if len(self._waiters) >= WAITING:
            raise ConnectFailed(f"{WAITING} callers wait for a connection to {self.origin} already")
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(deadline - self._clock()):
                return await waiter
        except BaseException as error:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            if isinstance(error, TimeoutError):
                limit = self.settings.max_connections
                message = f"all {limit} connections to {self.origin} stayed in use"
                raise UpstreamTimeout(message, phase="connect") from None
            raise

    def _promise(self, what: Connection | None) -> bool:
        """Give a connection, or a place for one (None), to the caller who has waited longest."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(what)
                return True
        return False

    def _give_back(self, what: Connection | None) -> None:
        if what is None:
            self._free()
        elif not what.closed:
            self.release(what)

    def _free(self) -> None:
        """Let the place of a connection go to the next caller who waits."""
        if not self._promise(None):
            self._used -= 1
