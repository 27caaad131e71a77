"""A reply as it arrives from a provider: held until it can be judged, then pushed on piece by piece."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from portico.errors import PorticoError
from portico.types import Usage
from portico.upstream.health import Health
from portico.upstream.keyring import Credential
from portico.upstream.opening import begun
from portico.wire.client import Connection, Headers, Sink
from portico.wire.ready import READY
from portico.wire.replied import ReplyHead
from portico.wire.waiting import Waiting

if TYPE_CHECKING:
    from portico.upstream.gate import Gate

WHOLE: Final = (b"application/json", b"text/", b"application/xml")
STREAMED: Final = (b"text/event-stream", b"application/stream+json")

NO_FIELDS: Final[Mapping[bytes, bytes]] = MappingProxyType({})
AHEAD: Final = 1024 * 1024
"""Bytes of a stream taken in before somebody takes them on."""


class Arrival(Sink):
    """The sink of one attempt.

    `here` completes when there is something to decide on: the whole reply, the first event of a stream, or a failure.
    (The first piece of a stream where it is not `judged`.) Who is `waiting` is told instead, where that is set.
    `health`, `credential` where there are several, and `gate` where there is one, count it as under way until it ends.
    `question` is the class of the request's size. `usage` is what a whole reply used, where it has been read. From then
    on `forward` sends the pieces of a stream to a consumer, and `over` completes at its end.
    """

    connection: Connection | None = None
    status = 0
    size = 0
    streaming = False
    reused = False
    asked = False  # whether the request went out, or some of it
    judged = False
    question = 0
    ended = False
    usage: Usage | None = None
    health: Health | None = None
    credential: Credential | None = None
    gate: "Gate | None" = None
    error: PorticoError | None = None
    head_ns = 0
    here_ns = 0
    _may_be_whole = False
    _paused = False
    _consume: Callable[[bytes], None] | None = None
    _here: asyncio.Future[None] | None = None
    _over: asyncio.Future[None] | None = None
    waiting: Waiting | None = None
    replied: ReplyHead | None = None
    fields: Mapping[bytes, bytes] = NO_FIELDS

    def __init__(self, loop: asyncio.AbstractEventLoop, wants_stream: bool, limit: int) -> None:
        self._loop = loop
        self._wants_stream = wants_stream
        self._limit = limit
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.sent_ns = perf_counter_ns()

    def __repr__(self) -> str:
        return f"<Arrival {self.status or 'waiting'} {self.size} bytes{' ended' if self.ended else ''}>"

    # the connection's side

    def head(self, head: ReplyHead) -> None:
        """Take the head of the reply."""
        self.replied = head
        self.status = head.status
        self.headers = head.headers
        self.fields = head.fields
        self.head_ns = perf_counter_ns()
        if head.status < 400:
            whole = COMES_WHOLE[head.fields.get(b"content-type", b"")]
            if self._wants_stream:
                self.streaming = True
                self._may_be_whole = whole
            elif not whole:
                self.streaming = True

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self._consume is not None:
            self._consume(chunk)
            return
        self.pieces.append(chunk)
        self.size += len(chunk)
        if self._may_be_whole:
            # A stream was asked for, and this may be an object. (Gemini's streams may be arrays, and some servers say
            # JSON of their events.)
            first = chunk.lstrip()[:1]
            if not first and self.size <= self._limit:
                return
            self._may_be_whole = False
            self.streaming = first != b"{"
        if self.streaming:
            if not self.here_ns:
                if not self.judged or begun(self):
                    self._wake()
            elif self.size > AHEAD and self.connection is not None:
                self.connection.pause()
        elif self.size > self._limit:
            # Too much to hold: it goes on as it comes, and nobody reads its usage.
            self.streaming = True
            self._wake()

    def end(self, error: PorticoError | None) -> None:
        """Take the end of the reply."""
        self.ended = True
        self.error = error
        self.connection = None
        self._consume = None  # it knows the arrival: only the collector could free them both
        self._leave()
        if not self.here_ns:
            self._wake()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def whole(self, head: ReplyHead, body: bytes) -> None:
        """Take a whole reply: its connection is free."""
        self.connection = None
        status, fields = head.status, head.fields
        if len(body) > self._limit or (
            status < 400 and (self._wants_stream or not COMES_WHOLE[fields.get(b"content-type", b"")])
        ):
            super().whole(head, body)
            return
        self.replied = head
        self.status = status
        self.headers = head.headers
        self.fields = fields
        self.pieces.append(body)
        self.size = len(body)
        self.head_ns = self.here_ns = perf_counter_ns()
        self.ended = True
        self._leave()
        waiting = self.waiting
        if waiting is None:
            self._wake()
        else:
            self.waiting = None
            waiting.arrived()

    def _leave(self) -> None:
        """Be no longer counted as under way."""
        health = self.health
        if health is not None:
            health.in_flight -= 1
            self.health = None
            if self.credential is not None:
                self.credential.in_flight -= 1
            if self.gate is not None:
                self.gate.give_back()

    def _wake(self) -> None:
        self.here_ns = perf_counter_ns()
        waiting, here = self.waiting, self._here
        if waiting is not None:
            self.waiting = None
            self._loop.call_soon(waiting.arrived)  # what came with this is taken in first
        elif here is not None and not here.done():
            here.set_result(None)

    # the call's side

    @property
    def here(self) -> Awaitable[None]:
        """What waits for something to decide on."""
        if self.here_ns:
            return READY
        here = self._here = self._loop.create_future()
        return here

    def header(self, name: bytes) -> bytes:
        """Return a header of the reply, empty when it has none."""
        return self.fields.get(name, b"")

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        if len(self.pieces) == 1:
            return self.pieces[0]
        return b"".join(self.pieces)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the provider wants to be asked again."""
        precise = self.header(b"retry-after-ms")
        value = self.header(b"retry-after")
        try:
            if precise:
                return max(0.0, float(precise) / 1000)
            return max(0.0, float(value)) if value else None
        except ValueError:
            return None

    def forward(self, consume: Callable[[bytes], None]) -> None:
        """Give a stream's pieces to a consumer: those already here at once, the others as they come."""
        self._consume = consume
        pieces, self.pieces = self.pieces, []
        for piece in pieces:
            consume(piece)
        if self.ended:
            self._consume = None
        # Unless the consumer has had enough of it already.
        if self.connection is not None and not self._paused:
            self.connection.resume()

    def over(self) -> Awaitable[None]:
        """Return what waits for the end of the reply."""
        if self.ended:
            return READY
        over = self._over = self._loop.create_future()
        return over

    def pause(self) -> None:
        """Stop reading from the provider."""
        self._paused = True
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Go on reading from the provider."""
        self._paused = False
        if self.connection is not None:
            self.connection.resume()

    def abandon(self) -> None:
        """Give the reply up: nobody wants the rest of it."""
        connection, self.connection = self.connection, None
        self.ended = True
        self._consume = self.waiting = None
        self._leave()
        if connection is not None:
            connection.abort()


class _ComesWhole(dict[bytes, bool]):
    """Whether replies of a type, or of none, are judged and accounted whole: those that are no stream."""

    def __missing__(self, kind: bytes) -> bool:
        whole = not kind.startswith(STREAMED) and (b"/" not in kind or kind.startswith(WHOLE) or b"+json" in kind)
        if len(self) < 1024 and len(kind) <= 128:
            self[kind] = whole
        return whole


COMES_WHOLE: Final = _ComesWhole()
