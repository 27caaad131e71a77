"""What a pool holds: connections to one origin, the most recently used first, and a fair queue of who waits for one."""

import asyncio
from collections import OrderedDict

from portico.compiled import mypyc_attr
from portico.wire.connection import Connection
from portico.wire.origin import Origin, Settings
from portico.wire.replied import LastHead
from portico.wire.stats import Stats
from portico.wire.wheel import Watched, Wheel


@mypyc_attr(allow_interpreted_subclasses=True)
class Stock:
    """The connections to `origin`, and who waits for one. `Pool`, which opens them, makes a pool of it.

    `origin` and `settings` are what the pool was asked for.
    """

    __slots__ = (
        "_closing",
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
        in_use: "set[Stock]",
        loop: asyncio.AbstractEventLoop,
        wheel: Wheel,
    ) -> None:
        self.origin = origin
        self.settings = settings
        self.slot: set[Watched] = set()
        self.last = LastHead()
        self._in_use = in_use  # the client's pools that have connections
        self.loop = loop
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

    # Whose turn it is

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
