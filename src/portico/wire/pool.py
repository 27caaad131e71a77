"""A pool: what those who call one origin ask for a connection, and wait for their turn where all are taken."""

import asyncio
from collections.abc import Awaitable, Callable

from portico.errors import ConnectFailed, ShuttingDown, UpstreamTimeout
from portico.wire.connection import Connection, Home
from portico.wire.origin import Origin, Settings
from portico.wire.stock import Stock
from portico.wire.wheel import Wheel

WAITING = 16_384
"""Callers that may wait for a connection of one pool."""


class Pool(Stock):
    """Connections to `origin`, made by `dial`. Callers `take` or `acquire` one and send on it; it comes back by itself.

    All who ask for the same origin and settings share one: it is found again for as long as anybody has it.
    """

    __slots__ = ("__weakref__", "_clock", "_dial")

    def __init__(
        self,
        origin: Origin,
        settings: Settings,
        dial: Callable[[Home], Awaitable[Connection]],
        in_use: set[Stock],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wheel: Wheel,
    ) -> None:
        super().__init__(origin, settings, in_use, loop, wheel)
        self._dial = dial
        self._clock = clock

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
