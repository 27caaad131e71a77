"""A fake upstream on a raw socket: it keeps what it gets, and replies with given bytes, cut and framed as told."""

import asyncio
import gzip
import itertools
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, cast

import msgspec

Framing = Literal["sized", "chunked", "close", "gzip", "cut"]
"""How the end of a reply is told: its length, chunks, the close of the connection; `gzip` is chunks of a coded body.
`cut` is chunks of which the last does not come: the connection breaks."""

NO_BODY = (204, 304)
MARK = b"x-session-id"
"""The header by which a request says which reply it is to get; Portico passes it on."""


class Asked(msgspec.Struct):
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class Play(msgspec.Struct):
    """A reply to be given, the requests that it was given to, and what is given from then on, if that is another."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    sizes: Sequence[int]
    framing: Framing
    asked: list[Asked] = []
    then: "Play | None" = None


def cut(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut a body into pieces; the last size is repeated to its end. No sizes: one piece."""
    at = 0
    size = len(body)
    for size in sizes:
        if at < len(body):
            yield body[at : at + size]
        at += size
    while at < len(body):
        yield body[at : at + size]
        at += size


class Origin:
    """Listens on a port of its own, with one `Play` for each mark."""

    def __init__(self) -> None:
        self.plays: dict[bytes, Play] = {}
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self.plays), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()


class _Connection(asyncio.Protocol):
    def __init__(self, plays: dict[bytes, Play]) -> None:
        self._plays = plays
        self._data = bytearray()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = bytes(self._data[:end]).split(b"\r\n")
        pairs = [line.decode("latin-1").partition(": ") for line in lines]
        headers = [(name, value) for name, _, value in pairs]
        size = int(next((value for name, value in headers if name == "content-length"), "0"))
        if len(self._data) < end + 4 + size:
            return
        body = bytes(self._data[end + 4 : end + 4 + size])
        assert len(self._data) == end + 4 + size, "more than one request at a time"
        self._data.clear()
        method, target, version = first.decode("latin-1").split(" ")
        assert version == "HTTP/1.1"
        mark = next(value for name, value in headers if name == MARK.decode()).encode()
        play = self._plays[mark]
        play.asked.append(Asked(method, target, headers, body))
        self._plays[mark] = play.then or play
        self._reply(play, bodiless=method == "HEAD" or play.status in NO_BODY)

    def _reply(self, play: Play, *, bodiless: bool) -> None:
        lines = [f"HTTP/1.1 {play.status} As Recorded"]
        lines += [f"{name}: {value}" for name, value in play.headers]
        body, framing = play.body, play.framing
        if framing == "gzip":
            body = gzip.compress(body, 1)
            lines.append("content-encoding: gzip")
        if framing in ("chunked", "gzip", "cut"):
            lines.append("transfer-encoding: chunked")
        elif framing == "sized" and play.status not in NO_BODY:
            lines.append(f"content-length: {len(body)}")
        elif framing == "close":
            lines.append("connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        pieces: Iterable[bytes] = () if bodiless else cut(body, play.sizes)
        if framing in ("chunked", "gzip", "cut") and not bodiless:
            last = [] if framing == "cut" else [b"0\r\n\r\n"]
            pieces = itertools.chain((b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), last)
        closes = framing in ("close", "cut")
        self._task = asyncio.get_running_loop().create_task(self._write(head, pieces, close=closes))

    async def _write(self, head: bytes, pieces: Iterable[bytes], *, close: bool) -> None:
        """Write piece by piece, with turns of the loop between them, so that each is read apart."""
        held = head
        for piece in pieces:
            self._transport.write(held + piece)
            held = b""
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if held:
            self._transport.write(held)
        if close:
            self._transport.close()
