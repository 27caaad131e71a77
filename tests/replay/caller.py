"""A raw HTTP/1.1 caller: one kept-alive connection, replies taken apart by hand."""

import asyncio
import re
from typing import cast

import msgspec

_SIZE = re.compile(rb"([0-9a-f]+)\r\n")


class Got(msgspec.Struct):
    """A reply as it came. `ended` says how: `length`, `chunks`, `close`, or `cut` for one that is not whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    ended: str
    pieces: int = 1

    def header(self, name: str) -> str | None:
        """Return the header of this name."""
        return next((value for key, value in self.headers if key == name), None)


class Caller(asyncio.Protocol):
    """One connection to the gateway; it is made again when the gateway has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._waiter: asyncio.Future[Got] | None = None
        self._head_only = False
        self._end = -1

    async def call(self, head: bytes, body: bytes, *, head_only: bool = False) -> Got:
        """Send a request (its head ends with the blank line) and return the reply."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        self._data.clear()
        self._end = -1
        self._head_only = head_only
        self._waiter = loop.create_future()
        self._transport.write(head + body)
        async with asyncio.timeout(60):
            return await self._waiter

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._end < 0:
            self._end = self._data.find(b"\r\n\r\n")
            if self._end < 0:
                return
            self._head = self._parse_head()
        self._look(closed=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiter is not None and not self._waiter.done():
            if self._end < 0:
                self._waiter.set_exception(ConnectionError(f"no reply: {bytes(self._data)!r}"))
            else:
                self._look(closed=True)

    def _parse_head(self) -> Got:
        first, *lines = bytes(self._data[: self._end]).split(b"\r\n")
        version, status, *_ = first.split(b" ")
        assert version == b"HTTP/1.1"
        pairs = [line.partition(b": ") for line in lines]
        return Got(int(status), [(n.decode("latin-1"), v.decode("latin-1")) for n, _, v in pairs], b"", "")

    def _look(self, *, closed: bool) -> None:
        got, start = self._head, self._end + 4
        length, coding = got.header("content-length"), got.header("transfer-encoding")
        assert length is None or coding is None
        if self._head_only or got.status in (204, 304):
            got.ended = "length"
        elif length is not None:
            if len(self._data) - start >= int(length):
                got.body, got.ended = bytes(self._data[start:]), "length"
                assert len(got.body) == int(length)
        elif coding is not None:
            assert coding == "chunked"
            if self._data.endswith(b"0\r\n\r\n"):
                pieces, whole = _chunks(bytes(self._data), start)
                if whole:
                    got.body, got.ended, got.pieces = b"".join(pieces), "chunks", len(pieces)
        elif closed:
            got.body, got.ended = bytes(self._data[start:]), "close"
        if closed and not got.ended:
            got.ended = "cut"
            got.body = bytes(self._data[start:]) if coding is None else b"".join(_chunks(bytes(self._data), start)[0])
        if got.ended and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(got)


def _chunks(data: bytes, at: int) -> tuple[list[bytes], bool]:
    """Return the whole chunks of a body, and whether it ends with the end of `data`."""
    pieces = []
    while (size := _SIZE.match(data, at)) is not None:
        start = size.end()
        end = start + int(size[1], 16)
        if end == start:
            return pieces, data[end:] == b"\r\n"
        if data[end : end + 2] != b"\r\n":
            break
        pieces.append(data[start:end])
        at = end + 2
    return pieces, False
