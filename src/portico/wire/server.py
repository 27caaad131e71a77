"""The HTTP/1.1 server: bytes in, exchanges out; everything a caller may send is bounded before it is used.

httptools (llhttp) parses. It lets pass what a server must not: request lines without a version, no Host, two Hosts,
headers of any size; those are checked here, before a handler runs. One shared buffer per server takes all reads, so a
read allocates nothing. Time limits are kept by one sweep over the connections, not by a timer each.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from email.utils import formatdate

import httptools
import msgspec

from portico.config.schema import Limits, ServerTimeouts
from portico.errors import (
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NotImplementedHere,
    Overloaded,
    PorticoError,
    RequestTimeout,
    UrlTooLong,
    VersionNotSupported,
)
from portico.wire.body import Budget
from portico.wire.exchange import HELD_BACK, Exchange, status_line

Handler = Callable[[Exchange], Coroutine[None, None, None]]
Refuse = Callable[[PorticoError], tuple[int, list[tuple[bytes, bytes]], bytes]]

METHODS = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
READ_SIZE = 256 * 1024
SWEEP = 0.5
"""Seconds between two looks at all time limits."""
LINGER = 2.0
"""Seconds that a refused caller has to read its answer."""
LINGER_BYTES = 1024 * 1024
ONCE = (b"host", b"transfer-encoding", b"authorization", b"content-type")
"""Headers of which a request must not have two: whoever reads it next might believe the other one."""

log = logging.getLogger("portico.wire")


def plain_refusal(error: PorticoError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Render a refusal made before the caller's dialect is known: the JSON shape that most SDKs read."""
    body = msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": "invalid_request_error" if error.fault == "caller" else "server_error",
                "param": error.param,
                "code": error.code,
            }
        }
    )
    headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    return error.status, headers, body


class Server:
    """Listens, and gives each request to `handle` as an Exchange, in the task of its connection.

    The task is cancelled when its caller hangs up. A handler that returns without a reply, or raises, is answered
    with 500 (or cut, when the reply had begun).
    """

    def __init__(
        self, handle: Handler, limits: Limits, timeouts: ServerTimeouts, refuse: Refuse = plain_refusal
    ) -> None:
        self.handle = handle
        self.refuse = refuse
        self.budget = Budget(limits.body_budget)
        self.adopt(limits, timeouts)
        self.connections: set[ServerConnection] = set()
        self.leaving: set[asyncio.Task[None]] = set()  # tasks that still answer for a caller who is gone
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.draining = False
        self.date = b""
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time()  # as of the last sweep
        self._listening: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._sweep()

    def __repr__(self) -> str:
        return f"<Server {len(self.connections)} connections{' draining' if self.draining else ''}>"

    def adopt(self, limits: Limits, timeouts: ServerTimeouts) -> None:
        """Hold callers to these limits from now on."""
        self.limits = limits
        self.timeouts = timeouts
        self.budget.limit = limits.body_budget
        self.room = min(limits.connections, room_of(descriptors()))

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
        if running:
            await asyncio.wait(running, timeout=5)
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

    def _sweep(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        now = self.now = self.loop.time()
        for connection in list(self.connections):
            connection.check(now)
        self._sweeper = self.loop.call_later(SWEEP, self._sweep)


class ServerConnection(asyncio.BufferedProtocol):
    """One caller's connection: its requests in order, one reply at a time."""

    __slots__ = (
        "_drained",
        "_feeding",
        "_head_bytes",
        "_headers",
        "_idle",
        "_in_headers",
        "_linger_bytes",
        "_linger_until",
        "_parser",
        "_peer",
        "_queue",
        "_read_paused",
        "_reading",
        "_refusal",
        "_since",
        "_skipped",
        "_target",
        "_unsent",
        "_waste",
        "_write_since",
        "current",
        "lost",
        "secure",
        "server",
        "task",
        "transport",
        "write_paused",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.current: Exchange | None = None  # being answered
        self.task: asyncio.Task[None] | None = None  # that answers
        self._idle: asyncio.Future[None] | None = None  # what it waits for between requests
        self.lost = False
        self.secure = False
        self.write_paused = False
        self._reading: Exchange | None = None  # whose body is coming in
        self._queue: deque[Exchange] = deque()
        self._refusal: PorticoError | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._skipped = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._head_bytes = 0
        self._feeding = 0
        self._in_headers = False
        self._read_paused = False
        self._since = 0.0
        self._waste = 0
        self._write_since = 0.0
        self._unsent = 0
        self._linger_until = 0.0
        self._linger_bytes = 0
        self._drained: asyncio.Future[None] | None = None
        self._peer: str | None = None

    def __repr__(self) -> str:
        return f"<ServerConnection {self.peer or 'unix'} {self.current!r}>"

    @property
    def peer(self) -> str:
        """The address of the caller; empty on a unix socket."""
        if self._peer is None:
            name = self.transport.get_extra_info("peername")
            self._peer = str(name[0]) if isinstance(name, tuple) and name else ""
        return self._peer

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.current is None and not self._in_headers and not self._linger_until

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or refuse it when there are too many."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own class
        self.secure = transport.get_extra_info("sslcontext") is not None
        self._since = self.server.now
        server = self.server
        over = len(server.connections) - server.room
        if over > server.room // 8 + 16:
            # So many that not even refusals can be waited for.
            self.abort()
            return
        server.connections.add(self)
        if over >= 0:
            self._refuse(Overloaded("this gateway worker has as many connections as it may", retry_after=1))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer: it is read out before anything else runs."""
        return self.server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came into the buffer."""
        self.data_received(self.server.buffer[:nbytes])

    def data_received(self, data: memoryview | bytes) -> None:
        """Parse what came in."""
        if self._linger_until:
            self._linger_bytes += len(data)
            if self._linger_bytes > LINGER_BYTES:
                self.abort()
            return
        if self._refusal is not None:
            return
        self._feeding = len(data)
        try:
            while (rest := self._parse(data)) is not None:
                data = data[rest:]
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, PorticoError):
                raise
            self._refuse(cause)
        except httptools.HttpParserInvalidMethodError:
            self._refuse(NotImplementedHere("the request line has a method that is not one of HTTP's"))
        except httptools.HttpParserError as error:
            self._refuse(InvalidRequest(f"the request is not valid HTTP/1.1: {_plain(error)}"))
        else:
            if self._in_headers:
                self._head_bytes += len(data)
                if self._head_bytes > self.server.limits.header_bytes + self.server.limits.url_bytes:
                    self._refuse(self._headers_too_large())
            elif self._reading is not None:
                # Sizes and extensions of chunks, and trailers; one read may hold a piece of the body besides.
                self._waste += len(data)
                if self._waste > self.server.limits.header_bytes + READ_SIZE:
                    self._refuse(self._headers_too_large())
            elif self.current is None and self._refusal is None and not self.lost and bytes(data).strip(b"\r\n"):
                # The first bytes of a request, up to its target at most: its time runs from here. Line ends before it
                # are none of it (RFC 9112, 2.2).
                self._begin()
                self._head_bytes = len(data)

    def _parse(self, data: memoryview | bytes) -> int | None:
        """Parse what was read; return where to go on when a request offered an upgrade, else None.

        Upgrades are offers: the request is served as it is, and what follows it is read as HTTP/1.1.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            self._parser = httptools.HttpRequestParser(self)
            if self._skipped:
                # httptools ends such a request at its headers; a parser in the same state goes on with the body.
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % self._skipped)
            rest = error.args[0] if error.args else len(data)
            return rest if rest < len(data) else None
        return None

    def _begin(self) -> None:
        self._in_headers = True
        self._head_bytes = self._waste = 0
        self._headers = []
        self._target = b""
        if self.current is None:
            self._since = self.server.now

    def _check_size(self, headers: list[tuple[bytes, bytes]]) -> None:
        limits = self.server.limits
        if len(headers) > limits.header_count:
            raise self._headers_too_large()
        # What was fed so far is an upper bound, body included; only beyond it is it worth adding up.
        fed = self._head_bytes + self._feeding
        if (
            fed > limits.header_bytes
            and sum(len(name) + len(value) + 4 for name, value in headers) > limits.header_bytes
        ):
            raise self._headers_too_large()
        self._head_bytes = 0

    def eof_received(self) -> bool:
        """Treat the end of the caller's side as a hang-up, as other servers do."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what was under way for a caller that is gone."""
        self.lost = True
        self.write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.task is not None:
            self.task.cancel()
            if self.current is not None:
                self.server.leaving.add(self.task)
                self.task.add_done_callback(self.server.leaving.discard)
        for exchange in self._queue:
            exchange.close_body()
        self._queue.clear()
        # The parser holds this connection's methods: a cycle that would wait for the collector.
        del self._parser
        self.server.forget(self)

    def pause_writing(self) -> None:
        """Hold the reply back: the caller reads too slowly."""
        self.write_paused = True
        self._write_since = self.server.loop.time()
        self._unsent = 0
        if self.current is not None and self.current.on_pause is not None:
            self.current.on_pause()

    def resume_writing(self) -> None:
        """Let the reply go on."""
        self.write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.current is not None and self.current.on_resume is not None:
            self.current.on_resume()

    async def drained(self) -> None:
        """Wait until the transport takes more."""
        if self._drained is None or self._drained.done():
            self._drained = self.server.loop.create_future()
        await asyncio.shield(self._drained)

    # the parser's side

    def on_url(self, url: bytes) -> None:
        """Start a request, or take more of its target."""
        if self._in_headers:
            self._target += url
        elif self._skipped:
            return
        else:
            self._begin()
            self._target = url
        if len(self._target) > self.server.limits.url_bytes:
            raise UrlTooLong(f"the request target is longer than {self.server.limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What comes after the body (trailers) is counted, and given to nobody."""
        if self._in_headers:
            self._headers.append((name.lower(), value))
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.server.limits.header_bytes:
            raise self._headers_too_large()

    def on_headers_complete(self) -> None:
        """Check the head as a whole and make the exchange."""
        if self._skipped:
            self._skipped = b""
            return
        self._in_headers = False
        parser = self._parser
        headers = self._headers
        fields = dict(headers)
        keep_alive = parser.should_keep_alive()
        # Only HTTP/1.1 keeps a connection without a word about it, so for nearly all requests that is the version.
        version = "1.1" if keep_alive and b"connection" not in fields else parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise VersionNotSupported(f"HTTP/{version} is not spoken here; use HTTP/1.1")
        method = METHODS.get(parser.get_method())
        if method is None:
            raise MethodNotAllowed(f"the method {parser.get_method().decode('latin-1')} is not allowed here")
        self._check_size(headers)
        if b"host" not in fields:
            if version == "1.1":
                raise InvalidRequest("the request has no Host header")
        elif len(fields) != len(headers):
            for once in ONCE:
                if sum(name == once for name, _ in headers) > 1:
                    raise InvalidRequest(f"the request has more than one {once.decode().title()} header")
        declared: int | None = 0
        if b"content-length" in fields:
            declared = int(fields[b"content-length"])
        elif b"transfer-encoding" in fields:
            coding = fields[b"transfer-encoding"]
            if coding.strip().lower() != b"chunked":
                raise NotImplementedHere(f"transfer-encoding {coding.decode('latin-1')!r} is not supported")
            if version == "1.0":
                raise InvalidRequest("HTTP/1.0 has no transfer-encoding")
            declared = None
        if b"upgrade" in fields and parser.should_upgrade() and declared != 0:
            self._skipped = b"content-length: %d" % declared if declared is not None else b"transfer-encoding: chunked"
        target = self._target
        if target[:1] != b"/":
            target = origin_form(target)
        if b"#" in target:
            raise InvalidRequest("the request target has a fragment, which is for the caller alone")
        exchange = Exchange(self, method, target, headers, fields, declared)
        if version == "1.0":
            exchange.http10 = True
        if not keep_alive:
            exchange.keep_alive = False
        if b"expect" in fields:
            expected = fields[b"expect"]
            if expected.strip().lower() != b"100-continue":
                raise InvalidRequest(f"the expectation {expected.decode('latin-1')!r} cannot be met")
            exchange.expects_continue = version == "1.1"
        self._reading = exchange
        if self.current is None:
            self.current = exchange
            if self._idle is not None:
                self._idle.set_result(None)
                self._idle = None
            elif self.task is None:
                self.task = self.server.loop.create_task(self._serve())
        else:
            exchange.queued = True
            self._queue.append(exchange)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body; hold the caller back while nobody has asked for it."""
        exchange = self._reading
        if exchange is None or self._refusal is not None:
            return
        self._since = self.server.now
        self._waste = 0
        exchange.take(piece)
        if exchange.piece is None and not exchange.asked_for and exchange.body.size > HELD_BACK:
            self._pause_reading()

    def on_message_complete(self) -> None:
        """End the request."""
        exchange = self._reading
        if exchange is None or self._skipped:
            return
        self._reading = None
        exchange.end_body()
        if self._queue:
            self._pause_reading()

    # the exchange's side

    def write(self, data: bytes) -> None:
        """Put bytes on the wire."""
        if not self.lost:
            self.transport.write(data)

    def abort(self) -> None:
        """Cut the connection: nothing more is begun on it."""
        if not self.lost:
            self.lost = True
            self.transport.abort()

    def close(self) -> None:
        """Close the connection once all that was written is sent."""
        if not self.lost:
            self._linger_until = self._write_since = self.server.loop.time()
            self._linger_until += LINGER
            self.transport.close()

    def check(self, now: float) -> None:
        """Hold the caller to its time limits."""
        if self.lost:
            return
        limits = self.server.timeouts
        if self._linger_until or self.write_paused:
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._write_since = now
            self._unsent = unsent
            if now - self._write_since > limits.write or (not unsent and 0 < self._linger_until <= now):
                self.abort()
            return
        waited = now - self._since - SWEEP  # `_since` may be as old as the last sweep
        if self._reading is not None:
            if not self._read_paused and self._reading.asked_for and waited > limits.body:
                self._refuse(RequestTimeout(f"no byte of the request body came for {limits.body:g} seconds"))
        elif self._in_headers:
            if self.current is None and waited > limits.header:
                self._refuse(RequestTimeout(f"the request headers did not end within {limits.header:g} seconds"))
        elif self.current is None and waited > limits.idle:
            self.close()

    # inside

    async def _serve(self) -> None:
        # One task for all requests of a connection: making one costs more than waking one.
        server = self.server
        while not self.lost:
            exchange = self.current
            if exchange is None:
                self._idle = server.loop.create_future()
                await self._idle
                continue
            try:
                if exchange.queued or self.write_paused:
                    # Other callers have their turn first, and who does not read its replies gets no more of them.
                    await asyncio.sleep(0)
                    await exchange.drained()
                await server.handle(exchange)
                if not exchange.finished and not self.lost:
                    raise RuntimeError(f"the handler returned and left {exchange!r} unfinished")
            except asyncio.CancelledError:
                if not self.lost:
                    exchange.abort()
                raise
            except Exception as error:
                self._failed(exchange, error)
            finally:
                exchange.close_body()
                self.current = None
                if not self.lost:
                    self._next(exchange)

    def _failed(self, exchange: Exchange, error: Exception) -> None:
        """Answer for a handler that raised: the last net. A defect of ours must cost one call, and be seen."""
        log.error("a handler failed on %s %s", exchange.method, exchange.path, exc_info=error)
        if self.lost:
            return
        if exchange.started:
            exchange.abort()
            return
        if not isinstance(error, PorticoError):
            error = PorticoError("the gateway failed to handle this request")
        exchange.reply(*self.server.refuse(error))

    def _next(self, done: Exchange) -> None:
        self._since = self.server.now
        if not done.keep_alive or not done.complete:
            more = self._refusal is not None or self._in_headers or self._read_paused
            self._linger(unread=not done.complete or more or bool(self._queue))
            return
        if self._queue:
            self.current = self._queue.popleft()
        elif self._refusal is not None:
            self._answer_refusal()
            return
        if not self._queue and self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()

    def body_wanted(self) -> None:
        """Let the caller go on: somebody asks for the body."""
        exchange = self.current
        self._since = self.server.now
        if exchange is not None and exchange.expects_continue and exchange.body.size == 0:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._read_paused and not self._queue:
            self._read_paused = False
            self.transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and not self.lost:
            self._read_paused = True
            self.transport.pause_reading()

    def _headers_too_large(self) -> PorticoError:
        limits = self.server.limits
        return HeadersTooLarge(
            f"the request headers exceed {limits.header_count} fields or {limits.header_bytes} bytes in all"
        )

    def _refuse(self, error: PorticoError) -> None:
        """End the connection over a request that cannot be read on, after the replies that are still owed."""
        self._refusal = error
        reading, self._reading = self._reading, None
        self._in_headers = False
        if reading is not None and not reading.complete:
            reading.keep_alive = False
            asked_for = reading.asked_for
            reading.body.fail(error)
            if not asked_for:
                return
        if self.current is None:
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        assert self._refusal is not None
        status, headers, body = self.server.refuse(self._refusal)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.write(
            b"%b%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status_line(status), lines, self.server.date, len(body), body)
        )
        self._linger(unread=True)

    def _linger(self, *, unread: bool) -> None:
        """Close in stages (RFC 9112, 9.6): bytes that come after a close would reset the connection, answer and all.

        TLS has no half-closed state. There only what is known to be unread is worth the wait.
        """
        halves = self.transport.can_write_eof()
        if not halves and not unread:
            self.close()
            return
        self._linger_until = self._write_since = self.server.loop.time()
        self._linger_until += LINGER
        if self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()
        if halves:
            with contextlib.suppress(OSError):
                self.transport.write_eof()


class PlainServerConnection(ServerConnection, asyncio.Protocol):
    """A connection without TLS. Loops give a Protocol its reads as bytes, which costs less than lending a buffer."""

    __slots__ = ()


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


def origin_form(target: bytes) -> bytes:
    """Return the path and query of a target in absolute form, which a server must take as well (RFC 9112, 3.2.2)."""
    if target == b"*":
        return target
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise InvalidRequest("the request target is neither a path nor a URL")
    host, query, asked = rest.partition(b"?")
    host, _, path = host.partition(b"/")
    if not host:
        raise InvalidRequest("the request target is a URL without a host")
    return b"/" + path + query + asked


def _plain(error: httptools.HttpParserError) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
