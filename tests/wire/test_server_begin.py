"""Requests that are answered without a task, as nothing has to be waited for; and those that are handed over."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from portico.config.schema import Limits, ServerTimeouts
from portico.wire.exchange import Exchange, Later
from portico.wire.server import Server
from portico.wire.waiting import Waiting

REQUEST = b"POST /a HTTP/1.1\r\nhost: g\r\ncontent-length: 5\r\n\r\nhello"
TOLD = b"HTTP/1.1 200 OK\r\n"


class Told(Waiting):
    """Notes that a caller is gone."""

    def __init__(self, notes: list[Exchange], exchange: Exchange) -> None:
        self.notes, self.exchange = notes, exchange

    def gone(self) -> None:
        self.notes.append(self.exchange)


class Failing(Waiting):
    """Cannot be told."""

    def gone(self) -> None:
        raise RuntimeError("broken")


class Beginner:
    """Begins every request, and leaves to the test what becomes of it."""

    def __init__(self) -> None:
        self.begun: list[Exchange] = []
        self.gone: list[Exchange] = []
        self.handled: list[tuple[Exchange, object]] = []
        self.cancelled = 0
        self.takes = True

    def begin(self, exchange: Exchange) -> bool:
        if self.takes:
            self.begun.append(exchange)
            exchange.waiting = Told(self.gone, exchange)
        return self.takes

    async def handle(self, exchange: Exchange) -> None:
        self.handled.append((exchange, exchange.begun))
        exchange.begun = None
        try:
            await asyncio.sleep(0)
            await exchange.body.arrived(100)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        exchange.reply(200, [], b"handled")

    async def next(self) -> Exchange:
        """Wait for a request that was begun."""
        await until(lambda: self.begun)
        return self.begun.pop()


def answer(exchange: Exchange, body: bytes) -> None:
    exchange.waiting = None
    Later(exchange, lambda: exchange.reply(200, [], body))(None)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, Beginner, socket.socket]]:
    """Run a server with one caller connected."""
    beginner = Beginner()
    server = Server(beginner.handle, Limits(), ServerTimeouts(), begin=beginner.begin)
    sock = socket.create_server(("127.0.0.1", 0))
    await server.listen(sock)
    with socket.create_connection(sock.getsockname()) as caller:
        caller.setblocking(False)
        try:
            yield server, beginner, caller
        finally:
            await server.close()
    assert server.budget.used == 0
    assert not server.leaving


async def heard(caller: socket.socket, body: bytes) -> None:
    """Read one reply."""
    loop = asyncio.get_running_loop()
    data = b""
    async with asyncio.timeout(10):
        while not data.endswith(b"\r\n\r\n" + body):
            data += await loop.sock_recv(caller, 1000)
    assert data.startswith(TOLD)
    assert data.count(TOLD) == 1


async def test_a_reply_that_comes_later_needs_no_task() -> None:
    async with serving() as (server, beginner, caller):
        for turn in range(5):
            caller.send(REQUEST)
            exchange = await beginner.next()
            (connection,) = server.connections
            assert server.budget.used == 5
            answer(exchange, b"%d" % turn)
            await heard(caller, b"%d" % turn)
            assert connection.task is None
            assert connection.idle
            assert server.budget.used == 0
    assert not beginner.handled


async def test_what_is_not_begun_is_handled() -> None:
    async with serving() as (_, beginner, caller):
        for takes in (True, False, False, True, False):
            beginner.takes = takes
            caller.send(REQUEST)
            if takes:
                answer(await beginner.next(), b"later")
                await heard(caller, b"later")
            else:
                await heard(caller, b"handled")
    assert [begun for _, begun in beginner.handled] == [None] * 3


async def test_what_is_handed_over_is_gone_on_with_by_the_handler() -> None:
    async with serving() as (_, beginner, caller):
        for turn in range(3):
            caller.send(REQUEST)
            exchange = await beginner.next()
            exchange.hand_over(turn)
            await heard(caller, b"handled")
    assert [begun for _, begun in beginner.handled] == [0, 1, 2]
    assert not beginner.gone


async def test_a_body_that_is_not_here_yet_is_the_handlers() -> None:
    async with serving() as (_, beginner, caller):
        caller.send(REQUEST[:-2])
        await until(lambda: beginner.handled)
        caller.send(REQUEST[-2:])
        await heard(caller, b"handled")
        assert len(beginner.handled) == 1
        caller.send(REQUEST)
        answer(await beginner.next(), b"later")
        await heard(caller, b"later")


async def test_requests_that_come_together_are_answered_in_order() -> None:
    async with serving() as (_, beginner, caller):
        caller.send(REQUEST * 3)
        answer(await beginner.next(), b"later")
        loop = asyncio.get_running_loop()
        data = b""
        async with asyncio.timeout(10):
            while data.count(TOLD) < 3 or not data.endswith(b"handled"):
                data += await loop.sock_recv(caller, 1000)
        assert [part.rpartition(b"\r\n\r\n")[2] for part in data.split(TOLD)[1:]] == [b"later", b"handled", b"handled"]


async def test_who_begins_a_call_is_told_when_its_caller_is_gone() -> None:
    async with serving() as (server, beginner, caller):
        caller.send(REQUEST)
        exchange = await beginner.next()
        caller.close()
        await until(lambda: not server.connections)
        assert beginner.gone == [exchange]
        assert server.budget.used == 0
    assert not beginner.handled


@pytest.mark.parametrize("turns", range(3))
async def test_a_call_that_is_handed_over_as_its_caller_leaves_is_the_handlers_to_end(turns: int) -> None:
    async with serving() as (server, beginner, caller):
        caller.send(REQUEST)
        exchange = await beginner.next()
        (connection,) = server.connections
        exchange.hand_over("half done")
        for _ in range(turns):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await until(lambda: not server.leaving)
        assert beginner.handled == [(exchange, "half done")]
        assert beginner.cancelled == (turns < 2)
        assert not beginner.gone


async def test_a_request_of_a_connection_that_was_cut_is_not_begun() -> None:
    async with serving() as (server, beginner, caller):
        caller.send(REQUEST)
        answer(await beginner.next(), b"later")
        await heard(caller, b"later")
        (connection,) = server.connections
        connection.abort()
        connection.data_received(REQUEST)
        assert not beginner.begun
        await until(lambda: not server.connections)
    assert not beginner.handled


@pytest.mark.parametrize("task", [False, True], ids=["on a new connection", "on one that has a task"])
async def test_what_fails_to_begin_is_handled_and_what_fails_to_end_is_let_go(
    task: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> bool:
        raise RuntimeError("broken")

    async with serving() as (server, beginner, caller):
        if task:
            beginner.takes = False
            caller.send(REQUEST)
            await heard(caller, b"handled")
            beginner.takes = True
        server.begin = fails
        caller.send(REQUEST)
        await heard(caller, b"handled")
        server.begin = beginner.begin
        caller.send(REQUEST)
        exchange = await beginner.next()
        exchange.waiting = Failing()
        caller.close()
        await until(lambda: not server.connections)
        assert server.budget.used == 0
    assert [record.getMessage().partition(" could not ")[2] for record in caplog.records] == [
        "be begun",
        "be ended whose caller is gone",
    ]


async def test_a_server_that_closes_waits_for_calls_that_have_no_task() -> None:
    async with serving() as (server, beginner, caller):
        caller.send(REQUEST)
        exchange = await beginner.next()
        await server.close()
        assert not server.connections
        assert beginner.gone == [exchange]
