"""Replies, byte by byte: what a sink is told of them, in whatever pieces they arrive."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.errors import BadUpstreamReply, ConnectionLost, PorticoError, UpstreamTimeout
from portico.wire.connection import Connection
from portico.wire.deadlines import Deadlines
from portico.wire.inflate import PIECE
from portico.wire.origin import Headers
from portico.wire.replied import LastHead, ReplyHead
from portico.wire.reply import HEAD_BYTES, PIECES_A_TURN, Sink
from portico.wire.wheel import Wheel


class Loop:
    """As much of an event loop as a connection needs, turned by hand."""

    def __init__(self) -> None:
        self.soon: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self.reports: list[dict[str, Any]] = []

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self.soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object]) -> "Loop":
        return self

    def cancel(self) -> None:
        pass

    def call_exception_handler(self, report: dict[str, Any]) -> None:
        self.reports.append(report)

    def turn(self) -> int:
        """Run what is due; return how much that was."""
        due, self.soon = self.soon, []
        for callback, args in due:
            callback(*args)
        return len(due)


class Transport:
    """A transport that keeps what is written."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.protocol: Connection | None = None
        self.written = b""
        self.closing = False
        self.reading = True

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written += data

    def writelines(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.write(piece)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    close = abort

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str) -> None:
        return None


class Kept(Sink):
    """A sink that keeps what it is told, and may do something about it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.chunks: list[bytes] = []
        self.ends: list[PorticoError | None] = []
        self.wholes = 0
        self.on_head: Callable[[], object] = lambda: None
        self.on_feed: Callable[[], object] = lambda: None

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def head(self, head: ReplyHead) -> None:
        assert not self.status
        assert not self.ends
        self.status, self.headers = head.status, head.headers
        self.on_head()

    def feed(self, chunk: bytes) -> None:
        assert self.status
        assert not self.ends
        self.chunks.append(chunk)
        self.on_feed()

    def end(self, error: PorticoError | None) -> None:
        self.ends.append(error)

    def whole(self, head: ReplyHead, body: bytes) -> None:
        assert head.fields == dict(head.headers)
        self.wholes += 1
        super().whole(head, body)


class Bench:
    """One connection, one request sent, and a hand on everything around it."""

    def __init__(self, *, method_is_head: bool = False) -> None:
        self.loop = Loop()
        self.buffer = memoryview(bytearray(288 * 1024))
        self.released = 0
        self.discarded = 0
        self.now = 100.0
        self.last = LastHead()
        wheel = Wheel(self.loop, lambda: self.now)  # type: ignore[arg-type]
        self.connection = Connection(self, "http://x", self.loop, lambda: self.now, wheel, self.buffer)  # type: ignore[arg-type]
        self.transport = Transport(self.loop)
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.sink = Kept()
        self.ask(method_is_head=method_is_head)

    def ask(self, *, method_is_head: bool = False) -> Kept:
        self.sink = Kept()
        self.connection.send(b"GET / HTTP/1.1\r\n\r\n", (), self.sink, Deadlines(), method_is_head=method_is_head)
        return self.sink

    def release(self, connection: Connection) -> None:
        assert not connection.closed
        self.released += 1

    def discard(self, connection: Connection) -> None:
        self.discarded += 1

    def read(self, data: bytes) -> None:
        """Let a piece arrive, as the event loop would: not on a closed or paused connection."""
        room = len(self.connection.get_buffer(-1))
        for start in range(0, len(data), room):
            piece = data[start : start + room]
            self._settle()
            if self.transport.closing:
                return
            self.connection.get_buffer(-1)[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    def _settle(self) -> None:
        while not self.transport.reading and self.loop.turn():
            pass

    def eof(self) -> None:
        """Let the other side close."""
        self._settle()
        if not self.transport.closing:
            self.connection.eof_received()
            self.transport.close()
        while self.loop.turn():
            pass

    @property
    def outcome(self) -> tuple[object, ...]:
        """What the sink was told, however it was cut."""
        assert len(self.sink.ends) == 1
        error = self.sink.ends[0]
        return self.sink.status, self.sink.headers, self.sink.body, type(error), str(error), self.released


def play(raw: bytes, sizes: list[int], *, method_is_head: bool = False, eof: bool = True) -> Bench:
    bench = Bench(method_is_head=method_is_head)
    start = 0
    for size in sizes:
        if start < len(raw):
            bench.read(raw[start : start + size])
        start += size
    if start < len(raw):
        bench.read(raw[start:])
    if eof:
        bench.eof()
    return bench


def every(size: int, raw: bytes) -> list[int]:
    return [size] * (len(raw) // size + 1) if size else [len(raw)]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


LONG = bytes(range(256)) * 40
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
PLAIN = [(b"content-type", b"text/plain")]
# name: bytes, status, header fields, body, whether the connection is kept
WHOLE = {
    "sized": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, [(b"content-length", b"5")], b"hello", True),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, [(b"content-length", b"0")], b"", True),
    "binary": (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LONG), LONG),
        200,
        [(b"content-length", b"10240")],
        LONG,
        True,
    ),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        200,
        [(b"transfer-encoding", b"chunked")],
        b"abc0123456789",
        True,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-Other: 9\r\n\r\n",
        200,
        [(b"transfer-encoding", b"Chunked")],
        b"a",
        True,
    ),
    "until close": (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nabc", 200, PLAIN, b"abc", False),
    "until close, 1.0": (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nabc", 200, PLAIN, b"abc", False),
    "sized, 1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, [(b"content-length", b"1")], b"a", False),
    "sized, 1.0, kept": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na",
        200,
        [(b"content-length", b"1"), (b"connection", b"keep-alive")],
        b"a",
        True,
    ),
    "told to close": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
        200,
        [(b"content-length", b"1"), (b"connection", b"close")],
        b"a",
        False,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n", 204, PLAIN, b"", True),
    "not modified": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        304,
        [(b"content-length", b"7")],
        b"",
        True,
    ),
    "no reason": (b"HTTP/1.1 429\r\nContent-Length: 0\r\n\r\n", 429, [(b"content-length", b"0")], b"", True),
    "repeated field": (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        200,
        [(b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"content-length", b"0")],
        b"",
        True,
    ),
    "interim": (
        INTERIM + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        200,
        [(b"content-length", b"1")],
        b"a",
        True,
    ),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%b"
        % (len(gzip.compress(LONG)), gzip.compress(LONG)),
        200,
        PLAIN,
        LONG,
        True,
    ),
    "gzip in members, until close": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: X-GZIP\r\nContent-Type: text/plain\r\n\r\n"
        + gzip.compress(b"ab")
        + gzip.compress(b"")
        + gzip.compress(LONG),
        200,
        PLAIN,
        b"ab" + LONG,
        False,
    ),
    "deflate": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%b"
        % (len(zlib.compress(LONG)), zlib.compress(LONG)),
        200,
        PLAIN,
        LONG,
        True,
    ),
    "deflate without its wrapper": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%b"
        % (len(raw_deflate(LONG)), raw_deflate(LONG)),
        200,
        PLAIN,
        LONG,
        True,
    ),
    "gzip of nothing": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\r\n",
        200,
        PLAIN,
        b"",
        True,
    ),
    "brotli, unasked for": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nxyz",
        200,
        [(b"content-encoding", b"br"), (b"content-length", b"3")],
        b"xyz",
        True,
    ),
    "two codings": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz",
        200,
        [(b"content-encoding", b"gzip"), (b"content-encoding", b"gzip"), (b"content-length", b"3")],
        b"xyz",
        True,
    ),
}


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", WHOLE)
def test_a_reply_arrives_whole_in_any_pieces(name: str, size: int) -> None:
    raw, status, headers, body, kept = WHOLE[name]
    bench = play(raw, every(size, raw))
    assert bench.sink.ends == [None]
    assert (bench.sink.status, bench.sink.headers, bench.sink.body) == (status, headers, body)
    assert bench.released == kept


@given(st.sampled_from(list(WHOLE)), st.lists(st.integers(1, 400), max_size=60))
@settings(deadline=None)
def test_how_a_reply_is_cut_makes_no_difference(name: str, sizes: list[int]) -> None:
    raw = WHOLE[name][0]
    assert play(raw, sizes).outcome == play(raw, [len(raw)]).outcome


@pytest.mark.parametrize("name", [name for name, (_, _, _, _, kept) in WHOLE.items() if kept])
def test_a_kept_connection_carries_the_next_reply(name: str) -> None:
    raw, status, headers, body, _ = WHOLE[name]
    bench = play(raw, every(7, raw), eof=False)
    assert bench.sink.ends == [None]
    for _ in range(2):
        bench.ask()
        bench.read(raw)
        assert (bench.sink.status, bench.sink.headers, bench.sink.body, bench.sink.ends) == (
            status,
            headers,
            body,
            [None],
        )
    assert bench.released == 3


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("length", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_reply_to_head_has_no_body_and_keeps_its_connection(size: int, length: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\n%bContent-Encoding: gzip\r\n\r\n" % length
    bench = play(raw, every(size, raw), method_is_head=True, eof=False)
    assert bench.sink.ends == [None]
    assert bench.sink.body == b""
    assert (b"content-encoding", b"gzip") in bench.sink.headers
    assert bench.released == 1
    bench.ask()
    bench.read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert bench.sink.body == b"hi"


def test_a_body_after_a_reply_to_head_closes_the_connection() -> None:
    bench = play(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", [100], method_is_head=True)
    assert bench.sink.ends == [None]
    assert bench.sink.body == b""
    assert bench.released == 0


CUT = {
    "before any byte": (b"", False),
    "in the head": (b"HTTP/1.1 200 OK\r\nContent-Le", True),
    "after an interim reply": (b"HTTP/1.1 100 Continue\r\n\r\n", True),
    "in a sized body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", True),
    "before a sized body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
    "in a sized body, 1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhell", True),
    "in a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", True),
    "between chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
    "before the end of the trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", True),
    "in a chunk, told to close": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhel",
        True,
    ),
}


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", CUT)
def test_a_reply_that_is_cut_short_is_lost(name: str, size: int) -> None:
    raw, replied = CUT[name]
    bench = play(raw, every(size, raw))
    (error,) = bench.sink.ends
    assert isinstance(error, ConnectionLost)
    assert error.replied is replied
    assert error.sent
    assert bench.released == 0


BAD = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "a switch without an upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "a bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "a chunk without its end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
    "another transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a transfer coding until close": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nhello, world",
    "deflate that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 2\r\n\r\n\xff\xff",
    "deflate and more": b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n%bx"
    % (len(zlib.compress(b"a")) + 1, zlib.compress(b"a")),
    "half a gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n%b"
    % gzip.compress(LONG)[:20],
    "half a gzip until close": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n%b" % gzip.compress(LONG)[:20],
    "one byte of deflate": b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 1\r\n\r\n\x78",
    "interim replies without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 50,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * (HEAD_BYTES * 2),
    "a large head": b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 300 + b"Content-Length: 0\r\n\r\n",
    "trailers without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 180_000,
    "a chunk extension without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 600_000,
}


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", BAD)
def test_a_reply_that_is_not_what_it_says_is_refused(name: str, size: int) -> None:
    raw = BAD[name]
    if size and len(raw) > 10_000:
        size *= 1000
    bench = play(raw, every(size, raw))
    (error,) = bench.sink.ends
    assert isinstance(error, BadUpstreamReply), error
    assert bench.released == 0
    assert bench.transport.closing


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20), st.booleans())
@settings(deadline=None)
def test_any_bytes_end_the_sink_once_with_an_error_of_ours(raw: bytes, sizes: list[int], told: bool) -> None:
    if told:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n" + raw
    bench = play(raw, sizes)
    (error,) = bench.sink.ends
    assert error is None or isinstance(error, BadUpstreamReply | ConnectionLost)


@given(st.sampled_from(list(WHOLE)), st.data())
@settings(deadline=None)
def test_a_damaged_reply_ends_the_sink_once(name: str, data: st.DataObject) -> None:
    raw = bytearray(WHOLE[name][0])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    bench = play(bytes(raw), data.draw(st.lists(st.integers(1, 100), max_size=10)))
    (error,) = bench.sink.ends
    assert error is None or isinstance(error, BadUpstreamReply | ConnectionLost)


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", b"garbage", b"\r\n\r\nHTTP/1.1 2"])
def test_bytes_after_a_reply_are_never_taken_for_the_next_one(extra: bytes, size: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
    sizes = [len(raw), *every(size, extra)] if size else [len(raw + extra)]
    bench = play(raw + extra, sizes)
    assert bench.sink.ends == [None]
    assert bench.sink.body == b"a"
    # In one read it never goes back to its pool; in a later one it is closed while it waits there.
    assert bench.released == (1 if size else 0)
    assert bench.transport.closing
    assert bench.discarded == 1


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("when", ["on_head", "on_feed"])
def test_a_sink_that_aborts_hears_nothing_more(when: str, size: int) -> None:
    raw = WHOLE["chunked"][0]
    bench = Bench()
    setattr(bench.sink, when, bench.connection.abort)
    for start in range(0, len(raw), size or len(raw)):
        bench.read(raw[start : start + (size or len(raw))])
    bench.eof()
    assert bench.sink.ends == []
    assert len(bench.sink.chunks) == (when == "on_feed")
    assert bench.released == 0
    assert bench.discarded == 1


def test_an_error_of_the_sink_is_reported_and_ends_it() -> None:
    bench = Bench()

    def fail() -> None:
        raise KeyError("a fault of the sink")

    bench.sink.on_feed = fail
    bench.read(WHOLE["sized"][0])
    (error,) = bench.sink.ends
    assert type(error) is PorticoError
    assert isinstance(bench.loop.reports[0]["exception"], KeyError)
    assert bench.transport.closing


def test_a_paused_reader_is_fed_no_more_than_was_read_and_gets_the_rest_later() -> None:
    bench = Bench()
    bench.connection.pause()
    assert not bench.transport.reading
    bench.connection.resume()
    assert bench.transport.reading
    bench.read(WHOLE["sized"][0])
    assert bench.sink.ends == [None]


def test_the_time_of_a_pause_is_not_the_origins() -> None:
    bench = Bench()
    bench.read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    bench.connection.pause()
    bench.now += 1000
    assert bench.connection.check(bench.now) == bench.now + 120
    bench.connection.resume()
    assert bench.connection.check(bench.now + 119) == bench.now + 120
    assert bench.sink.ends == []
    assert bench.connection.check(bench.now + 120) is None
    assert isinstance(bench.sink.ends[0], UpstreamTimeout)


BOMB = gzip.compress(bytes(64 * 1024 * 1024), 9)


def test_a_bomb_is_inflated_as_far_as_the_reader_takes_it() -> None:
    bench = Bench()
    bench.sink.on_feed = bench.connection.pause
    bench.read(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(BOMB), BOMB))
    assert len(bench.sink.body) == PIECE
    assert not bench.transport.reading
    bench.connection.resume()
    assert bench.loop.turn()
    assert len(bench.sink.body) == 2 * PIECE
    assert bench.sink.ends == []
    bench.connection.abort()
    bench.connection.resume()
    while bench.loop.turn():
        pass
    assert len(bench.sink.body) == 2 * PIECE


def test_a_bomb_lets_other_connections_have_their_turn() -> None:
    bench = Bench()
    bench.read(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(BOMB), BOMB))
    turns = 0
    while not bench.sink.ends:
        assert max(map(len, bench.sink.chunks)) <= PIECE
        assert len(bench.sink.chunks) <= (turns + 1) * PIECES_A_TURN
        assert not bench.transport.reading
        assert bench.loop.turn() == 1
        turns += 1
    assert turns + 1 == len(bench.sink.body) // (PIECE * PIECES_A_TURN)
    assert bench.sink.ends == [None]
    assert len(bench.sink.body) == 64 * 1024 * 1024
    assert bench.released == 1
    assert bench.transport.reading


def test_a_whole_reply_outlives_its_connection_until_it_is_inflated() -> None:
    bench = Bench()
    bench.sink.on_feed = bench.connection.pause
    bench.read(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(3 * PIECE)))
    bench.eof()
    assert bench.sink.ends == []
    while not bench.sink.ends:
        bench.connection.resume()
        bench.loop.turn()
    assert bench.sink.ends == [None]
    assert len(bench.sink.body) == 3 * PIECE
    assert bench.released == 0


def test_nothing_is_sent_on_a_connection_that_closes() -> None:
    bench = play(WHOLE["sized"][0], [1000], eof=False)
    bench.transport.close()
    sink = bench.ask()
    assert sink.ends == []
    bench.loop.turn()
    (error,) = sink.ends
    assert isinstance(error, ConnectionLost)
    assert not error.sent
    assert not error.replied


def test_head_and_body_are_written_once_and_unchanged() -> None:
    for body in ([], [b"x" * 10], [b"x" * 100_000], [b"a", b"b"]):
        bench = play(WHOLE["sized"][0], [1000], eof=False)
        bench.transport.written = b""
        bench.connection.send(b"POST / HTTP/1.1\r\n\r\n", body, Kept(), Deadlines())
        assert bench.transport.written == b"POST / HTTP/1.1\r\n\r\n" + b"".join(body)


SMALL = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("pieces", "wholes"),
    [
        ([SMALL], 1),
        ([SMALL[:-1], SMALL[-1:]], 0),
        ([SMALL[:20], SMALL[20:]], 1),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n" + SMALL], 1),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"], 1),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"], 0),
    ],
)
def test_a_reply_whose_head_and_body_end_in_one_read_is_told_as_one(pieces: list[bytes], wholes: int) -> None:
    bench = Bench()
    for piece in pieces:
        bench.read(piece)
    assert (bench.sink.body, bench.sink.ends, bench.released) == (b"hi", [None], 1)
    assert bench.sink.wholes == wholes


def test_a_sink_that_raises_over_a_whole_reply_hears_of_it_and_the_connection_is_closed() -> None:
    bench = Bench()

    def fail() -> None:
        raise ValueError("a defect")

    bench.sink.on_feed = fail
    bench.read(SMALL)
    assert [type(error) for error in bench.sink.ends] == [PorticoError]
    assert bench.transport.closing


def test_a_head_is_told_before_the_error_of_the_bytes_behind_it() -> None:
    bench = Bench()
    bench.read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nnot a size\r\n")
    assert (bench.sink.status, bench.sink.body) == (200, b"hi")
    assert [type(error) for error in bench.sink.ends] == [BadUpstreamReply]
