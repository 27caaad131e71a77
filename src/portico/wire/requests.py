"""A caller's requests: bytes in, exchanges out; all is bounded before it is used.

httptools (llhttp) parses. It lets pass what a server must not: request lines without a version, no Host, two Hosts,
headers of any size; those are checked here, before a handler runs. A head that was checked is remembered for its
connection, and a request that repeats it byte for byte, its length apart, is not parsed again; where connections carry
the heads of many callers in turn, `heads` does the same for all of them.
"""

import asyncio
import logging
import re
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable
from time import perf_counter_ns
from typing import Final

import httptools

from portico.compiled import mypyc_attr
from portico.errors import HeadersTooLarge, InvalidRequest, NotImplementedHere, PorticoError, UrlTooLong
from portico.wire.digits import number
from portico.wire.exchange import HELD_BACK, Exchange
from portico.wire.head import Head, checked
from portico.wire.serving import Serving

log = logging.getLogger("portico.wire")

READ_SIZE: Final = 256 * 1024
LINGER_BYTES: Final = 1024 * 1024
REMEMBERED: Final = 8 * 1024
"""Bytes of a head that is remembered."""
TRIES: Final = 3
"""Where heads differ this often, the connection is not one caller's: `heads` has those of all."""

NO_HEADERS: list[tuple[bytes, bytes]] = []
"""What a connection has of headers while none come in; nothing is added to it."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)


@mypyc_attr(allow_interpreted_subclasses=True)
class Requests(asyncio.BufferedProtocol):
    """The receiving half of a caller's connection: one request after another, each an exchange to be answered."""

    __slots__ = (
        "_after",
        "_before",
        "_entering",
        "_feeding",
        "_head",
        "_head_bytes",
        "_headers",
        "_in_headers",
        "_linger_bytes",
        "_linger_until",
        "_parser",
        "_peer",
        "_reading",
        "_skipped",
        "_target",
        "_tries",
        "_waste",
        "current",
        "lost",
        "parked",
        "queue",
        "read_paused",
        "refusal",
        "secure",
        "server",
        "since",
        "task",
        "transport",
        "write_paused",
    )

    transport: asyncio.Transport

    def __init__(self, server: Serving) -> None:
        self.server = server
        self.task: asyncio.Task[None] | None = None  # that answers, once one has to
        self.current: Exchange | None = None  # being answered
        self.parked: asyncio.Future[None] | None = None  # what its task waits for between requests
        self.lost = False
        self.secure = False
        self.since = 0.0  # when its caller began to be waited for
        self.write_paused = False  # the caller does not read its replies
        self.read_paused = False
        self.queue: deque[Exchange] | tuple[()] = ()  # most connections never have one
        self.refusal: PorticoError | None = None
        self._entering: Exchange | None = None  # whose head came with what is read now
        self._reading: Exchange | None = None  # whose body is coming in
        self._peer: str | None = None
        self._parser: httptools.HttpRequestParser | None = None  # there while heads are not known
        self._skipped = b""
        self._headers = NO_HEADERS
        self._target = b""
        self._head_bytes = 0
        self._before = self._after = b""  # the head of the last request, around its content length
        self._head: Head | None = None
        self._tries = 0  # heads remembered since one was repeated
        self._feeding = 0
        self._in_headers = False
        self._waste = 0
        self._linger_until = 0.0
        self._linger_bytes = 0

    # What the answering half does

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection: nothing more is begun on it."""

    @abstractmethod
    def wake(self) -> None:
        """Let the connection's task answer the exchange whose turn it is."""

    @abstractmethod
    def next(self, done: Exchange) -> None:
        """Turn to what waits behind an exchange that is done, or end the connection with it."""

    def body_wanted(self) -> None:
        """Let the caller go on: somebody asks for the body."""
        exchange = self.current
        self.since = self.server.now
        if exchange is not None and exchange.head.expects_continue and exchange.body.size == 0:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.read_paused and not self.queue:
            self.read_paused = False
            self.transport.resume_reading()

    @abstractmethod
    def drained(self) -> Awaitable[None]:
        """Return what waits until the transport takes more."""

    def write(self, data: bytes) -> None:
        """Put bytes on the wire."""
        if not self.lost:
            self.transport.write(data)

    @property
    def peer(self) -> str:
        """The address of the caller; empty on a unix socket."""
        if self._peer is None:
            name = self.transport.get_extra_info("peername")
            self._peer = str(name[0]) if isinstance(name, tuple) and name else ""
        return self._peer

    @abstractmethod
    def _refuse(self, error: PorticoError) -> None:
        """End the connection over a request that cannot be read on, after the replies that are still owed."""

    # the socket's side

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer: it is read out before anything else runs."""
        return self.server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came into the buffer."""
        self.data_received(bytes(self.server.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Parse what came in."""
        before = self._before
        if before and data.startswith(before) and _repeats(self, data, len(before)):
            return
        if self._tries >= TRIES and (found := self.server.heads.find(data)) is not None:
            head, begin, size = found
            if _takes(self, data, head, begin, size):
                return
        if self._linger_until:
            self._linger_bytes += len(data)
            if self._linger_bytes > LINGER_BYTES:
                self.abort()
            return
        if self.refusal is not None:
            return
        self._feeding = len(data)
        between = self.current is None and not self._in_headers
        try:
            self._read(data, between)
        finally:
            entering = self._entering
            if entering is not None:
                self._entering = None
                _begin(self, entering)

    def _read(self, data: bytes, between: bool) -> None:
        """Parse what came in; `between` says that it begins with a request."""
        whole = data
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
            current = self.current
            if self._in_headers:
                self._head_bytes += len(data)
                if self._head_bytes > self.server.limits.header_bytes + self.server.limits.url_bytes:
                    self._refuse(self._headers_too_large())
            elif self._reading is not None:
                # Sizes and extensions of chunks, and trailers; one read may hold a piece of the body besides.
                self._waste += len(data)
                if self._waste > self.server.limits.header_bytes + READ_SIZE:
                    self._refuse(self._headers_too_large())
            elif current is None:
                if data.strip(b"\r\n") and self._open():
                    # The first bytes of a request, up to its target at most: its time runs from here. Line ends before
                    # it are none of it (RFC 9112, 2.2).
                    self._begin_head()
                    self._head_bytes = len(data)
            elif between and current.complete:
                if self._tries < TRIES:
                    self._remember(whole, current)
                else:
                    self.server.heads.learn(whole, current.head)

    def _remember(self, data: bytes, exchange: Exchange) -> None:
        """Keep the head of a request that came in one piece, with nothing before or behind it."""
        self._tries += 1
        end = data.find(b"\r\n\r\n", 0, REMEMBERED) + 4
        found = _LENGTH.search(data, 0, end)
        head = exchange.head
        if found is None or exchange.queued or self.queue or len(data) != end + int(found[1]):
            return
        if not head.keep_alive or head.http10 or b"expect" in head.fields or b"upgrade" in head.fields:
            return
        self._before, self._after, self._head = data[: found.start(1)], data[found.end(1) : end], head
        # Most connections repeat it for good, and a parser is a kilobyte.
        self._parser = None

    def _open(self) -> bool:
        """Return whether a request may begin here."""
        return self.refusal is None and not self.lost

    def _parse(self, data: bytes) -> int | None:
        """Parse what was read; return where to go on when a request offered an upgrade, else None.

        Upgrades are offers: the request is served as it is, and what follows it is read as HTTP/1.1.
        """
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            parser = self._parser = httptools.HttpRequestParser(self)
            if self._skipped:
                # httptools ends such a request at its headers; a parser in the same state goes on with the body.
                parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % self._skipped)
            rest = error.args[0] if error.args else len(data)
            return rest if rest < len(data) else None
        return None

    def _begin_head(self) -> None:
        self._in_headers = True
        self._head_bytes = self._waste = 0
        self._headers = []
        self._target = b""
        if self.current is None:
            self.since = self.server.now

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

    # the parser's side

    def on_url(self, url: bytes) -> None:
        """Start a request, or take more of its target."""
        if self._in_headers:
            self._target += url
        elif self._skipped:
            return
        else:
            self._begin_head()
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
        assert parser is not None, "it calls this"
        headers, self._headers = self._headers, NO_HEADERS
        keep_alive = parser.should_keep_alive()
        fields = dict(headers)
        # Only HTTP/1.1 keeps a connection without a word about it, so for nearly all requests that is the version.
        version = "1.1" if keep_alive and b"connection" not in fields else parser.get_http_version()
        self._check_size(headers)
        head, declared = checked(parser.get_method(), self._target, headers, fields, version, keep_alive=keep_alive)
        if b"upgrade" in fields and parser.should_upgrade() and declared != 0:
            self._skipped = b"content-length: %d" % declared if declared is not None else b"transfer-encoding: chunked"
        exchange = Exchange(self, head, declared, keep_alive)
        self._reading = exchange
        if self.current is None:
            self.current = self._entering = exchange
        else:
            exchange.queued = True
            if not self.queue:
                self.queue = deque()
            self.queue.append(exchange)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body; hold the caller back while nobody has asked for it."""
        exchange = self._reading
        if exchange is None or self.refusal is not None:
            return
        self.since = self.server.now
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
        if self.queue:
            self._pause_reading()

    # what follows from them

    def _pause_reading(self) -> None:
        if not self.read_paused and not self.lost:
            self.read_paused = True
            self.transport.pause_reading()

    def _headers_too_large(self) -> PorticoError:
        limits = self.server.limits
        return HeadersTooLarge(
            f"the request headers exceed {limits.header_count} fields or {limits.header_bytes} bytes in all"
        )


# Functions, for methods of a class that others extend are looked for by their names, compiled or not.


def _repeats(connection: Requests, data: bytes, start: int) -> bool:
    """Take a request that begins as the last one did, if all else but its length and body is the same too."""
    size, end = number(data, start)
    after, head = connection._after, connection._head
    if end == start or not data.startswith(after, end) or head is None:
        return False
    if not _takes(connection, data, head, end + len(after), size):
        return False
    connection._tries = 0
    return True


def _takes(connection: Requests, data: bytes, head: Head, begin: int, size: int) -> bool:
    """Take a request whose head is known, if all of it is here and there is room for it.

    Nothing else may be under way, and nothing have gone wrong.
    """
    server = connection.server
    budget = server.budget
    used = budget.used + size
    if (
        len(data) != begin + size
        or size > HELD_BACK
        or used > budget.limit
        or connection.current is not None
        or connection._reading is not None
        or connection._in_headers
        or connection.refusal is not None
        or connection._linger_until
        or connection.lost
    ):
        return False
    body = data[begin:] if size else None
    exchange = Exchange(connection, head, size, head.keep_alive, body, perf_counter_ns())
    budget.used = used
    connection.since = server.now
    connection.current = exchange
    _begin(connection, exchange)
    return True


def _begin(connection: Requests, exchange: Exchange) -> None:
    """Have an exchange answered, now that it is its turn: by its handler, where nobody else begins it."""
    begin = connection.server.begin
    begun = False
    if begin is not None and exchange.complete and not connection.lost and not connection.write_paused:
        try:
            begun = begin(exchange)
        except Exception as error:
            log.error("%r could not be begun", exchange, exc_info=error)
    if not begun:
        connection.wake()


def _plain(error: httptools.HttpParserError) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
