"""Bodies that are sent piece by piece: whole, stopped by an early reply, given up, broken off."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.wire.sockets import OK, later, reset

from portico.errors import ConnectionLost, UpstreamTimeout
from portico.wire.client import Client, Deadlines, Origin, Settings
from portico.wire.upload import send_streaming

Serve = Callable[..., Any]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def upload(
    client: Client, origin: Origin, sink: Any, chunks: AsyncIterator[bytes], deadlines: Deadlines, length: int | None
) -> None:
    connection = await client.pool(origin, Settings()).acquire(later())
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    head = b"POST /up HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing
    await send_streaming(connection, head, chunks, sink, deadlines, chunked=length is None)


@pytest.mark.parametrize("length", [None, 11])
async def test_a_body_is_sent_piece_by_piece(
    upstream: Serve, client: Client, recorder: Any, length: int | None
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            if length is None:
                got.append(await reader.readuntil(b"0\r\n\r\n"))
            else:
                got.append(await reader.readexactly(length))
            writer.write(OK)
        await reader.read()

    got: list[bytes] = []
    async with upstream(handle) as up:
        for _ in range(2):
            sink = recorder()
            await upload(client, up.origin, sink, pieces(b"hello", b"", b" world"), Deadlines(), length)
            assert (await sink.over()).error is None
        assert got == ([b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"] if length is None else [b"hello world"]) * 2
        assert up.connections == 1


@pytest.mark.parametrize("chunks", [(b"hello", b" worlds"), (b"hello",)])
async def test_a_body_that_is_not_as_long_as_it_says_is_an_error(
    upstream: Serve, client: Client, recorder: Any, chunks: tuple[bytes, ...]
) -> None:
    async with upstream(OK) as up:
        sink = recorder()
        with pytest.raises(ValueError, match="content length"):
            await upload(client, up.origin, sink, pieces(*chunks), Deadlines(), 11)
        assert sink.ends == []


async def endless(stopped: list[str]) -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"x" * 65_536
    finally:
        stopped.append("source")


async def stalled(begun: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"x"
    begun.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("source", ["endless", "stalled"])
async def test_an_early_reply_is_delivered_and_stops_the_upload(
    upstream: Serve, client: Client, recorder: Any, source: str, status: int
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if source == "stalled":
            await begun.wait()
        writer.write(b"HTTP/1.1 %d Early\r\nContent-Length: 4\r\n\r\nstop" % status)
        await gone.wait()

    begun, gone = asyncio.Event(), asyncio.Event()
    async with upstream(handle) as up:
        sink = recorder()
        chunks = endless([]) if source == "endless" else stalled(begun)
        await asyncio.wait_for(upload(client, up.origin, sink, chunks, Deadlines(), None), 20)
        await sink.over()
        assert (sink.status, sink.body, sink.error) == (status, b"stop", None)
        while client.stats.open:
            await asyncio.sleep(0.001)
        gone.set()
        await chunks.aclose()  # type: ignore[attr-defined]


async def test_an_origin_that_takes_nothing_of_an_upload_is_given_up(
    upstream: Serve, client: Client, recorder: Any
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await gone.wait()

    gone = asyncio.Event()
    async with upstream(handle) as up:
        sink = recorder()
        chunks = endless([])
        deadlines = Deadlines(first_byte=60, between_chunks=0.2)
        await asyncio.wait_for(upload(client, up.origin, sink, chunks, deadlines, None), 20)
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "between_chunks"
        gone.set()
        await chunks.aclose()  # type: ignore[attr-defined]


async def test_an_upload_whose_connection_breaks_ends(upstream: Serve, client: Client, recorder: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await begun.wait()
        reset(writer)

    begun = asyncio.Event()
    async with upstream(handle) as up:
        sink = recorder()
        await asyncio.wait_for(upload(client, up.origin, sink, stalled(begun), Deadlines(), None), 20)
        assert isinstance((await sink.over()).error, ConnectionLost)


async def test_an_error_of_the_source_closes_the_connection_and_is_raised(
    upstream: Serve, client: Client, recorder: Any
) -> None:
    async def failing(error: BaseException) -> AsyncIterator[bytes]:
        yield b"x"
        raise error

    async with upstream(OK) as up:
        for error in (KeyError("source"), TimeoutError("source")):
            sink = recorder()
            with pytest.raises(type(error), match="source"):
                await upload(client, up.origin, sink, failing(error), Deadlines(), None)
            assert sink.ends == []
        while client.stats.open:
            await asyncio.sleep(0.001)


async def test_a_cancelled_upload_closes_its_connection(upstream: Serve, client: Client, recorder: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    begun = asyncio.Event()
    async with upstream(handle) as up:
        sink = recorder()
        task = asyncio.ensure_future(upload(client, up.origin, sink, stalled(begun), Deadlines(), None))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sink.ends == []
        while client.stats.open:
            await asyncio.sleep(0.001)
