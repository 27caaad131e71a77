"""A request whose body comes in pieces: written as fast as the origin takes them, and for as long as it wants them."""

import asyncio
from collections.abc import AsyncIterator

from portico.wire.connection import Connection
from portico.wire.deadlines import Deadlines
from portico.wire.reply import Sink


async def send_streaming(
    connection: Connection,
    head: bytes,
    chunks: AsyncIterator[bytes],
    sink: Sink,
    deadlines: Deadlines,
    *,
    chunked: bool,
) -> None:
    """Send a request on a connection, as its `send` does, with a body that is written piece by piece.

    `head` says `transfer-encoding: chunked` when `chunked`, else `content-length`. Returns when the body is
    written, or is no longer wanted: an error reply stops it at once, any other at its end. What `chunks` raises
    closes the connection and is raised again; the sink is not ended then. Raises ValueError when the pieces do
    not add up to the content length.
    """
    left = None if chunked else _content_length(head)
    connection.send(head, (), sink, deadlines)
    stop = asyncio.timeout(None)
    try:
        async with stop:
            if not connection.begin_upload(sink, stop):
                return
            try:
                await _write_all(connection, chunks, left)
            finally:
                connection.end_upload()
    except TimeoutError:
        if not stop.expired():  # it is the source's own
            connection.abort()
            raise
    except BaseException:
        connection.abort()
        raise
    else:
        connection.uploaded()
    finally:
        del stop  # it knows the task, which keeps what it was cancelled with, and that this frame


async def _write_all(connection: Connection, chunks: AsyncIterator[bytes], left: int | None) -> None:
    async for chunk in chunks:
        if left is None:
            data = b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
        else:
            left -= len(chunk)
            data = chunk
            if left < 0:
                raise ValueError("the body is longer than its content length")
        if data:
            await _write(connection, data)
    if left:
        raise ValueError(f"the body ended {left} bytes before its content length")
    if left is None:
        await _write(connection, b"0\r\n\r\n")


async def _write(connection: Connection, data: bytes) -> None:
    # A turn of the loop first: an origin that refuses an upload replies and closes, and writing to it before its
    # reply was read would lose the reply.
    await asyncio.sleep(0)
    full = connection.write(data)
    if full is not None:
        await full
        connection.went_on()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("a body that is not chunked needs a content-length")
