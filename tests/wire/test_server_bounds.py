"""What a caller may cost the server: memory, time, descriptors and other callers' turns, whatever it does."""

import asyncio
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.config.schema import Limits, ServerTimeouts
from portico.errors import PorticoError
from portico.wire.body import Body, Budget
from portico.wire.exchange import Exchange
from portico.wire.server import Server

LIMITS = Limits(header_bytes=4096, header_count=20, url_bytes=512, body=100_000, memory_body=1000, connections=50)
QUICK = ServerTimeouts(header=0.3, body=0.3, idle=0.3, write=0.3)
PATIENCE = 20

Handler = Callable[[Exchange], Awaitable[None]]


async def echo(exchange: Exchange) -> None:
    await exchange.body.arrived(LIMITS.body)
    exchange.reply(200, [], exchange.body.whole())


@asynccontextmanager
async def serving(
    handle: Handler = echo, limits: Limits = LIMITS, timeouts: ServerTimeouts | None = None, *, kernel: int = 0
) -> AsyncIterator[tuple[Server, int]]:
    async def handler(exchange: Exchange) -> None:
        try:
            await handle(exchange)
        except PorticoError as error:
            exchange.reply(*server.refuse(error))

    server = Server(handler, limits, timeouts or ServerTimeouts())
    sock = socket.create_server(("127.0.0.1", 0))
    if kernel:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel)
    await server.listen(sock)
    try:
        yield server, sock.getsockname()[1]
    finally:
        await server.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def dialled(port: int, *, window: int = 0) -> socket.socket:
    """Return a plain connected socket, with a small receive window where asked for."""
    sock = socket.socket()
    if window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.connect(("127.0.0.1", port))
    return sock


async def talk(port: int, *pieces: bytes) -> bytes:
    """Send pieces and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


def post(body: bytes = b"", extra: str = "", target: str = "/a", version: str = "1.1") -> bytes:
    return f"POST {target} HTTP/{version}\r\nHost: g\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


CHUNKED = b"POST /a HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE = "Connection: close\r\n"


def statuses(reply: bytes) -> list[int]:
    return [int(part[:3]) for part in reply.split(b"HTTP/1.1 ")[1:]]


# Requests in one another's way


async def test_offers_to_upgrade_in_any_number_are_ignored() -> None:
    many = 3000
    offer = b"GET / HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"
    async with serving() as (_, port):
        reply = await talk(port, offer * many + post(b"last", CLOSE))
    assert statuses(reply) == [200] * (many + 1)
    assert reply.endswith(b"last")


async def test_a_caller_with_many_requests_lets_others_have_their_turn() -> None:
    handled: list[str] = []

    async def handle(exchange: Exchange) -> None:
        handled.append(exchange.path)
        exchange.reply(200, [], b"")

    async with serving(handle) as (_, port):
        _, many = await asyncio.open_connection("127.0.0.1", port)
        reader, one = await asyncio.open_connection("127.0.0.1", port)
        many.write(post(target="/many") * 2000)
        one.write(post(target="/one"))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert handled.index("/one") < 1000
        await until(lambda: len(handled) == 2001)
        many.close()
        one.close()


async def test_replies_that_nobody_reads_hold_up_the_next_request() -> None:
    handled = 0
    big = b"x" * 100_000

    async def handle(exchange: Exchange) -> None:
        nonlocal handled
        handled += 1
        exchange.reply(200, [], big)

    async with serving(handle, kernel=65_536) as (server, port):
        sock = dialled(port, window=65_536)
        sock.sendall(post() * 200)
        await until(lambda: server.connections and any(c.write_paused for c in server.connections))
        for _ in range(100):
            await asyncio.sleep(0)
        assert handled < 20
        received = 0
        sock.setblocking(False)
        while received < 200 * len(big):
            received += len(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1 << 20), PATIENCE))
        assert handled == 200
        sock.close()


async def test_nothing_is_begun_on_a_connection_that_was_cut() -> None:
    handled: list[str] = []

    async def handle(exchange: Exchange) -> None:
        handled.append(exchange.path)
        exchange.start(200, [])
        exchange.abort()

    async with serving(handle) as (server, port):
        await talk(port, post(target="/cut") + post(target="/next"))
        await until(lambda: not server.connections)
    assert handled == ["/cut"]


async def test_a_handler_whose_own_waiting_is_cancelled_costs_its_connection_and_no_budget() -> None:
    async def handle(exchange: Exchange) -> None:
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    async with serving(handle) as (server, port):
        assert await talk(port, post(b"one") + post(b"two") + post(b"three")) == b""
        await until(lambda: not server.connections)
        assert server.budget.used == 0


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "after the reply"])
async def test_a_last_reply_is_not_lost_to_what_the_caller_still_sends(at_once: bool) -> None:
    only, more = post(b"only", CLOSE), post(b"x" * 50_000) * 4
    handled = 0

    async def handle(exchange: Exchange) -> None:
        nonlocal handled
        handled += 1
        await echo(exchange)

    async with serving(handle) as (_, port):
        for number in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(only + more if at_once else only)
            if not at_once:
                await until(lambda number=number: handled == number + 1)
                for _ in range(4):
                    await asyncio.sleep(0.001)
                    writer.write(more)
            reply = await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
            assert statuses(reply) == [200]
            assert reply.endswith(b"only")


# What is not a body


@pytest.mark.parametrize(
    "flood",
    [b"0\r\nX: ", b"0\r\n", b"1;", b"1;a=", b"0"],
    ids=["a trailer's value", "a trailer's name", "an extension's name", "an extension's value", "zeros before a size"],
)
async def test_what_is_in_a_body_and_not_of_it_is_bounded(flood: bytes) -> None:
    async with serving() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED + b"5\r\nhello\r\n" + flood)
        sent = 0
        try:
            while sent < 4_000_000 and not reader.at_eof():
                writer.write((b"0" if flood == b"0" else b"a") * 65_536)
                sent += 65_536
                await asyncio.wait_for(writer.drain(), PATIENCE)
            reply = await asyncio.wait_for(reader.read(), PATIENCE)
        except ConnectionError:
            reply = None  # cut, because it went on sending
        finally:
            writer.close()
        assert sent < 4_000_000
        assert reply is None or statuses(reply) == [431]
        await until(lambda: not server.connections)
        assert server.budget.used == 0


async def test_tiny_chunks_cost_the_budget_what_they_cost_the_memory() -> None:
    budget = Budget(10_000_000)
    body = Body(None, budget, 1_000_000, lambda: None)
    for _ in range(10_000):
        body.feed(b"ab")
    assert budget.used > 10_000 * 40
    body.close()
    assert budget.used == 0


async def test_tiny_chunks_go_to_the_spool_file_when_they_fill_the_memory() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body.arrived(LIMITS.body)
        body = exchange.body.whole()
        exchange.reply(200, [], b"%d %d" % (len(body), exchange.body.spooled))

    async with serving(handle) as (server, port):
        reply = await talk(
            port, CHUNKED.replace(b"Host", b"Connection: close\r\nHost"), b"2\r\nab\r\n" * 400 + b"0\r\n\r\n"
        )
        assert reply.endswith(b"\r\n\r\n800 1")
        assert server.budget.used == 0


async def test_a_spool_file_that_cannot_be_written_is_an_overload(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    async with serving() as (server, port):
        assert statuses(await talk(port, post(b"x" * 5000, CLOSE))) == [503]
        assert statuses(await talk(port, post(b"x" * 500, CLOSE))) == [200]
        assert server.budget.used == 0
    assert "nowhere" in caplog.text


async def test_a_full_disk_is_an_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"x" * 90_000)[:2000])
        await until(lambda: server.budget.used)
        (connection,) = server.connections
        spool = connection.current.body._spool  # type: ignore[union-attr]  # it is being read
        assert spool is not None

        class Full:
            def write(self, data: bytes) -> int:
                raise OSError(28, "No space left on device")

            def close(self) -> None:
                spool.close()

        connection.current.body._spool = Full()  # type: ignore[union-attr,assignment]
        writer.write(b"x" * 50_000)
        assert statuses(await asyncio.wait_for(reader.read(), PATIENCE)) == [503]
        writer.close()
        await until(lambda: not server.connections)
        assert server.budget.used == 0


# Callers who do not read


@pytest.mark.parametrize("extra", ["", CLOSE], ids=["when idle", "after its last reply"])
async def test_a_connection_that_is_closed_on_an_unread_reply_is_cut_in_the_end(extra: str) -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.reply(200, [], b"x" * 60_000)  # more than the kernel takes here, less than what counts as too much

    async with serving(handle, timeouts=QUICK, kernel=4096) as (server, port):
        sock = dialled(port, window=1024)
        sock.sendall(post(extra=extra))
        await until(lambda: server.connections)
        await until(lambda: not server.connections)
        sock.close()


async def test_a_slow_reader_who_reads_on_gets_a_long_reply_whole() -> None:
    big = b"x" * 4_000_000

    async def handle(exchange: Exchange) -> None:
        exchange.reply(200, [], big)

    async with serving(handle, timeouts=ServerTimeouts(write=1.2), kernel=65_536) as (_, port):
        sock = dialled(port, window=65_536)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, post(extra=CLOSE))
        received = 0
        for _ in range(9):  # longer than the time limit, and never half of what is to come
            received += len(await loop.sock_recv(sock, 100_000))
            await asyncio.sleep(0.25)
        while piece := await asyncio.wait_for(loop.sock_recv(sock, 1 << 20), PATIENCE):
            received += len(piece)
        assert received > len(big)
        sock.close()


# More connections than there may be


async def test_callers_over_the_limit_of_connections_cannot_pile_up() -> None:
    async with serving(limits=msgspec.structs.replace(LIMITS, connections=10)) as (server, port):
        held = [dialled(port) for _ in range(10)]
        await until(lambda: len(server.connections) == 10)
        more = [dialled(port) for _ in range(200)]
        most = 0
        for _ in range(200):
            await asyncio.sleep(0)
            most = max(most, len(server.connections))
        assert most < 100
        for sock in more + held:
            sock.close()
        await until(lambda: not server.connections)


async def test_connections_leave_descriptors_for_the_calls_that_come_over_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As where a process may open 274 files; what else this one has open is not the server's.
    monkeypatch.setattr("portico.wire.server.descriptors", lambda: 274)
    async with serving(limits=msgspec.structs.replace(LIMITS, connections=1000)) as (server, port):
        held = [dialled(port) for _ in range(90)]
        await until(lambda: len(server.connections) == 90)
        assert statuses(await talk(port, post(extra=CLOSE))) == [503]
        for sock in held:
            sock.close()
        await until(lambda: not server.connections)


async def test_other_limits_hold_from_now_on() -> None:
    async with serving() as (server, port):
        assert statuses(await talk(port, post(b"x" * 3000, CLOSE))) == [200]
        server.adopt(msgspec.structs.replace(LIMITS, body_budget=2000), ServerTimeouts())
        assert statuses(await talk(port, post(b"x" * 3000, CLOSE))) == [503]


async def test_a_connection_that_came_just_before_a_drain_is_served() -> None:
    async with serving() as (server, port):
        # As when it was accepted by the kernel, and the drain begins before the loop has taken it.
        sock = dialled(port)
        sock.sendall(post(b"in time"))
        server.draining = True
        reply = b""
        sock.setblocking(False)
        while piece := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 65_536), PATIENCE):
            reply += piece
        sock.close()
    assert statuses(reply) == [200]
    assert b"connection: close\r\n" in reply
    assert reply.endswith(b"in time")


# What must not be read in two ways

AMBIGUOUS = {
    "chunks in HTTP/1.0": b"POST /a HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two keys": post(extra="Authorization: Bearer a\r\nauthorization: Bearer b\r\n"),
    "the same key twice": post(extra="Authorization: Bearer a\r\nAuthorization: Bearer a\r\n"),
    "two content types": post(extra="Content-Type: application/json\r\nContent-Type: text/plain\r\n"),
    "a fragment": post(target="/a#b"),
    "a fragment in the query": post(target="/a?b#c"),
    "a URL without a host": post(target="http:///a"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_what_may_be_read_in_two_ways_is_refused(case: str) -> None:
    async with serving() as (_, port):
        assert statuses(await talk(port, AMBIGUOUS[case])) == [400]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://g?a=/b", "/", "a=/b"),
        ("http://g/?a=/b", "/", "a=/b"),
        ("http://g/a?b=http://c/d", "/a", "b=http://c/d"),
        ("/a?b=http://c/d", "/a", "b=http://c/d"),
    ],
)
async def test_a_url_as_target_ends_its_host_where_a_url_does(target: str, path: str, query: str) -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.reply(200, [], f"{exchange.path} {exchange.query}".encode())

    async with serving(handle) as (_, port):
        assert (await talk(port, post(target=target, extra=CLOSE))).endswith(f"\r\n\r\n{path} {query}".encode())


# Replies without a body


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_is_not_followed_by_one(status: int) -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.path == "/started":
            exchange.start(status, [])
            exchange.write(b"not to be sent")
            exchange.finish()
        elif exchange.path == "/sized":
            exchange.start(status, [], 14)
            exchange.write(b"not to be sent")
            exchange.finish()
        else:
            exchange.reply(status, [], b"not to be sent")

    async with serving(handle) as (_, port):
        reply = await talk(port, *(post(target=target) for target in ("/started", "/sized")), post(extra=CLOSE))
    assert statuses(reply) == [status] * 3
    assert b"not to be sent" not in reply
    assert b"transfer-encoding" not in reply
    assert b"0\r\n\r\n" not in reply


async def test_a_head_request_is_told_the_length_that_a_body_would_have() -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.start(200, [], 1234)
        exchange.finish()

    async with serving(handle) as (_, port):
        reply = await talk(port, b"HEAD /a HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
    assert b"content-length: 1234\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")


# Callers who go


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("how", [socket.socket.close, reset], ids=["in order", "by a reset"])
async def test_a_caller_who_goes_at_any_point_leaves_nothing(how: Callable[[socket.socket], None]) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body.arrived(LIMITS.body)
        body = exchange.body.whole()
        exchange.start(200, [])
        exchange.write(body)
        await asyncio.sleep(0)
        exchange.write(body)
        exchange.finish()

    data = post(b"x" * 20, "Expect: 100-continue\r\n") + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
    before = asyncio.all_tasks()
    async with serving(handle) as (server, port):
        for length in range(len(data) + 1):
            for turns in range(3):
                sock = dialled(port)
                sock.sendall(data[:length])
                for _ in range(turns):
                    await asyncio.sleep(0)
                how(sock)
        await until(lambda: not server.connections)
        assert server.budget.used == 0
        await until(lambda: asyncio.all_tasks() == before)


async def test_a_server_without_descriptors_serves_whom_it_has_and_later_the_others() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server.connections)
        waiting = [dialled(port) for _ in range(3)]
        await until(lambda: len(server.connections) == 4)
        extra = [socket.socket() for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        try:
            for sock in extra:
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sock.connect(("127.0.0.1", port))
            # Kept connections are served meanwhile.
            writer.write(post(b"kept"))
            assert (await asyncio.wait_for(reader.readuntil(b"kept"), PATIENCE)).startswith(b"HTTP/1.1 200")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert statuses(await talk(port, post(b"new", CLOSE))) == [200]
        for sock in waiting + extra:
            sock.close()
        writer.close()
        await until(lambda: not server.connections)
