"""The HTTP server on real sockets: what it accepts, what it refuses, and in what order it answers."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

import msgspec
import pytest

from portico.config.schema import Limits, ServerTimeouts
from portico.wire.exchange import Exchange
from portico.wire.server import Server, http_date

LIMITS = Limits(header_bytes=4096, header_count=20, url_bytes=512, body=10_000, memory_body=1000, connections=50)

Handler = Callable[[Exchange], Awaitable[None]]


async def echo(exchange: Exchange) -> None:
    await exchange.body.arrived(LIMITS.body)
    body = exchange.body.whole()
    exchange.reply(200, [(b"x-method", exchange.method.encode()), (b"x-path", exchange.path.encode())], body)


@asynccontextmanager
async def serving(
    handle: Handler = echo, limits: Limits = LIMITS, timeouts: ServerTimeouts | None = None
) -> AsyncIterator[tuple[Server, int]]:
    async def handler(exchange: Exchange) -> None:
        try:
            await handle(exchange)
        except Exception as error:
            if not hasattr(error, "status"):
                raise
            exchange.reply(*server.refuse(error))

    server = Server(handler, limits, timeouts or ServerTimeouts())
    sock = socket.create_server(("127.0.0.1", 0))
    await server.listen(sock)
    try:
        yield server, sock.getsockname()[1]
    finally:
        await server.close()


async def talk(port: int, data: bytes, *, size: int = 0, eof: bool = False) -> bytes:
    """Send bytes in pieces of `size` (0: at once) and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for start in range(0, len(data), size or len(data) or 1):
            writer.write(data[start : start + (size or len(data))])
            if size:
                await writer.drain()
                await asyncio.sleep(0)
        if eof:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def request(
    target: str = "/a", body: bytes = b"", *, close: bool = True, method: str = "POST", extra: str = ""
) -> bytes:
    return (
        f"{method} {target} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n"
        f"{'Connection: close' if close else 'X-Kept: yes'}\r\n{extra}\r\n"
    ).encode() + body


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_a_sized_body_arrives_whole_in_any_pieces(size: int) -> None:
    async with serving() as (_, port):
        reply = await talk(port, request("/v1/x?y=1", b"hello"), size=size)
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-path: /v1/x\r\n" in reply
    assert reply.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_a_chunked_body_arrives_whole_in_any_pieces(size: int) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with serving() as (_, port):
        reply = await talk(port, head + b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n", size=size)
    assert reply.endswith(b"\r\n\r\nhello!")


async def test_a_trailer_never_becomes_a_header() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def handle(exchange: Exchange) -> None:
        await exchange.body.arrived(100)
        seen.extend(exchange.headers)
        exchange.reply(200, [], b"")

    head = b"POST /a HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with serving(handle) as (_, port):
        await talk(port, head + b"0\r\nAuthorization: Bearer stolen\r\n\r\n")
    assert seen
    assert b"authorization" not in dict(seen)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body.arrived(100)
        body = exchange.body.whole()
        if body == b"0":
            await asyncio.sleep(0.01)
        exchange.reply(200, [], b"<%b>" % body)

    data = b"".join(request(body=b"%d" % number, close=number == 9) for number in range(10))
    async with serving(handle) as (_, port):
        for size in (0, 1, 7):
            reply = await talk(port, data, size=size)
            assert [part[:1] for part in reply.split(b"<")[1:]] == [b"%d" % number for number in range(10)]


async def test_a_body_beyond_memory_is_spooled_and_arrives_whole() -> None:
    body = bytes(range(256)) * 30
    spooled: list[bool] = []

    async def handle(exchange: Exchange) -> None:
        await exchange.body.arrived(10_000)
        whole = exchange.body.whole()
        spooled.append(exchange.body.spooled)
        again = bytes(exchange.body.mapped())
        exchange.reply(200, [], b"same" if whole == again == body else b"different")

    async with serving(handle) as (server, port):
        assert (await talk(port, request(body=body))).endswith(b"same")
        assert spooled == [True]
        assert server.budget.used == 0


async def test_100_continue_is_sent_only_when_the_body_is_wanted() -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.path == "/refused":
            exchange.reply(401, [], b"no")
            return
        await exchange.body.arrived(100)
        exchange.reply(200, [], exchange.body.whole())

    head = b"POST %b HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with serving(handle) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head % b"/taken")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        writer.write(head % b"/refused")
        refused = await reader.readuntil(b"no")
        writer.close()
    assert refused.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in refused


REFUSED: dict[str, tuple[bytes, int]] = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "both lengths": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
    "the same length twice": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "negative length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    "length that is no number": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n", 400),
    "length beyond 64 bits": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
    "bad chunk size": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", 400),
    "chunk longer than said": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
    "gzip transfer encoding": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "no version": (b"GET /\r\n\r\n", 505),
    "no version, with bare line feeds": (b"GET /\nHost: a\n\n", 400),
    "version 2": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "an unknown method": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "a method of WebDAV": (b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "trace": (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n", 501),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n  b\r\n\r\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a NUL in a header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
    "a long target": (b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 30 + b"\r\n", 431),
    "long headers": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n", 431),
    "one endless header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 50_000, 431),
    "an unmet expectation": (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\nContent-Length: 0\r\n\r\n", 400),
    "a body over its limit": (request(body=b"x" * 10_001), 413),
    "a chunked body over its limit": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 11,
        413,
    ),
}


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_not_sound_http_is_refused_with_its_status(case: str, size: int) -> None:
    data, status = REFUSED[case]
    if size and len(data) > 2000:
        size *= 500
    async with serving() as (server, port):
        reply = await talk(port, data, size=size)
        assert reply[:12] == b"HTTP/1.1 %d" % status, reply[:200]
        head, _, body = reply.partition(b"\r\n\r\n")
        error = msgspec.json.decode(body)["error"]
        assert error["message"]
        assert error["code"]
        assert b"connection: close" in head
        assert server.budget.used == 0


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_an_offer_to_upgrade_is_ignored(size: int) -> None:
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    chunked = f"POST /b HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n{offer}\r\n4\r\nmore\r\n0\r\n\r\n"
    async with serving() as (_, port):
        data = request(body=b"one", extra=offer, close=False) + request(method="GET", extra=offer, close=False)
        reply = await talk(port, data + chunked.encode() + request(body=b"two"), size=size)
    assert reply.count(b"HTTP/1.1 200 OK") == 4
    assert b"\r\n\r\noneHTTP" in reply
    assert b"\r\n\r\nmoreHTTP" in reply
    assert reply.endswith(b"two")


async def test_http_1_0_is_closed_after_its_reply_unless_it_asks() -> None:
    async with serving() as (_, port):
        assert b"connection: close" in await talk(port, b"GET /a HTTP/1.0\r\n\r\n")
        kept = await talk(port, b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + b"GET /b HTTP/1.0\r\n\r\n")
    assert kept.count(b"HTTP/1.1 200 OK") == 2


async def test_http_1_0_gets_a_stream_without_chunks() -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"one")
        exchange.write(b"two")
        exchange.finish()

    async with serving(handle) as (_, port):
        reply = await talk(port, b"GET /a HTTP/1.0\r\n\r\n")
        chunked = await talk(port, request())
    assert reply.endswith(b"\r\n\r\nonetwo")
    assert chunked.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "path"),
    [("http://gateway/v1/x?y=1", b"/v1/x"), ("HTTPS://gateway:1/v1", b"/v1"), ("http://gateway", b"/"), ("*", b"*")],
)
async def test_a_target_may_be_a_whole_url(target: str, path: bytes) -> None:
    async with serving() as (_, port):
        reply = await talk(port, request(target, method="OPTIONS"))
    assert b"x-path: %b\r\n" % path in reply


async def test_a_head_request_gets_no_body() -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.reply(200, [], b"hello")

    async with serving(handle) as (_, port):
        reply = await talk(port, b"HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"content-length: 5\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")


async def test_a_caller_who_hangs_up_cancels_its_call() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(handle) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        await asyncio.wait_for(began.wait(), 5)
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 5)
        while server.connections:
            await asyncio.sleep(0)


async def test_a_slow_reader_pauses_its_reply_and_then_gets_all_of_it() -> None:
    paused, resumed = asyncio.Event(), asyncio.Event()
    piece = b"x" * 65_536

    async def handle(exchange: Exchange) -> None:
        exchange.on_pause, exchange.on_resume = paused.set, resumed.set
        exchange.start(200, [], len(piece) * 200)
        for _ in range(200):
            exchange.write(piece)
            await exchange.drained()
        exchange.finish()

    async with serving(handle) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(request())
        await asyncio.wait_for(paused.wait(), 5)
        whole = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert resumed.is_set()
    assert len(whole.partition(b"\r\n\r\n")[2]) == len(piece) * 200


@pytest.mark.filterwarnings("default")
async def test_a_handler_that_fails_costs_its_own_call_only(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.path == "/fails":
            raise ZeroDivisionError("secret detail")
        if exchange.path == "/forgets":
            return
        exchange.reply(200, [], b"fine")

    async with serving(handle) as (_, port):
        reply = await talk(port, request("/fails", close=False) + request("/forgets", close=False) + request("/works"))
    assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"500", b"500", b"200"]
    assert b"secret detail" not in reply
    assert "secret detail" in caplog.text


def test_dates_are_written_as_http_wants_them() -> None:
    assert http_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    for at in range(0, 2**31, 86_400 * 37 + 12_345):
        assert http_date(at).decode() == formatdate(at, usegmt=True)


TIMEOUTS = ServerTimeouts(header=0.2, body=0.2, idle=0.6, write=0.2)


async def test_slow_headers_and_bodies_are_refused_in_bounded_time() -> None:
    async with serving(timeouts=TIMEOUTS) as (_, port):
        slow_head = await talk(port, b"POST / HTTP/1.1\r\nHost: a\r\n")
        slow_body = await talk(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        silent = await talk(port, b"")
    assert slow_head.startswith(b"HTTP/1.1 408")
    assert slow_body.startswith(b"HTTP/1.1 408")
    assert silent == b""


async def test_a_half_closed_request_ends_without_a_handler() -> None:
    handled: list[str] = []

    async def handle(exchange: Exchange) -> None:
        handled.append(exchange.path)
        await exchange.body.arrived(100)
        exchange.reply(200, [], exchange.body.whole())

    async with serving(handle) as (server, port):
        assert await talk(port, b"POST / HTTP/1.1\r\nHo", eof=True) == b""
        while server.connections:
            await asyncio.sleep(0)
    assert handled == []


async def test_connections_over_the_limit_are_told_so() -> None:
    async with serving(limits=msgspec.structs.replace(LIMITS, connections=3)) as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in held:
            writer.write(request(close=False))
        for reader, _ in held:
            await reader.readuntil(b"\r\n\r\n")
        reply = await talk(port, request())
        for _, writer in held:
            writer.close()
    assert reply.startswith(b"HTTP/1.1 503")


async def test_bodies_over_the_workers_budget_are_told_to_come_back() -> None:
    async with serving(limits=msgspec.structs.replace(LIMITS, body_budget=2000)) as (server, port):
        assert (await talk(port, request(body=b"x" * 3000))).startswith(b"HTTP/1.1 503")
        assert (await talk(port, request(body=b"x" * 1000))).startswith(b"HTTP/1.1 200")
        assert server.budget.used == 0


async def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        began.set()
        await release.wait()
        exchange.reply(200, [], b"done")

    async with serving(handle) as (server, port):
        running = asyncio.create_task(talk(port, request(close=False)))
        await asyncio.wait_for(began.wait(), 5)
        drain = asyncio.create_task(server.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        release.set()
        reply = await running
        await drain
    assert reply.endswith(b"done")
    assert b"connection: close" in reply


async def test_a_reply_that_is_broken_off_keeps_what_was_written_and_has_no_end() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body.arrived(100)
        exchange.start(200, [])
        exchange.write(b"some")
        exchange.break_off()

    async with serving(handle) as (_, port):
        reply = await talk(port, request(close=False) + request())  # nor is the next one answered
    assert reply.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert reply.endswith(b"transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n")


async def test_draining_cuts_what_does_not_end() -> None:
    cancelled = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(handle) as (server, port):
        running = asyncio.create_task(talk(port, request(close=False)))
        while not server.connections or all(c.idle for c in server.connections):
            await asyncio.sleep(0)
        await server.drain(0.05)
        assert cancelled.is_set()
        assert await running == b""
