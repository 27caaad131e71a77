"""The HTTP/1.1 server: listens, and hands each request on as an exchange.

One shared buffer takes all reads over TLS, so a read allocates nothing. Time limits are kept by one sweep over the
connections, not by a timer each.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Coroutine

from portico.config.schema import Limits, ServerTimeouts
from portico.errors import PorticoError
from portico.wire.exchange import Exchange
from portico.wire.heads import Heads
from portico.wire.incoming import SWEEP, PlainServerConnection, ServerConnection
from portico.wire.refusal import plain_refusal
from portico.wire.requests import READ_SIZE
from portico.wire.serving import Serving

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Handler = Callable[[Exchange], Coroutine[None, None, None]]
Refuse = Callable[[PorticoError], tuple[int, list[tuple[bytes, bytes]], bytes]]


class Server(Serving):
    """Listens, and gives each request to `handle` as an Exchange, in the task of its connection.

    The task is cancelled when its caller hangs up. A handler that returns without a reply, or raises, is answered
    with 500 (or cut, when the reply had begun).

    A request that is here at once, whole, is given to `begin` before, where there is one: if that returns True, it has
    the reply sent later (`exchange.Later`), or hands the request over to the handler after all
    (`Exchange.hand_over`), and until then it is told of a hang-up (`Exchange.waiting`). It must not raise.
    """

    def __init__(
        self,
        handle: Handler,
        limits: Limits,
        timeouts: ServerTimeouts,
        refuse: Refuse = plain_refusal,
        own: bytes = b"",
        begin: Callable[[Exchange], bool] | None = None,
    ) -> None:
        super().__init__(begin, limits)
        self.handle = handle
        self.refuse = refuse
        self.adopt(limits, timeouts, own)
        self.connections: set[ServerConnection] = set()
        self.leaving: set[asyncio.Task[None]] = set()  # tasks that still answer for a caller who is gone
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time()  # as of the last sweep
        self._listening: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._sweep()

    def __repr__(self) -> str:
        return f"<Server {len(self.connections)} connections{' draining' if self.draining else ''}>"

    def adopt(self, limits: Limits, timeouts: ServerTimeouts, own: bytes = b"") -> None:
        """Hold callers to these limits from now on; every reply has the header lines `own`."""
        self.own = own
        self._tick()
        self.limits = limits
        self.timeouts = timeouts
        self.heads = Heads()  # what was checked by other limits is checked anew
        self.budget.limit = limits.body_budget
        self.room = min(limits.connections, room_of(descriptors()))

    def under_way(self) -> int:
        """Return how many connections have a call under way."""
        return sum(not connection.idle for connection in self.connections)

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections on a bound socket."""
        sock.setblocking(False)
        handshake = self.timeouts.header if tls else None
        made = PlainServerConnection if tls is None else ServerConnection

        def connection() -> ServerConnection:
            return made(self)

        if sock.family == getattr(socket, "AF_UNIX", None):
            server = await self.loop.create_unix_server(connection, sock=sock, ssl=tls, ssl_handshake_timeout=handshake)
        else:
            server = await self.loop.create_server(
                connection, sock=sock, ssl=tls, ssl_handshake_timeout=handshake, backlog=4096
            )
        self._listening.append(server)

    async def drain(self, seconds: float) -> None:
        """Take no new connections, let running exchanges end, and cut what is left after `seconds`.

        A kept-alive connection serves one more request, which is told to close; unused, it is closed after a second.
        """
        self.draining = True
        self._stop_listening()
        until = self.loop.time() + seconds
        idle_until = self.loop.time() + min(1.0, seconds / 2)
        while self.connections and self.loop.time() < until:
            if self.loop.time() >= idle_until:
                for connection in [c for c in self.connections if c.idle]:
                    connection.close()
            self._empty = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty, min(0.25, max(0.0, until - self.loop.time())))
            self._empty = None
        await self.close()

    async def close(self) -> None:
        """Cut every connection and stop."""
        self.draining = True
        self._stop_listening()
        running = {connection.task for connection in self.connections if connection.task is not None} | self.leaving
        for connection in list(self.connections):
            connection.abort()
        until = self.loop.time() + 5
        if self.connections:
            # A call without a task ends with its connection, or is handed over to a task before.
            self._empty = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty, 5)
            self._empty = None
        running |= self.leaving
        if running:
            await asyncio.wait(running, timeout=max(0.0, until - self.loop.time()))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _stop_listening(self) -> None:
        for server in self._listening:
            server.close()
        self._listening.clear()

    def forget(self, connection: "ServerConnection") -> None:
        """Drop a connection that is gone."""
        self.connections.discard(connection)
        if not self.connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _tick(self) -> None:
        self.date = b"date: %b\r\n%b" % (http_date(time.time()), self.own)

    def _sweep(self) -> None:
        self._tick()
        before, self.now = self.now, self.loop.time()
        for connection in list(self.connections):
            connection.check(self.now, before)
        self._sweeper = self.loop.call_later(SWEEP, self._sweep)


def http_date(now: float) -> bytes:
    """Return seconds since the epoch as HTTP writes them: `Fri, 20 Nov 2026 19:23:35 GMT` (RFC 9110, 5.6.7)."""
    at = time.gmtime(now)
    day, month = DAYS[at.tm_wday], MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {clock} GMT".encode()


def descriptors() -> int:
    """Return how many files and sockets this process may have open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1 << 20
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def room_of(files: int) -> int:
    """Return how many connections fit into so many descriptors: each may need one more, to a provider."""
    return max(16, (files - 64) * 3 // 7)
