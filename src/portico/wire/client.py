"""The HTTP/1.1 client: a pool of connections for each origin, and their deadlines.

    pool = client.pool(Origin("https", "api.example.com", 443), Settings())
    connection = pool.take() or await pool.acquire(loop.time() + deadlines.connect)
    connection.send(head, [body], sink, deadlines)       # the sink is told the rest

It knows bytes, not models; it sends what it is given, once, and follows nothing.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from weakref import WeakValueDictionary

from portico.errors import BadUpstreamReply, ConfigError, PorticoError, ShuttingDown
from portico.wire.connect import Resolver, open_connection
from portico.wire.connection import Connection, Home, PlainConnection
from portico.wire.deadlines import Deadlines
from portico.wire.forwarded import ForwardedConnection
from portico.wire.origin import Headers, Origin, Settings, split_url
from portico.wire.pool import Pool
from portico.wire.proxy import Proxy, choose_proxy
from portico.wire.replied import ReplyHead
from portico.wire.reply import Sink
from portico.wire.stats import Stats
from portico.wire.stock import Stock
from portico.wire.trust import client_context
from portico.wire.wheel import Wheel

__all__ = [
    "Client",
    "Connection",
    "Deadlines",
    "Headers",
    "Origin",
    "Pool",
    "Settings",
    "Sink",
    "Stats",
    "split_url",
]

READ_BYTES = 256 * 1024 + 32 * 1024
"""The read buffer: one read of uvloop's TLS layer, and a record that was left from the one before."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Client:
    """All connections of one event loop to the outside. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._loop = loop if loop is not None else asyncio.get_running_loop()
        self._clock = clock if clock is not None else self._loop.time
        self._environ = environ if environ is not None else os.environ
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._resolver = Resolver(self._loop, self._clock)
        self._pools: WeakValueDictionary[tuple[Origin, Settings], Pool] = WeakValueDictionary()
        self._in_use: set[Stock] = set()
        self._closed = False
        self._contexts: dict[tuple[str | None, str | None, str | None], ssl.SSLContext] = {}
        self.wheel = Wheel(self._loop, self._clock)

    def pool(self, origin: Origin, settings: Settings) -> Pool:
        """Return the pool for an origin: the same for equal arguments, while somebody holds it or it has connections.

        Raises ConfigError for certificates or a proxy that cannot be used, ShuttingDown after `close`.
        """
        if self._closed:
            raise ShuttingDown("the client is closed")
        key = (origin, settings)
        pool = self._pools.get(key)
        if pool is None:
            proxy = choose_proxy(origin, settings.proxy, self._environ)
            tls = "https" in (origin.scheme, proxy.scheme if proxy is not None else None)
            dial = self._dialer(origin, proxy, self._trust(settings) if tls else None)
            pool = Pool(origin, settings, dial, self._in_use, self._loop, self._clock, self.wheel)
            self._pools[key] = pool
        return pool

    @property
    def stats(self) -> Stats:
        """How many connections there are, over all pools."""
        return sum((pool.stats for pool in self._pools.values()), Stats())

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        deadlines: Deadlines | None = None,
        *,
        settings: Settings | None = None,
        limit: int = 4 * 1024 * 1024,
    ) -> tuple[int, Headers, bytes]:
        """Make one small call, such as for a token: return status, header fields and the whole body.

        Raises ConfigError for an unusable URL or header, BadUpstreamReply for a body over `limit` bytes, and what
        `acquire` and `send` report.
        """
        origin, target = split_url(url)
        head = _head(method, target, origin, headers, len(body))
        deadlines = deadlines if deadlines is not None else Deadlines()
        pool = self.pool(origin, settings if settings is not None else Settings())
        connection = pool.take() or await pool.acquire(self._clock() + deadlines.connect)
        reply = _WholeReply(connection, limit, self._loop.create_future())
        connection.send(head, (body,) if body else (), reply, deadlines, method_is_head=method == "HEAD")
        try:
            await reply.ended
        except asyncio.CancelledError:
            connection.abort()
            raise
        return reply.status, reply.headers, b"".join(reply.chunks)

    async def close(self) -> None:
        """Close every connection; what is in flight, and who waits, ends with ShuttingDown."""
        self._closed = True
        for pool in list(self._pools.values()):
            await pool.close()
        await self._resolver.close()
        self.wheel.stop()

    def _trust(self, settings: Settings) -> ssl.SSLContext:
        key = (settings.ca, settings.client_cert, settings.client_key)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = client_context(settings)
        return context

    def _dialer(
        self, origin: Origin, proxy: Proxy | None, trust: ssl.SSLContext | None
    ) -> Callable[[Home], Awaitable[Connection]]:
        """Return what opens one connection for a pool."""
        where = str(origin)

        async def dial(home: Home) -> Connection:
            connection: Connection
            if proxy is not None and origin.scheme == "http":
                forwarded = ForwardedConnection(home, where, self._loop, self._clock, self.wheel, self._buffer)
                connection = forwarded.forward(origin, proxy)
            else:
                made = PlainConnection if trust is None else Connection
                connection = made(home, where, self._loop, self._clock, self.wheel, self._buffer)
            try:
                await open_connection(connection, origin, proxy, trust, self._resolver)
            except BaseException:
                connection.forget()
                raise
            return connection

        return dial


class _WholeReply(Sink):
    """A sink that keeps a small reply; `ended` is done when there is no more to come."""

    def __init__(self, connection: Connection, limit: int, ended: "asyncio.Future[None]") -> None:
        self.status = 0
        self.headers: Headers = []
        self.chunks: list[bytes] = []
        self.ended = ended
        self._connection: Connection | None = connection
        self._limit = limit
        self._size = 0

    def head(self, head: ReplyHead) -> None:
        self.status = head.status
        self.headers = head.headers

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self._limit:
            self.chunks.append(chunk)
            return
        self.chunks.clear()
        if self._connection is not None:
            self._connection.abort()
        self.end(BadUpstreamReply(f"the reply is larger than {self._limit} bytes"))

    def whole(self, head: ReplyHead, body: bytes) -> None:
        self._connection = None  # it may be another's by now
        super().whole(head, body)

    def end(self, error: PorticoError | None) -> None:
        if self.ended.done():  # the call was cancelled, or the reply is too large
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


def _head(method: str, target: str, origin: Origin, headers: Sequence[tuple[str, str]], size: int) -> bytes:
    """Render a request's head; the length is told where there is a body, or may be one."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {origin.authority}"]
    for name, value in headers:
        if name.lower() in ("host", "content-length", "transfer-encoding"):
            continue
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ConfigError(f"the header {name!r} cannot be sent: it holds characters that are not allowed")
        lines.append(f"{name}: {value}")
    if size or method not in ("GET", "HEAD", "DELETE"):
        lines.append(f"content-length: {size}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
