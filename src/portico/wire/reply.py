"""Replies, read and pushed on: what arrives on a connection is parsed and handed to a sink within the read.

Reads over TLS go into a buffer that all connections of a client share, which works because nothing of a read is left
when its callback returns: it keeps uvloop from allocating 256 KB for every read. Plain reads come as bytes, which is
less work for each. llhttp parses; what it lets pass and a client must not is checked here.
"""

import asyncio
import ssl
import zlib
from collections.abc import Callable
from typing import Final

import httptools

from portico.compiled import mypyc_attr
from portico.errors import BadUpstreamReply, PorticoError, untraced
from portico.wire.gone import GONE
from portico.wire.inflate import Inflater
from portico.wire.origin import Headers
from portico.wire.replied import LastHead, ReplyHead

HEAD_BYTES: Final = 256 * 1024
"""The head of a reply, or its trailers, or one chunk extension: beyond this the reply is refused."""
HEAD_COUNT: Final = 1024
INTERIM_REPLIES: Final = 16
"""1xx replies before the one that counts."""
PIECES_A_TURN: Final = 16
"""Pieces that are inflated before other connections have their turn."""

_CODINGS: Final = frozenset((b"content-encoding", b"transfer-encoding"))
_INFLATED: Final = frozenset((b"gzip", b"x-gzip", b"deflate"))


@mypyc_attr(allow_interpreted_subclasses=True)
class Sink:
    """Where a reply goes. Called inside the socket's callback: must be quick, must not raise.

    Either `head`, then `feed` for each piece, and `end`, or for a reply that came in one read `whole` alone.
    """

    __slots__ = ()

    def head(self, head: ReplyHead) -> None:
        """Take the status and the header fields, once; interim replies are left out."""

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body, without chunked framing and without gzip or deflate."""

    def end(self, error: PorticoError | None) -> None:
        """Take note that nothing more comes: the reply is whole, or what became of it. Called exactly once."""

    def whole(self, head: ReplyHead, body: bytes) -> None:
        """Take a whole reply. Its connection is free already."""
        self.head(head)
        self.feed(body)
        self.end(None)


class Replies(asyncio.BufferedProtocol):
    """The receiving half of a connection: one reply after another, each to its own sink."""

    __slots__ = (
        "_awaited",
        "_buffer",
        "_clock",
        "_complete",
        "_extra",
        "_fed",
        "_head",
        "_head_only",
        "_headed",
        "_headers",
        "_heard_at",
        "_held",
        "_inflater",
        "_interims",
        "_keep",
        "_last",
        "_loop",
        "_parser",
        "_paused",
        "_pieces",
        "_scheduled",
        "_sink",
        "_turn_at",
        "_until_close",
        "_upload",
        "_waste",
        "_where",
        "_whole",
        "on_body",
        "transport",
    )

    def __init__(
        self,
        where: str,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        buffer: memoryview,
        last: LastHead,
    ) -> None:
        self._where = where
        self._loop = loop
        self._clock = clock
        self._buffer = buffer
        self._last = last
        self.transport: asyncio.Transport = GONE  # until connection_made
        self._fed: list[bytes] = []  # pieces of the body in the read at hand
        self._whole = 0  # how many of them there were when the reply was
        # The parser's callback for a piece of the body is the list's own method: no step of ours for each.
        self.on_body = self._fed.append
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._sink: Sink | None = None
        self._awaited = False  # nothing came of a reply yet that may repeat the head of another
        self._headers: Headers = []
        self._head: ReplyHead | None = None  # in the read at hand, and not passed on
        self._heard_at = 0.0
        self._headed = False  # the head of the final reply is through
        self._complete = False  # the parser has seen the end of the reply
        self._extra = False  # bytes came after it
        self._keep = False  # the connection can carry another request
        self._until_close = False  # the reply has no end but that of the connection
        self._head_only = False
        self._interims = 0
        self._waste = 0  # bytes read since the last that were worth something
        self._inflater: Inflater | None = None
        self._pieces = 0  # that may still be inflated in this turn,
        self._turn_at = 0.0  # which is the one that began then
        self._scheduled = False
        self._upload: asyncio.Timeout | None = None  # of a request whose body is still being written
        self._paused = False  # by the reader
        self._held = False  # reading of the socket is off

    # What the sending half does

    def fail(self, error: PorticoError) -> None:
        """Close at once and end the sink with `error`."""
        raise NotImplementedError

    def _stop_upload(self) -> None:
        """Write no more of the request."""
        raise NotImplementedError

    def _done(self, keep: bool) -> None:
        """Be told that a reply is whole, and whether the connection can be used again."""
        raise NotImplementedError

    # The reader's side

    def pause(self) -> None:
        """Stop reading; what has been read already may still be fed, up to the size of the read buffer."""
        self._paused = True
        self._throttle()

    def resume(self) -> None:
        """Go on reading."""
        if not self._paused:
            return
        self._paused = False
        self._heard_at = self._clock()
        if self._inflater is not None and self._inflater.backlog:
            self._schedule()
        self._throttle()

    # The socket's side

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer that all connections of the client read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read into the buffer."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Parse what was read."""
        sink = self._sink
        if sink is None:
            # Nobody asked for this: a reply to nothing, or an aborted request's rest.
            self.transport.abort()
            return
        clock = self._clock  # called as what it is, no method
        self._heard_at = clock()
        first = self._awaited
        if first:
            # The first that comes of a reply, and of most that are no stream all there is.
            self._awaited = False
            found = self._last.find(data)
            if found is not None:
                self._headed = self._complete = self._keep = True
                self._leave()
                self._whole_to(sink, found[0], data[found[1] :])
                return
        fed = self._fed
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]  # gone only when closed
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._head is None or self._pass_head_on(sink):
                if fed:
                    self._pass_on()
                self._broken(error)
            return
        head = self._head
        if head is not None:
            if self._whole == 1 and len(fed) == 1 and self._inflater is None:
                # What most reads are that begin a reply: all of it.
                self._head = None
                body = fed[0]
                fed.clear()
                if first and self._keep and not self._extra and not self._interims:
                    self._last.learn(data, head)
                self._leave()
                self._whole_to(sink, head, body)
                return
            if not self._pass_head_on(sink):
                return
        if fed:
            self._waste = 0
            if self._inflater is None and len(fed) == 1 and self._sink is sink:
                # What nearly every read is that goes on with a reply: one piece of a stream.
                piece = fed[0]
                fed.clear()
                whole = self._complete
                if whole and not self._whole:
                    self._extra = True
                else:
                    try:
                        sink.feed(piece)
                    except Exception as error:
                        self._sink_raised(error)
                        return
                    if not whole:
                        return
            else:
                self._pass_on()
        else:
            self._waste += len(data)
        if self._complete:
            if self._inflater is None or not self._inflater.backlog:
                self._finish()
        elif self._waste > HEAD_BYTES:
            self.fail(BadUpstreamReply(f"{self._where} sent more than {HEAD_BYTES} bytes of headers"))

    def _whole_to(self, sink: Sink, head: ReplyHead, body: bytes) -> None:
        try:
            sink.whole(head, body)
        except Exception as error:
            self._sink = sink  # to be told
            self._sink_raised(error)

    def eof_received(self) -> None:
        """End a reply that lasts until the connection closes; anything else is cut short, and lost."""
        if self._sink is None or self._complete or not self._until_close or not _ended_properly(self.transport):
            return
        self._complete = True
        if self._inflater is None or not self._inflater.backlog:
            self._finish()

    # The parser's side

    def on_message_begin(self) -> None:
        """Note that something follows a reply that was whole."""
        if self._complete:
            self._extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field; a trailer field is dropped."""
        if not self._headed:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head, which is passed on once the read has been looked at; one of an interim reply is dropped."""
        parser = self._parser
        sink = self._sink
        if sink is None or self._complete or parser is None:
            return
        status = parser.get_status_code()
        headers = self._headers
        if self._waste or len(headers) > HEAD_COUNT:  # one read holds little more than a head may have
            self._check_head(headers)
        if status < 200:
            self._interims += 1
            if status == 101 or self._interims > INTERIM_REPLIES:
                raise BadUpstreamReply(f"{self._where} answered {status}, which was not asked for")
            headers.clear()
            return
        self._headed = True
        self._waste = 0
        keep = self._keep = parser.should_keep_alive()
        fields = dict(headers)
        coding = transfer = None
        if len(fields) != len(headers) or not _CODINGS.isdisjoint(fields):
            coding = fields.get(b"content-encoding")
            transfer = fields.get(b"transfer-encoding")
            for name, value in headers:
                if name == b"transfer-encoding" and value.lower() != b"chunked":
                    raise BadUpstreamReply(
                        f"{self._where} replied in transfer coding {value[:64]!r}, which was not asked for"
                    )
            if coding is not None and sum(name == b"content-encoding" for name, _ in headers) > 1:
                coding = b"several"
        if self._head_only:
            self._complete = True
        else:
            if not keep and transfer is None and b"content-length" not in fields and status not in (204, 304):
                self._until_close = True
            if coding is not None and coding.lower() in _INFLATED and status not in (204, 304):
                self._inflater = Inflater(coding.lower())
                headers = [field for field in headers if field[0] not in (b"content-encoding", b"content-length")]
                fields = dict(headers)
        self._headers = []
        if self._upload is not None and status >= 400:
            self._stop_upload()
        self._head = ReplyHead(status, headers, fields)

    def on_message_complete(self) -> None:
        """Note that the reply is whole; it ends when everything that was read has been looked at."""
        if self._headed and not self._complete:
            self._complete = True
            self._whole = len(self._fed)

    # What follows from them

    def _pass_on(self) -> None:
        """Feed what one read brought as one piece: what is made of it is then one write, not one for each chunk."""
        self._waste = 0
        fed = self._fed[:]
        self._fed.clear()
        if self._complete and len(fed) > self._whole:
            self._extra = True
            del fed[self._whole :]
        sink, inflater = self._sink, self._inflater
        if sink is None or not fed:
            return
        try:
            if inflater is None:
                sink.feed(fed[0] if len(fed) == 1 else b"".join(fed))
                return
            for piece in fed:
                inflater.feed(piece)
            if not self._scheduled:
                self._inflate()
        except zlib.error as error:
            self.fail(BadUpstreamReply(f"{self._where} sent what is not in its content coding: {error}"))
        except Exception as error:
            self._sink_raised(error)

    def _pass_head_on(self, sink: Sink) -> bool:
        """Give the head to the sink; return whether that wants more."""
        head, self._head = self._head, None
        assert head is not None
        try:
            sink.head(head)
        except Exception as error:
            self._fed.clear()
            self._sink_raised(error)
        return self._sink is sink

    def _leave(self) -> None:
        """Let go of a reply that is whole."""
        self._sink = None
        if self._paused:
            self._paused = False
            self._throttle()
        keep = self._keep and not self._extra
        if keep and self._head_only:
            self._parser = httptools.HttpResponseParser(self)  # the old one awaits a body
        self._done(keep)

    def _finish(self) -> None:
        sink, inflater = self._sink, self._inflater
        if sink is None:
            return
        if inflater is not None:
            if not inflater.whole:
                self.fail(BadUpstreamReply(f"{self._where} cut its compressed reply short"))
                return
            self._inflater = None
        self._leave()
        sink.end(None)

    def _broken(self, error: Exception) -> None:
        """End the request on bytes that the parser or a callback refused."""
        cause = error.__context__
        if self._complete:
            self._extra = True
            if self._inflater is None or not self._inflater.backlog:
                self._finish()
        elif isinstance(cause, PorticoError):
            self.fail(untraced(cause))
        elif isinstance(cause, zlib.error):
            self.fail(BadUpstreamReply(f"{self._where} sent what is not in its content coding: {cause}"))
        elif isinstance(error, httptools.HttpParserCallbackError):
            self._sink_raised(cause)
        else:
            self.fail(BadUpstreamReply(f"{self._where} sent what is not HTTP/1.1: {error}"))

    def _sink_raised(self, error: BaseException | None) -> None:
        self._loop.call_exception_handler({"message": "a sink raised", "exception": error, "protocol": self})
        self.fail(PorticoError(f"the reply of {self._where} could not be passed on"))

    def _check_head(self, headers: Headers) -> None:
        size = sum(len(name) + len(value) + 4 for name, value in headers)
        if size > HEAD_BYTES or len(headers) > HEAD_COUNT:
            raise BadUpstreamReply(f"{self._where} sent {len(headers)} headers of {size} bytes")

    def _throttle(self) -> None:
        """Read from the socket unless the reader or the inflater has enough."""
        hold = self._paused or (self._inflater is not None and self._inflater.backlog)
        if hold is not self._held:
            self._held = hold
            if hold:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _inflate(self) -> None:
        """Feed the sink what it wants of the inflated body, and for a bomb's sake no more than its turn."""
        inflater = self._inflater
        if self._turn_at != self._heard_at:
            self._turn_at = self._heard_at
            self._pieces = PIECES_A_TURN
        while inflater is not None and inflater.backlog and not self._paused and self._sink is not None:
            if not self._pieces:
                self._schedule()
                break
            piece = inflater.take()
            if piece:
                self._pieces -= 1
                self._sink.feed(piece)
        self._throttle()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._scheduled = False
        if self._sink is None or self._inflater is None:
            return
        self._pieces = PIECES_A_TURN
        self._heard_at = self._turn_at = self._clock()
        try:
            self._inflate()
        except zlib.error as error:
            self.fail(BadUpstreamReply(f"{self._where} sent what is not in its content coding: {error}"))
            return
        if self._inflated():
            self._finish()

    def _inflated(self) -> bool:
        inflater = self._inflater
        return self._complete and inflater is not None and not inflater.backlog


def _ended_properly(transport: asyncio.Transport) -> bool:
    """Whether TLS was closed by the peer itself; without TLS an end cannot be told from a cut."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return bool(tls.read(1) == b"")
    except ssl.SSLError:
        return False
