"""One connection to an origin: a request written at once, its reply pushed to a sink as it arrives.

All of it happens in the socket's callbacks: no task, no future and no timer per request.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol, cast

from portico.errors import ConnectionLost, PorticoError, UpstreamTimeout
from portico.wire.deadlines import Deadlines
from portico.wire.gone import GONE
from portico.wire.replied import LastHead
from portico.wire.reply import Replies, Sink
from portico.wire.wheel import Watched, Wheel

JOINED: Final = 16 * 1024
"""Up to here, copying head and body into one write is cheaper than writing two buffers."""


class Home(Protocol):
    """The pool that a connection belongs to; `last` is what its replies began with."""

    last: LastHead

    def release(self, connection: "Connection") -> None:
        """Take back a connection that can be used again."""

    def discard(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""


class Connection(Replies):
    """A connection that `Pool` made; it carries one request at a time and returns itself to its pool."""

    __slots__ = ("_deadlines", "_ends_at", "_home", "_look_at", "_sent_at", "_soonest", "_wheel", "_writable", "slot")

    def __init__(
        self,
        home: Home,
        where: str,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wheel: Wheel,
        buffer: memoryview,
    ) -> None:
        super().__init__(where, loop, clock, buffer, home.last)
        self._home = home
        self._wheel = wheel
        self._deadlines: Deadlines | None = None
        self._soonest = 0.0  # the shortest of them
        self._look_at = inf  # when the wheel will call `check`
        self._sent_at = self._ends_at = 0.0
        self._writable: asyncio.Future[None] | None = None
        self.slot: set[Watched] = set()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "idle" if self._sink is None else "in use"
        return f"<Connection to {self._where}, {state}>"

    @property
    def closed(self) -> bool:
        """Whether it is closed, or about to be."""
        return self.transport.is_closing()

    @property
    def idle_since(self) -> float:
        """When it was last heard of, by the client's clock."""
        return self._heard_at

    # The request

    def send(
        self,
        head: bytes,
        body: Sequence[bytes],
        sink: Sink,
        deadlines: Deadlines,
        *,
        method_is_head: bool = False,
    ) -> None:
        """Write a whole request at once; the reply goes to `sink`.

        `head` ends with the blank line and tells the length of the body. Raises nothing: failures end the sink, with
        ConnectionLost, BadUpstreamReply or UpstreamTimeout.
        """
        assert self._sink is None, "one request at a time"
        transport = self.transport
        if transport.is_closing():
            lost = ConnectionLost(f"{self._where} closed the connection before the request was written", sent=False)
            self._loop.call_soon(sink.end, lost)
            return
        self._sink = sink
        self._headed = self._complete = False
        self._interims = self._whole = 0
        self._head_only = method_is_head
        self._awaited = not method_is_head
        self._waste = 0
        if deadlines is not self._deadlines:
            self._deadlines = deadlines
            self._soonest = min(deadlines.first_byte, deadlines.between_chunks, deadlines.total)
        clock = self._clock  # called as what it is, no method
        self._sent_at = self._heard_at = now = clock()
        self._ends_at = now + deadlines.total
        if now + self._soonest < self._look_at:
            # Most often it still stands on the wheel for an earlier request, to be looked at no later than this.
            self._look_at = now + self._soonest
            self.slot.discard(self)
            self._wheel.watch(self, self._look_at)
        if not body:
            transport.write(head)
        elif len(body) == 1 and len(body[0]) < JOINED:
            transport.write(head + body[0])
        else:
            transport.writelines((head, *body))

    # A body that comes in pieces (`upload.send_streaming`)

    def begin_upload(self, sink: Sink, stop: asyncio.Timeout) -> bool:
        """Let a body follow the head that was sent, until `stop` ends it; return whether anybody takes it."""
        if self._sink is not sink:
            return False
        self._awaited = False  # it may reply before it has read all
        self._upload = stop
        return True

    def end_upload(self) -> None:
        """Note that nothing more is written of a body, be it whole or not."""
        self._upload = None

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """Write some of a body; return what is to be waited for before the next, None for nothing."""
        if not self.transport.is_closing():
            self.transport.write(data)
        self._heard_at = self._clock()
        return self._writable

    def went_on(self) -> None:
        """Note that the origin took what was written."""
        self._heard_at = self._clock()

    def uploaded(self) -> None:
        """Note that a body is written, or no longer wanted: from here on, it is the reply that is waited for."""
        self._sent_at = self._heard_at = self._clock()

    # The end of it

    def abort(self) -> None:
        """Close at once: nobody is interested any more. The sink hears nothing after this."""
        self._sink = self._head = None
        self._stop_upload()
        self.transport.abort()

    def close(self) -> None:
        """Close an idle connection in order."""
        self.transport.close()

    def fail(self, error: PorticoError) -> None:
        """Close at once and end the sink with `error`."""
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.end(error)

    def check(self, now: float) -> float | None:
        """Fail the request if one of its deadlines has passed; return when to look again."""
        self._look_at = inf
        deadlines = self._deadlines
        if self._sink is None or deadlines is None:
            return None
        again = now + deadlines.between_chunks
        phase, allowed, since = "between_chunks", deadlines.between_chunks, self._heard_at
        if self._upload is not None:
            what = "took nothing more of the request"
            since = since if self._writable is not None else now
        elif not self._headed:
            phase, allowed, since = "first_byte", deadlines.first_byte, self._sent_at
            what = "sent no reply"
        else:
            what = "sent nothing more of its reply"
            since = now if self._paused or self._scheduled else since
        if now >= self._ends_at:
            phase, allowed, since = "total", deadlines.total, self._ends_at - deadlines.total
            what = "did not finish its reply"
        if now >= since + allowed:
            self.fail(UpstreamTimeout(f"{self._where} {what} in {allowed:g} s", phase=phase))
            return None
        self._look_at = min(since + allowed, again, self._ends_at)
        return self._look_at

    # The socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: the transport is connected, and TLS and tunnels are through."""
        self.transport = cast(asyncio.Transport, transport)
        if transport.get_extra_info("ssl_object") is not None:
            # While reading is paused, TLS layers keep what arrives, and lose it when the peer closes. With these limits
            # they stop reading the socket instead.
            set_limits = cast("Callable[[int, int], None]", transport.set_read_buffer_limits)  # type: ignore[attr-defined]  # both loops have it
            set_limits(1, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was in flight."""
        self._home.discard(self)
        if self._sink is not None and not self._complete:
            replied = self._headed or self._waste > 0 or self._interims > 0
            when = "in the middle of its reply" if replied else "before any byte of a reply"
            why = f" ({exc})" if exc is not None else ""
            self.fail(ConnectionLost(f"{self._where} closed the connection {when}{why}", replied=replied))
        self._stop_upload()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._sink is None:
            self.slot.discard(self)
        self.forget()

    def forget(self) -> None:
        """Let go of what holds this object, once nothing is read any more, or as it was never opened."""
        self._parser = None  # it holds methods of this object
        self.transport = GONE

    def pause_writing(self) -> None:
        """Hold an upload back."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let it go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What becomes of the request

    def _done(self, keep: bool) -> None:
        transport = self.transport
        if self._upload is not None or self._writable is not None:
            # The rest of the request is not wanted, and closing in order would wait until it is taken.
            self._stop_upload()
            transport.abort()
        elif keep and not transport.is_closing():
            self._home.release(self)
        else:
            self.slot.discard(self)
            transport.close()

    def _stop_upload(self) -> None:
        """Let `send_streaming` return; the connection cannot be used again."""
        stop, self._upload = self._upload, None
        if stop is not None:
            self._keep = False
            stop.reschedule(self._loop.time())


class PlainConnection(Connection, asyncio.Protocol):
    """A connection without TLS. Loops give a Protocol its reads as bytes, which costs less than lending a buffer."""

    __slots__ = ()
