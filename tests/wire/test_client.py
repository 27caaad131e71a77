"""The client on real sockets: pools, what becomes of connections, back-pressure, and the small call."""

import asyncio
import gc
import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.wire.sockets import OK, later, reset

from portico.errors import (
    BadUpstreamReply,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ShuttingDown,
    UpstreamTimeout,
)
from portico.wire.client import Client, Connection, Deadlines, Origin, Pool, Settings, Sink, Stats, split_url

Serve = Callable[..., Any]
Ask = Callable[..., Any]


async def test_a_connection_serves_one_request_after_another(upstream: Serve, ask: Ask) -> None:
    async with upstream(OK) as up:
        for _ in range(5):
            sink = await ask(up, b'{"a": 1}')
            assert (sink.status, sink.body, sink.error) == (200, b"ok", None)
        assert up.connections == 1
        assert up.requests == [b'POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n{"a": 1}'] * 5


async def test_equal_arguments_give_the_same_pool(client: Client) -> None:
    pool = client.pool(Origin("http", "127.0.0.1", 80), Settings())
    assert client.pool(Origin("http", "127.0.0.1", 80), Settings()) is pool
    assert client.pool(Origin("http", "127.0.0.1", 81), Settings()) is not pool
    assert client.pool(Origin("http", "127.0.0.1", 80), Settings(idle=1)) is not pool


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_a_reply_arrives_in_any_pieces(upstream: Serve, ask: Ask, size: int) -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await up.request(reader)
            for start in range(0, len(reply), size or len(reply)):
                writer.write(reply[start : start + (size or len(reply))])
                await writer.drain()
                await asyncio.sleep(0)

    async with upstream(handle) as up:
        for _ in range(2):
            sink = await ask(up)
            assert (sink.status, sink.body, sink.error) == (200, b"hello, world", None)
        assert up.connections == 1


class Taker(Sink):
    """Takes a connection as soon as its reply is over. (Compiled, a class within a test would be kept for good.)"""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.taken: Connection | None = None
        self.over = asyncio.Event()

    def end(self, error: object) -> None:
        self.taken = self.pool.take()
        self.over.set()


async def test_the_reply_has_come_when_the_sink_ends_and_the_connection_is_back(
    upstream: Serve, client: Client
) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings())
        first = await pool.acquire(later())
        taker = Taker(pool)
        first.send(b"GET / HTTP/1.1\r\n\r\n", (), taker, Deadlines())
        await taker.over.wait()
        assert taker.taken is first
        first.abort()


async def test_the_connection_used_last_is_taken_first(upstream: Serve, ask: Ask, client: Client) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings())
        a, b = await pool.acquire(later()), await pool.acquire(later())
        assert a is not b
        pool.release(a)
        pool.release(b)
        assert pool.take() is b
        assert pool.take() is a
        assert pool.take() is None
        for connection in (a, b):
            connection.abort()


async def test_a_connection_that_is_closing_is_not_taken(upstream: Serve, client: Client) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings())
        connection = await pool.acquire(later())
        pool.release(connection)
        connection.close()
        assert pool.take() is None


async def test_pools_count_what_they_have(upstream: Serve, client: Client, recorder: Any) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings(max_connections=1))
        connection = await pool.acquire(later())
        waiting = asyncio.ensure_future(pool.acquire(later()))
        await asyncio.sleep(0)
        stats = client.stats
        assert (stats.open, stats.idle, stats.in_flight, stats.waiting) == (1, 0, 1, 1)
        sink = recorder()
        connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines())
        assert await waiting is connection
        pool.release(connection)
        stats = pool.stats
        assert (stats.open, stats.idle, stats.in_flight, stats.waiting) == (1, 1, 0, 0)
        await sink.over()


async def test_a_thousand_callers_share_few_connections_in_the_order_they_came(
    upstream: Serve, client: Client, ask: Ask
) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings(max_connections=8))
        done: list[int] = []

        async def call(number: int) -> None:
            sink = await ask(pool)
            assert sink.error is None
            assert sink.body == b"ok"
            done.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                group.create_task(call(number))
        assert up.connections <= 8
        assert pool.stats.open <= 8
        assert pool.stats.waiting == 0
        assert len(done) == 1000
        in_turn = [number for number in done if number >= 8]  # the others made the connections
        assert all(abs(place + 8 - number) <= 16 for place, number in enumerate(in_turn))


async def test_a_caller_waits_for_its_turn_no_longer_than_its_deadline(upstream: Serve, client: Client) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings(max_connections=1))
        connection = await pool.acquire(later())
        with pytest.raises(UpstreamTimeout, match="all 1 connections") as caught:
            await pool.acquire(later(0.01))
        assert caught.value.phase == "connect"
        assert pool.stats.waiting == 0
        pool.release(connection)
        assert await pool.acquire(later()) is connection
        connection.abort()


async def test_a_caller_who_gives_up_passes_its_turn_on(upstream: Serve, client: Client) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings(max_connections=1))
        connection = await pool.acquire(later())
        first = asyncio.ensure_future(pool.acquire(later()))
        second = asyncio.ensure_future(pool.acquire(later()))
        await asyncio.sleep(0)
        pool.release(connection)  # the first is promised it
        first.cancel()
        assert await second is connection
        third = asyncio.ensure_future(pool.acquire(later()))
        await asyncio.sleep(0)
        connection.abort()  # its place is promised to the third
        fresh = await third
        assert fresh is not connection
        fresh.abort()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_place_is_free_again_after_connecting_failed(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    pool = client.pool(Origin("http", "127.0.0.1", port), Settings(max_connections=1))
    for _ in range(3):
        with pytest.raises(ConnectFailed, match="refused"):
            await pool.acquire(later())
    outcomes = await asyncio.gather(*(pool.acquire(later()) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(outcome, ConnectFailed) for outcome in outcomes)
    assert client.stats.open == 0


async def test_a_place_is_free_again_when_the_caller_goes_while_connecting(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock:
        pool = client.pool(Origin("https", "127.0.0.1", sock.getsockname()[1]), Settings(max_connections=1))
        for _ in range(2):
            task = asyncio.ensure_future(pool.acquire(later()))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(UpstreamTimeout) as caught:
            await pool.acquire(later(0.05))
        assert caught.value.phase == "connect"


async def test_a_connection_that_was_closed_while_idle_is_replaced_silently(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(OK)  # and closes, though it did not say so

    async with upstream(handle) as up:
        for number in range(1, 4):
            sink = await ask(up)
            assert sink.error is None
            while ask.client.stats.open:
                await asyncio.sleep(0.001)
            assert up.connections == number


async def test_a_connection_that_says_something_unasked_is_dropped(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(OK)
        await writer.drain()
        await speak.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    speak = asyncio.Event()
    async with upstream(handle) as up:
        assert (await ask(up)).status == 200
        assert ask.client.stats.idle == 1
        speak.set()
        while ask.client.stats.open:
            await asyncio.sleep(0.001)
        assert (await ask(up)).status == 200
        assert up.connections == 2


async def test_an_idle_connection_is_closed_after_its_time(upstream: Serve, ask: Ask, client: Client) -> None:
    async with upstream(OK) as up:
        pool = client.pool(up.origin, Settings(idle=0.05))
        await ask(pool)
        assert pool.stats.idle == 1
        while pool.stats.open:
            await asyncio.sleep(0.01)
        assert (await ask(pool)).error is None
        assert up.connections == 2


@pytest.mark.parametrize("way", ["fin", "rst", "half"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"])
async def test_a_connection_that_breaks_is_lost_and_never_tried_again(
    upstream: Serve, ask: Ask, way: str, sent: bytes
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(sent)
        if way == "half":
            writer.write_eof()
            await reader.read()
        elif way == "rst":
            await read.wait()
            reset(writer)

    read = asyncio.Event()
    async with upstream(handle) as up:
        pending = asyncio.ensure_future(ask(up))
        if not sent:
            while not up.requests:
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0.02)
        read.set()
        sink = await pending
        assert isinstance(sink.error, ConnectionLost)
        assert sink.error.replied is bool(sent)
        assert sink.body == sent[-2:]
        assert up.connections == 1
        assert len(up.requests) == 1


async def test_a_reply_until_close_ends_with_the_connection(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with upstream(handle) as up:
        sink = await ask(up)
        assert (sink.body, sink.error) == (b"all of it", None)


async def test_a_reply_until_close_that_is_reset_is_lost(upstream: Serve, ask: Ask, recorder: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome of it")
        await writer.drain()
        await heard.wait()
        reset(writer)

    heard = asyncio.Event()
    async with upstream(handle) as up:
        pool = ask.client.pool(up.origin, Settings())
        connection = await pool.acquire(later())
        sink = recorder()
        connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines())
        await sink.fed.wait()
        heard.set()
        assert isinstance((await sink.over()).error, ConnectionLost)


async def test_a_reply_to_head_has_no_body(upstream: Serve, ask: Ask) -> None:
    async with upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n") as up:
        for _ in range(3):
            sink = await ask(up, b"", head=True)
            assert (sink.status, sink.body, sink.error) == (200, b"", None)
        assert up.connections == 1


async def test_a_unix_socket_is_an_origin(upstream: Serve, ask: Ask, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "origin.sock"
    async with upstream(OK, unix=path):
        pool = client.pool(Origin("http", "control", 80, unix=str(path)), Settings())
        assert (await ask(pool)).body == b"ok"
    missing = client.pool(Origin("http", "control", 80, unix=str(tmp_path / "none")), Settings())
    with pytest.raises(ConnectFailed, match="no such socket"):
        await missing.acquire(later())


async def test_an_unknown_host_is_named(client: Client) -> None:
    pool = client.pool(Origin("http", "no-such-host.invalid", 80), Settings())
    outcomes = await asyncio.gather(*(pool.acquire(later()) for _ in range(5)), return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, ConnectFailed)
        assert "no-such-host.invalid" in str(outcome)


async def test_the_next_address_is_tried_when_one_fails(
    upstream: Serve, ask: Ask, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(OK) as up:
        loop = asyncio.get_running_loop()
        asked: list[str] = []

        async def addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
            asked.append(host)
            return [(socket.AF_INET, ("127.0.0.1", 1)), (socket.AF_INET, ("127.0.0.1", port))]

        monkeypatch.setattr(client._resolver, "addresses", addresses)
        pool = client.pool(Origin("http", "two.example", up.port), Settings())
        assert (await ask(pool)).body == b"ok"
        assert asked == ["two.example"]
        assert loop is client._loop


async def test_a_name_is_looked_up_once_for_many(upstream: Serve, client: Client, ask: Ask) -> None:
    async with upstream(OK) as up:
        pool = client.pool(Origin("http", "localhost", up.port), Settings())
        sinks = await asyncio.gather(*(ask(pool) for _ in range(20)))
        assert {sink.body for sink in sinks} == {b"ok"}


# Back-pressure


async def test_while_the_reader_pauses_the_origin_is_held_back(upstream: Serve, client: Client, recorder: Any) -> None:
    piece = b"x" * 65_536
    count = 512  # 32 MB: more than all socket buffers on the way hold

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * count))
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
            written += 1

    written = 0
    async with upstream(handle) as up:
        pool = client.pool(up.origin, Settings())
        connection = await pool.acquire(later())
        sink = recorder()
        connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines(between_chunks=0.1))
        await sink.fed.wait()
        connection.pause()
        before = -1
        while before != written:  # until the origin is stuck
            before = written
            await asyncio.sleep(0.15)
        assert written < count
        assert len(sink.body) < len(piece) * count
        assert not sink.ends, "between_chunks does not count while the reader pauses"
        connection.resume()
        await sink.over()
        assert sink.error is None
        assert len(sink.body) == len(piece) * count


# The end


async def test_closing_ends_what_is_in_flight_and_who_waits(upstream: Serve, recorder: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    client = Client(environ={})
    async with upstream(handle) as up:
        pool = client.pool(up.origin, Settings(max_connections=1))
        connection = await pool.acquire(later())
        sink = recorder()
        connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines())
        waiting = asyncio.ensure_future(pool.acquire(later()))
        await asyncio.sleep(0)
        await client.close()
        assert isinstance(sink.error, ShuttingDown)
        with pytest.raises(ShuttingDown):
            await waiting
        with pytest.raises(ShuttingDown):
            await pool.acquire(later())
        with pytest.raises(ShuttingDown):
            client.pool(up.origin, Settings())
        assert client.stats.open == 0
        await client.close()


# The small call


async def test_a_small_call_returns_the_whole_reply(upstream: Serve, client: Client) -> None:
    async with upstream(b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok") as up:
        url = f"http://127.0.0.1:{up.port}/token?x=1"
        reply = await client.fetch("POST", url, [("Authorization", "Bearer x"), ("Host", "y")], b"grant=1")
        assert reply == (201, [(b"x-a", b"b"), (b"content-length", b"2")], b"ok")
        assert up.requests == [
            b"POST /token?x=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nAuthorization: Bearer x\r\n"
            b"content-length: 7\r\n\r\ngrant=1" % up.port
        ]
        await client.fetch("GET", url)
        assert up.requests[1] == b"GET /token?x=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % up.port
        assert up.connections == 1


async def test_a_small_call_takes_no_large_reply(upstream: Serve, client: Client) -> None:
    async with upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000) as up:
        with pytest.raises(BadUpstreamReply, match="larger than 1999"):
            await client.fetch("GET", f"http://127.0.0.1:{up.port}/", limit=1999)
        assert len((await client.fetch("GET", f"http://127.0.0.1:{up.port}/", limit=2000))[2]) == 2000


async def test_a_small_call_whose_reply_is_too_large_takes_no_connection_from_who_has_it_next(
    upstream: Serve, client: Client
) -> None:
    settings = Settings(max_connections=1)
    async with upstream(OK) as up:
        call = asyncio.create_task(client.fetch("GET", f"http://127.0.0.1:{up.port}/", settings=settings, limit=1))
        while not up.requests:
            await asyncio.sleep(0)
        pool = client.pool(up.origin, settings)
        waits = asyncio.create_task(pool.acquire(later()))
        with pytest.raises(BadUpstreamReply, match="larger than 1 bytes"):
            await call
        connection = await waits
        assert not connection.closed
        assert up.connections == 1
        connection.abort()


async def test_a_small_call_that_is_cancelled_closes_its_connection(upstream: Serve, client: Client) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        await reader.read()

    async with upstream(handle) as up:
        task = asyncio.ensure_future(client.fetch("GET", f"http://127.0.0.1:{up.port}/"))
        while not up.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while client.stats.open:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("header", [("a\r\nb", "c"), ("a", "b\r\nc: d"), ("", "x"), ("a b", "c"), ("a", "\u20ac")])
async def test_a_header_that_would_break_out_is_refused(client: Client, header: tuple[str, str]) -> None:
    with pytest.raises(ConfigError):
        await client.fetch("GET", "http://127.0.0.1:1/", [header])


URLS = [
    ("https://api.example.com/v1?x=y", Origin("https", "api.example.com", 443), "/v1?x=y", "api.example.com"),
    ("http://10.0.0.5:8000", Origin("http", "10.0.0.5", 8000), "/", "10.0.0.5:8000"),
    ("https://[::1]:8443/a#b", Origin("https", "::1", 8443), "/a", "[::1]:8443"),
]


@pytest.mark.parametrize(("url", "origin", "target", "authority"), URLS)
def test_a_url_is_an_origin_and_a_target(url: str, origin: Origin, target: str, authority: str) -> None:
    assert split_url(url) == (origin, target)
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "/v1",
        "https://",
        "http://x:99999/",
        "http://u:secret@x/",
        "http://x/a b",
        "http://x/\u00e4",
        "http://[",
    ],
)
def test_an_unusable_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_url(url)
    assert "secret" not in str(caught.value)


async def test_broken_connections_leave_nothing_behind(upstream: Serve, ask: Ask, client: Client) -> None:
    replies = itertools.cycle(
        [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", b"HTTP/1.1 200 OK\r\n\r\nab"]
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(next(replies))

    async with upstream(handle) as up:
        pool = client.pool(up.origin, Settings(max_connections=10))
        for _ in range(10):
            sinks = await asyncio.gather(*(ask(pool) for _ in range(20)))
            assert {type(sink.error) for sink in sinks} == {ConnectionLost, BadUpstreamReply, type(None)}
        while pool.stats.open:
            await asyncio.sleep(0.001)
        assert pool.stats == Stats()
        assert not any(client.wheel._slots.values())
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
