"""How a reply goes out: late, paced, in small pieces, compressed, or broken in the way that was asked for."""

import asyncio
import gzip
import socket
import struct
import zlib
from typing import TYPE_CHECKING

import msgspec

from portico.testing.ask import Piece
from portico.testing.clock import Clock, Timer
from portico.testing.controls import PLAIN, Controls
from portico.testing.ledger import Entry, Ledger, Outcome
from portico.types import Usage
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.wire.requests import Requests

_IN_THE_MIDDLE = frozenset(
    ("cut-mid-stream", "cut-mid-chunk", "bad-chunk", "stall", "end-early", "error-mid-stream", "broken-json")
)
BLOCK = 32 * 1024
_LINGER_NONE = struct.pack("ii", 1, 0)
_DEFAULTS = msgspec.structs.asdict(PLAIN)
_MATTER = ("latency", "pace", "split", "gzip", "close", "fault")


class Reply(msgspec.Struct):
    """A reply that is decided: what it is, and how it is to be delivered.

    `outcome` is what it counts as when it went out whole; `opening` what is served with its first byte, `whole` with
    its last. `failure` and `broken` are the chunks that the faults of these names need.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    pieces: list[Piece]
    streamed: bool = False
    length: int | None = None
    outcome: Outcome = "served"
    opening: Usage = Usage()
    whole: Usage = Usage()
    say: Controls = PLAIN
    failure: bytes = b""
    broken: bytes = b""


class Delivery:
    """One reply on its way out, and the ledger's entry that follows it."""

    __slots__ = (
        "_at",
        "_clock",
        "_entry",
        "_exchange",
        "_held",
        "_ledger",
        "_output",
        "_reasoning",
        "_reply",
        "_timer",
    )

    def __init__(self, exchange: Exchange, reply: Reply, entry: Entry, ledger: Ledger, clock: Clock) -> None:
        self._exchange = exchange
        self._reply = reply
        self._entry = entry
        self._ledger = ledger
        self._clock = clock
        self._at = -1  # the piece before which the fault comes
        self._output = 0
        self._reasoning = 0
        self._held: asyncio.Future[None]
        self._timer: Timer

    async def send(self) -> None:
        """Send the reply; the entry is closed before its last byte is released."""
        reply, entry, say = self._reply, self._entry, self._reply.say
        entry.status = reply.status
        entry.whole = reply.whole
        entry.fault = say.fault
        if (
            not reply.streamed
            and len(reply.pieces) < 2
            and all(getattr(say, name) == _DEFAULTS[name] for name in _MATTER)
        ):
            body = reply.pieces[0].data if reply.pieces else b""
            entry.chunks, entry.bytes_out = 1, len(body)
            self._close(reply.outcome)
            self._exchange.reply(reply.status, reply.headers, body)
            return
        try:
            await self._send(say)
        except asyncio.CancelledError:
            self._close("gone")
            raise

    async def _send(self, say: Controls) -> None:
        """Send a reply that is not simply whole."""
        if say.latency:
            await self._clock.sleep(say.latency)
        if say.fault == "cut-before-head":
            await self._cut()
            return
        self._prepare()
        self._start()
        if say.fault == "cut-after-head":
            await self._cut()
            return
        if say.split or self._at >= 0 or len(self._reply.pieces) < 2:
            await self._pieces()
        elif say.pace:
            await self._paced()
        else:
            await self._together()

    def _prepare(self) -> None:
        """Cut and compress the pieces as asked."""
        reply, say = self._reply, self._reply.say
        if say.gzip and reply.pieces:
            reply.headers = [*reply.headers, (b"content-encoding", b"gzip")]
            reply.pieces = _zipped(reply.pieces)
        if not reply.streamed and reply.length is None:
            reply.length = sum(len(piece.data) for piece in reply.pieces)
        if say.fault not in _IN_THE_MIDDLE or not reply.pieces:
            return
        self._at = min(say.at, len(reply.pieces) - 1)
        if not reply.streamed:  # the middle of a whole reply is that of its body
            whole = reply.pieces[0]
            half = len(whole.data) // 2
            reply.pieces = [Piece(whole.data[:half]), whole._replace(data=whole.data[half:])]
            self._at = 1
            if say.fault in ("end-early", "broken-json"):
                reply.length = half

    def _start(self) -> None:
        reply, exchange = self._reply, self._exchange
        if reply.say.close:
            exchange.http10, exchange.keep_alive = True, False  # the one framing without a length or chunks
        length = None if reply.streamed or reply.say.close or reply.say.fault == "bad-chunk" else reply.length
        exchange.start(reply.status, reply.headers, length)
        self._entry.usage = reply.opening

    async def _together(self) -> None:
        """Write the pieces of a stream that nothing holds up, many with one call of the system, each a chunk still."""
        exchange, entry, pieces = self._exchange, self._entry, self._reply.pieces
        chunked = exchange.chunked
        write = _wire(exchange).write if chunked else exchange.write
        last = len(pieces) - 1
        block: list[bytes] = []
        size = 0
        for place, piece in enumerate(pieces):
            data = piece.data
            block.append(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            size += len(data)
            self._output += piece.output
            self._reasoning += piece.reasoning
            if size >= BLOCK or place == last:
                entry.chunks = place + 1
                entry.bytes_out += size
                if place == last:
                    self._close("gone" if exchange.gone else self._reply.outcome)
                write(b"".join(block))
                block.clear()
                size = 0
                if exchange.paused:
                    await exchange.drained()
        exchange.finish()

    async def _paced(self) -> None:
        """Write the pieces of a stream at their pace, from the loop's timer: waking the task for each costs twice."""
        last = len(self._reply.pieces) - 1
        self._piece(0, last)
        while self._entry.chunks <= last:
            if self._exchange.paused:
                await self._exchange.drained()
            self._held = asyncio.get_running_loop().create_future()
            self._timer = self._clock.later(self._reply.say.pace, self._tick)
            try:
                await self._held
            finally:
                self._timer.cancel()
        self._exchange.finish()

    def _tick(self) -> None:
        """Write one piece; wake the task when that was the last, or the caller does not keep up."""
        place, last = self._entry.chunks, len(self._reply.pieces) - 1
        try:
            self._piece(place, last)
            if place < last and not self._exchange.paused:
                self._timer = self._clock.later(self._reply.say.pace, self._tick)
                return
        except Exception as error:  # it has to reach the task, not the loop
            self._held.set_exception(error)
            return
        if not self._held.done():
            self._held.set_result(None)

    def _piece(self, place: int, last: int) -> None:
        """Write one piece as it is."""
        piece, entry = self._reply.pieces[place], self._entry
        entry.chunks += 1
        entry.bytes_out += len(piece.data)
        self._output += piece.output
        self._reasoning += piece.reasoning
        if place == last:
            self._close("gone" if self._exchange.gone else self._reply.outcome)
        self._exchange.write(piece.data)

    async def _pieces(self) -> None:
        """Write the pieces, one after another, up to the end or the fault."""
        reply, say, exchange, entry = self._reply, self._reply.say, self._exchange, self._entry
        last = len(reply.pieces) - 1
        for place, piece in enumerate(reply.pieces):
            if say.pace and place:
                await self._clock.sleep(say.pace)
            data = piece.data
            if place == self._at:
                if await self._fault(data):
                    return
                if say.fault == "broken-json":
                    data, piece = reply.broken, Piece(reply.broken)
            if say.split and len(data) > say.split:
                data = await self._split(data, say)
            entry.chunks += 1
            entry.bytes_out += len(data)
            self._output += piece.output
            self._reasoning += piece.reasoning
            if place == last:
                self._close("gone" if exchange.gone else reply.outcome)
            exchange.write(data)
            if exchange.paused:
                await exchange.drained()
        if last < 0:
            self._close(reply.outcome)
        exchange.finish()

    async def _split(self, data: bytes, say: Controls) -> bytes:
        """Write a piece in smaller ones; return the last of them, which is yet to be written."""
        for at in range(0, len(data) - say.split, say.split):
            part = data[at : at + say.split]
            self._entry.chunks += 1
            self._entry.bytes_out += len(part)
            self._exchange.write(part)
            if say.pace:
                await self._clock.sleep(say.pace)
            elif self._exchange.paused:
                await self._exchange.drained()
        return data[at + say.split :]

    async def _fault(self, data: bytes) -> bool:
        """Do what was asked for in place of the next piece; return whether that was the end of the reply."""
        reply, exchange = self._reply, self._exchange
        fault = reply.say.fault
        if fault == "stall":
            if reply.say.hold is None:
                await asyncio.get_running_loop().create_future()  # until the caller leaves
            else:
                await self._clock.sleep(reply.say.hold)
            return False
        if fault == "broken-json":
            if reply.streamed:
                return False
            self._close("cut")
            exchange.finish()
            return True
        if fault == "end-early":
            self._close("cut")
            exchange.finish()
            return True
        if fault == "error-mid-stream":
            self._entry.chunks += 1
            self._entry.bytes_out += len(reply.failure)
            self._close("cut")
            exchange.write(reply.failure)
            exchange.finish()
            return True
        if fault == "cut-mid-chunk":
            half = data[: len(data) // 2]
            self._entry.bytes_out += len(half)
            # Past Exchange.write, which would make the half a chunk of its own.
            _wire(exchange).write(b"%x\r\n%b" % (len(data), half) if exchange.chunked else half)
        elif fault == "bad-chunk":
            _wire(exchange).write(b"zz\r\n")
        await self._cut()
        return True

    async def _cut(self) -> None:
        """Cut the connection, after what was written so far has left."""
        self._close("cut")
        for _ in range(3):  # the loop writes at the end of a round; what is still in its buffer would be dropped
            await asyncio.sleep(0)
        if self._reply.say.reset and not self._exchange.gone:
            sock: socket.socket | None = _wire(self._exchange).transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self._exchange.abort()

    def _close(self, outcome: Outcome) -> None:
        entry = self._entry
        if outcome == "served":
            entry.usage = self._reply.whole
        elif self._output or self._reasoning:
            entry.usage = msgspec.structs.replace(entry.usage, output=self._output, reasoning=self._reasoning)
        self._ledger.close(entry, outcome, self._clock.now())


def _wire(exchange: Exchange) -> "Requests":
    """Return the connection under an exchange, whose own contract has no place for what is broken on purpose."""
    return exchange._connection


def _zipped(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces as one gzip stream, flushed after each so that it can be read as it comes."""
    if len(pieces) == 1:
        return [pieces[0]._replace(data=gzip.compress(pieces[0].data, mtime=0))]
    press = zlib.compressobj(wbits=31)
    packed = [piece._replace(data=press.compress(piece.data) + press.flush(zlib.Z_SYNC_FLUSH)) for piece in pieces]
    packed[-1] = packed[-1]._replace(data=packed[-1].data + press.flush())
    return packed
