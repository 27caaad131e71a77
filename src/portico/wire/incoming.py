"""One caller's connection: its requests are answered in turn, one reply at a time, within its time limits."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from portico.errors import Overloaded, PorticoError, RequestTimeout, untraced
from portico.wire.exchange import Exchange, status_line
from portico.wire.gone import GONE
from portico.wire.requests import Requests

if TYPE_CHECKING:
    from portico.wire.server import Server

SWEEP = 0.5
"""Seconds between two looks at all time limits."""
LINGER = 2.0
"""Seconds that a refused caller has to read its answer."""

log = logging.getLogger("portico.wire")


class ServerConnection(Requests):
    """One caller's connection: its requests in order, one reply at a time."""

    __slots__ = ("_drained", "_unsent", "_write_since")

    server: "Server"

    def __init__(self, server: "Server") -> None:
        super().__init__(server)
        self._write_since = 0.0
        self._unsent = 0
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<ServerConnection {self.peer or 'unix'} {self.current!r}>"

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.current is None and not self._in_headers and not self._linger_until

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or refuse it when there are too many."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's own class
        self.secure = transport.get_extra_info("sslcontext") is not None
        self.since = self.server.now
        server = self.server
        over = len(server.connections) - server.room
        if over > server.room // 8 + 16:
            # So many that not even refusals can be waited for.
            self.abort()
            return
        server.connections.add(self)
        if over >= 0:
            self._refuse(Overloaded("this gateway worker has as many connections as it may", retry_after=1))

    def eof_received(self) -> bool:
        """Treat the end of the caller's side as a hang-up, as other servers do."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what was under way for a caller that is gone."""
        self.lost = True
        self.write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        current = self.current
        if current is not None and current.waiting is not None:
            # No task answers it: whoever does gives it up.
            waiting, current.waiting = current.waiting, None
            try:
                waiting.gone()
            except Exception as error:
                log.error("a call could not be ended whose caller is gone", exc_info=error)
            current.leave()
        if self.task is not None:
            if self.current is not None and self.current.begun is not None:
                # It was handed over a moment ago: its handler is to take it first, and to be cancelled then.
                self.server.loop.call_soon(self.task.cancel)
            else:
                self.task.cancel()
            if self.current is not None:
                self.server.leaving.add(self.task)
                self.task.add_done_callback(self.server.leaving.discard)
        for exchange in self.queue:
            exchange.close_body()
        self.queue = ()
        # The parser holds this connection's methods, and a request its connection: cycles that only the collector ends.
        self._parser = None
        self._reading = None
        if self.secure:
            self._peer = self.peer
            self.transport = GONE
        self.server.forget(self)

    def pause_writing(self) -> None:
        """Hold the reply back: the caller reads too slowly."""
        self.write_paused = True
        self._write_since = self.server.loop.time()
        self._unsent = 0
        if self.current is not None and self.current.on_pause is not None:
            self.current.on_pause()

    def resume_writing(self) -> None:
        """Let the reply go on."""
        self.write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.current is not None and self.current.on_resume is not None:
            self.current.on_resume()

    async def drained(self) -> None:
        """Wait until the transport takes more."""
        if self._drained is None or self._drained.done():
            self._drained = self.server.loop.create_future()
        await asyncio.shield(self._drained)

    # the exchange's side

    def abort(self) -> None:
        """Cut the connection: nothing more is begun on it."""
        if not self.lost:
            self.lost = True
            self.transport.abort()

    def close(self) -> None:
        """Close the connection once all that was written is sent."""
        if not self.lost:
            self._linger_until = self._write_since = self.server.loop.time()
            self._linger_until += LINGER
            self.transport.close()

    def check(self, now: float, before: float) -> None:
        """Hold the caller to its time limits, by what it did until the last look (`before`).

        Since then this worker may have been too busy to see what it sent.
        """
        if self.lost:
            return
        limits = self.server.timeouts
        if self._linger_until or self.write_paused:
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._write_since = now
            self._unsent = unsent
            if now - self._write_since > limits.write or (not unsent and 0 < self._linger_until <= now):
                self.abort()
            return
        waited = before - self.since
        if self._reading is not None:
            if not self.read_paused and self._reading.asked_for and waited > limits.body:
                self._refuse(RequestTimeout(f"no byte of the request body came for {limits.body:g} seconds"))
        elif self._in_headers:
            if self.current is None and waited > limits.header:
                self._refuse(RequestTimeout(f"the request headers did not end within {limits.header:g} seconds"))
        elif self.current is None and waited > limits.idle:
            self.close()

    # inside

    def wake(self) -> None:
        """Let the connection's task answer the exchange whose turn it is."""
        idle = self.parked
        if idle is not None:
            self.parked = None
            idle.set_result(None)
        elif self.task is None:
            self.task = self.server.loop.create_task(self._serve())
            self.task.add_done_callback(self._served)

    def _served(self, _: "asyncio.Task[None]") -> None:
        """Let go of a request that the task was cancelled before: its caller was gone as soon as it came."""
        self.task = None
        if self.current is not None:
            self.current.close_body()

    async def _serve(self) -> None:
        # One task for all requests of a connection: making one costs more than waking one.
        try:
            server = self.server
            while not self.lost or (self.current is not None and self.current.begun is not None):
                exchange = self.current
                if exchange is None:
                    self.parked = server.loop.create_future()
                    await self.parked
                    continue
                try:
                    if exchange.begun is None and (exchange.queued or self.write_paused):
                        # Other callers have their turn first, and who does not read its replies gets no more of them.
                        await asyncio.sleep(0)
                        await exchange.drained()
                    await server.handle(exchange)
                    if not exchange.deferred and not exchange.finished and not self.lost:
                        raise RuntimeError(f"the handler returned and left {exchange!r} unfinished")
                except asyncio.CancelledError:
                    exchange.deferred = False
                    if not self.lost:
                        exchange.abort()
                    raise
                except Exception as error:
                    exchange.deferred = False
                    self._failed(exchange, error)
                finally:
                    if exchange.deferred and not exchange.finished and not self.lost:
                        # Its reply is about to come from elsewhere; `Exchange.leave` will say so.
                        self.parked = server.loop.create_future()
                    else:
                        exchange.deferred = False
                        exchange.leave()
                if self.parked is not None:
                    await self.parked
        finally:
            # A task keeps what it was cancelled with, and that all frames of the call, which know this connection.
            self.task = None

    def _failed(self, exchange: Exchange, error: Exception) -> None:
        """Answer for a handler that raised: the last net. A defect of ours must cost one call, and be seen."""
        log.error("a handler failed on %s %s", exchange.method, exchange.path, exc_info=error)
        if self.lost:
            return
        if exchange.started:
            exchange.abort()
            return
        if not isinstance(error, PorticoError):
            error = PorticoError("the gateway failed to handle this request")
        exchange.reply(*self.server.refuse(error))

    def next(self, done: Exchange) -> None:
        """Turn to what waits behind an exchange that is done, or end the connection with it."""
        if not done.keep_alive or not done.complete:
            more = self.refusal is not None or self._in_headers or self.read_paused
            self._linger(unread=not done.complete or more or bool(self.queue))
            return
        if self.queue:
            self.current = self.queue.popleft()
        elif self.refusal is not None:
            self._answer_refusal()
            return
        if not self.queue and self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _refuse(self, error: PorticoError) -> None:
        """End the connection over a request that cannot be read on, after the replies that are still owed."""
        self.refusal = untraced(error)
        reading, self._reading = self._reading, None
        self._in_headers = False
        if reading is not None and not reading.complete:
            reading.keep_alive = False
            asked_for = reading.asked_for
            reading.body.fail(error)
            if not asked_for:
                return
        if self.current is None:
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        assert self.refusal is not None
        status, headers, body = self.server.refuse(self.refusal)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.write(
            b"%b%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status_line(status), lines, self.server.date, len(body), body)
        )
        self._linger(unread=True)

    def _linger(self, *, unread: bool) -> None:
        """Close in stages (RFC 9112, 9.6): bytes that come after a close would reset the connection, answer and all.

        TLS has no half-closed state. There only what is known to be unread is worth the wait.
        """
        halves = self.transport.can_write_eof()
        if not halves and not unread:
            self.close()
            return
        self._linger_until = self._write_since = self.server.loop.time()
        self._linger_until += LINGER
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if halves:
            with contextlib.suppress(OSError):
                self.transport.write_eof()


class PlainServerConnection(ServerConnection, asyncio.Protocol):
    """A connection without TLS. Loops give a Protocol its reads as bytes, which costs less than lending a buffer."""

    __slots__ = ()
