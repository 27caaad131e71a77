"""One request and its reply, as a handler sees it."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from portico.wire.body import Body
from portico.wire.head import Head
from portico.wire.ready import READY
from portico.wire.waiting import Waiting

if TYPE_CHECKING:
    from portico.wire.requests import Requests

Headers = Sequence[tuple[bytes, bytes]]

STATUS_LINES: Final = {status: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
for extra, phrase in ((499, b"Client Closed Request"), (529, b"Site Overloaded")):
    STATUS_LINES[extra] = b"HTTP/1.1 %d %b\r\n" % (extra, phrase)  # type: ignore[index]  # statuses beyond the registry

HELD_BACK: Final = 64 * 1024
"""Bytes of a body taken in before anybody asked for it."""
COPIED: Final = 16 * 1024
"""A body up to this size is cheaper to copy behind its head than to write apart."""
SIZES: Final = tuple(b"%x\r\n" % size for size in range(1024))
"""The first lines of small chunks: most events of a stream are one."""
NO_BODY: Final = frozenset((204, 304))


def status_line(status: int) -> bytes:
    """Return the first line of a reply."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status  # type: ignore[call-overload]  # keyed by int


class Exchange:
    """A request whose headers are in, and the reply to it.

    `headers` and `fields` are those of its `head`. `declared` is the length of its body, None where only its end will
    tell. `received_ns` is when the last byte of the request came (perf_counter, nanoseconds; 0 before that).
    `on_pause` and `on_resume` are called when the caller reads too slowly, and when it has caught up. `queued` is true
    where it came while another was answered. Made with its `received_ns`, it is complete, and its body is `piece`.
    `begun` is what has been done for it before its handler is asked, and who is `waiting` is told where the caller
    hangs up during that (see `Server`).
    """

    __slots__ = (
        "_body", "_connection", "_length_left", "begun", "bodiless", "chunked", "complete", "declared", "deferred",
        "fields", "finished", "head", "headers", "http10", "keep_alive", "method", "on_pause", "on_resume", "piece",
        "queued", "received_ns", "started", "target", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        connection: "Requests",
        head: Head,
        declared: int | None,
        keep_alive: bool,
        piece: bytes | None = None,
        received_ns: int = 0,
    ) -> None:
        self._connection = connection
        self.head = head
        self.declared = declared
        self.method = head.method
        self.target = head.target
        self.headers = head.headers
        self.fields = head.fields
        self.keep_alive = keep_alive
        self.http10 = head.http10
        self.complete = received_ns != 0
        self.received_ns = received_ns
        self.started = self.finished = False
        self.chunked = self.bodiless = False
        self.queued = self.deferred = False
        self.piece = piece
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None
        self.waiting: Waiting | None = None
        self.begun: object = None
        self._body: Body | None = None
        self._length_left: int | None = None

    def __repr__(self) -> str:
        state = "finished" if self.finished else "started" if self.started else "waiting"
        return f"<Exchange {self.method} {self.path!r} {state}>"

    @property
    def path(self) -> str:
        """The path as sent, still percent-encoded."""
        return self.target.split(b"?", 1)[0].decode("latin-1")

    @property
    def query(self) -> str:
        """The query as sent, empty when there is none."""
        return self.target.partition(b"?")[2].decode("latin-1")

    # the request's body

    @property
    def body(self) -> Body:
        """The body. One that came in a piece, and whole, is read faster by `content`."""
        body = self._body
        if body is None:
            connection = self._connection
            server = connection.server
            body = self._body = Body(self.declared, server.budget, server.limits.memory_body, connection.body_wanted)
            piece, self.piece = self.piece, None
            if piece is not None:
                server.budget.used -= len(piece)
                body.feed(piece)
            if self.complete:
                body.end()
        return body

    @property
    def asked_for(self) -> bool:
        """Whether somebody waits for the body."""
        return self._body is not None and self._body.wanted is None

    def content(self, limit: int) -> bytes | None:
        """Return the whole body if it is here, in memory, and within `limit`; None means that it has to be read."""
        if self._body is not None:
            return self._body.here(limit)
        if not self.complete or self.declared is None:
            return None
        piece = self.piece
        if piece is None:
            return b""
        return piece if len(piece) <= limit else None

    def take(self, piece: bytes) -> None:
        """Take a piece of the body off the wire."""
        if self._body is None and self.piece is None and len(piece) <= HELD_BACK:
            budget = self._connection.server.budget
            if budget.used + len(piece) <= budget.limit:
                budget.used += len(piece)
                self.piece = piece
                return
        self.body.feed(piece)

    def end_body(self) -> None:
        """Note that the last byte of the request is in."""
        self.complete = True
        self.received_ns = perf_counter_ns()
        if self._body is not None:
            self._body.end()

    def close_body(self) -> None:
        """Give back the bytes that the body held."""
        piece = self.piece
        if self._body is not None:
            self._body.close()
        elif piece is not None:
            self._connection.server.budget.used -= len(piece)
            self.piece = None

    def leave(self) -> None:
        """Let the connection turn to what comes next: nobody answers this any more."""
        self.close_body()
        connection = self._connection
        connection.current = None
        if connection.lost:
            return
        connection.since = connection.server.now
        plain = self.keep_alive and self.complete and not connection.read_paused
        if not plain or connection.queue or connection.refusal is not None:
            connection.next(self)

    def header(self, name: bytes) -> bytes | None:
        """Return the header of this lowercased name."""
        return self.fields.get(name)

    @property
    def peer(self) -> str:
        """The address of the caller; empty on a unix socket."""
        return self._connection.peer

    @property
    def secure(self) -> bool:
        """Whether the caller came over TLS."""
        return self._connection.secure

    @property
    def gone(self) -> bool:
        """Whether the caller has hung up."""
        return self._connection.lost

    @property
    def paused(self) -> bool:
        """Whether the caller reads more slowly than we write."""
        return self._connection.write_paused

    # the reply

    def reply(self, status: int, headers: Headers, body: bytes, lines: bytes = b"") -> None:
        """Send a whole reply; `lines` are header lines that are written already, each with its line end."""
        connection = self._connection
        server = connection.server
        plain = self.keep_alive and self.complete and not self.http10 and not server.draining and not self.started
        if plain and status not in NO_BODY and self.method != "HEAD" and len(body) <= COPIED:
            # What nearly every reply is; `_begin` has the rest.
            self.started = self.finished = True
            if headers:
                lines = b"".join([b"%b: %b\r\n" % header for header in headers]) + lines
            length = b"content-length: %d\r\n\r\n" % len(body)
            if not connection.lost:
                connection.transport.write(b"".join((status_line(status), lines, server.date, length, body)))
            return
        self._begin(status, headers, len(body), body, lines)
        self._end()

    def hand_over(self, begun: object) -> None:
        """Give a request to its handler that was begun without: from here on, that goes on with it."""
        self.begun = begun
        self.waiting = None
        self.deferred = False
        self._connection.wake()

    def start(self, status: int, headers: Headers, length: int | None = None, lines: bytes = b"") -> None:
        """Send the head of a reply whose body follows in pieces, of `length` bytes in all if that is known."""
        self._begin(status, headers, length, b"", lines)

    def write(self, piece: bytes) -> None:
        """Send a piece of the body."""
        if self._connection.lost or not piece or self.bodiless:
            return
        if self.chunked:
            self._connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            return
        if self._length_left is not None:
            self._length_left -= len(piece)
            assert self._length_left >= 0, "more body than the reply's head declared"
        self._connection.write(piece)

    def writer(self) -> Callable[[bytes], None]:
        """Return what sends a piece of the body, with as few steps as this reply allows; for many pieces."""
        if not self.chunked or self.method == "HEAD":
            return self.write
        connection = self._connection
        send = connection.transport.write

        def write(piece: bytes) -> None:
            size = len(piece)
            if size and not connection.lost:
                send(b"".join((SIZES[size] if size < 1024 else b"%x\r\n" % size, piece, b"\r\n")))

        return write

    def finish(self) -> None:
        """End the reply."""
        if self.chunked and not self._connection.lost and not self.bodiless:
            self._connection.write(b"0\r\n\r\n")
        if self._length_left:
            self.abort()
            return
        self._end()

    def break_off(self) -> None:
        """End the reply short of its end, once all that was written is sent: a caller sees that it is not whole."""
        self.keep_alive = False
        self._end()

    def abort(self) -> None:
        """Cut the connection, so that the caller cannot take what it got for the whole reply."""
        self.finished = True
        self._connection.abort()

    def drained(self) -> Awaitable[None]:
        """Return what waits until the caller has read most of what was written."""
        return self._connection.drained() if self._connection.write_paused else READY

    def _begin(self, status: int, headers: Headers, length: int | None, body: bytes, own: bytes) -> None:
        assert not self.started, "a reply was already started"
        self.started = True
        connection = self._connection
        if connection.lost:
            return
        server = connection.server
        lines = [status_line(status)]
        lines += [b"%b: %b\r\n" % header for header in headers]
        lines += (own, server.date)
        bodiless = self.bodiless = status in NO_BODY or self.method == "HEAD"
        if status in NO_BODY:
            pass
        elif length is not None:
            lines.append(b"content-length: %d\r\n" % length)
            if length != len(body) and not bodiless:
                self._length_left = length
        elif self.http10:
            self.keep_alive = False
        else:
            self.chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.complete or server.draining:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n\r\n")
        elif self.http10:
            lines.append(b"connection: keep-alive\r\n\r\n")
        else:
            lines.append(b"\r\n")
        if not body or bodiless:
            connection.write(b"".join(lines))
        elif len(body) <= COPIED:
            lines.append(body)
            connection.write(b"".join(lines))
        else:
            connection.write(b"".join(lines))
            connection.write(body)

    def _end(self) -> None:
        self.finished = True
        if self.on_pause is not None:
            self.on_pause = self.on_resume = None


class Later:
    """What sends a reply when it is called, with whatever it is called: a handler may return before.

    That costs less than waking its task. What `send` raises cuts the connection.
    """

    __slots__ = ("_send", "exchange")

    def __init__(self, exchange: Exchange, send: Callable[[], None] | None = None) -> None:
        exchange.deferred = True
        self.exchange = exchange
        self._send = send

    def send(self) -> None:
        """Send the reply."""
        assert self._send is not None, "who is made without it has a way of his own"
        self._send()

    def __call__(self, _: object) -> None:
        """Send the reply, unless there is one, and let the connection turn to what comes next."""
        exchange = self.exchange
        try:
            if not exchange.finished:
                self.send()
        except BaseException:
            exchange.abort()
            raise
        finally:
            connection = exchange._connection
            current = connection.current
            # Unless its handler has not returned yet, or the caller is gone.
            if exchange.deferred and current is exchange and (connection.parked is not None or connection.task is None):
                exchange.leave()
                if connection.current is not None:
                    connection.wake()
