"""What is not an LLM call goes to the control process over its unix socket, streaming both ways."""

import asyncio

from portico.errors import ConnectFailed, Overloaded, PorticoError
from portico.upstream.arrival import Arrival
from portico.wire.body import Budget
from portico.wire.client import Client, Deadlines, Origin, Settings
from portico.wire.exchange import Exchange

OF_ONE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)
SETTINGS = Settings(max_connections=256, idle=30.0, ca=None, client_cert=None, client_key=None, proxy="none")
DEADLINES = Deadlines(connect=2.0, first_byte=120.0, between_chunks=3600.0, total=86400.0)
UPLOAD = 64 * 1024 * 1024
UPLOADS = 2 * UPLOAD
"""Bytes of bodies for control that are held at once: their senders are not known yet, and must not fill the budget of
the calls."""


class Relay:
    """The way to control."""

    def __init__(self, client: Client, socket_path: str) -> None:
        self._budget = Budget(UPLOADS)
        self._pool = client.pool(Origin(scheme="http", host="control", port=80, unix=socket_path), SETTINGS)

    async def handle(self, exchange: Exchange) -> None:
        """Pass one request on and its reply back; raises Overloaded while control is away."""
        # A body that is not here yet is passed on once it is whole: control's requests are small.
        exchange.body.charge(self._budget)
        await exchange.body.arrived(UPLOAD)
        body = exchange.body.whole()
        lines = [f"{exchange.method} ".encode(), exchange.target, b" HTTP/1.1\r\n"]
        for name, value in exchange.headers:
            if name not in OF_ONE_CONNECTION and name != b"content-length" and not name.startswith(b"x-forwarded-"):
                lines += (name, b": ", value, b"\r\n")
        proto = b"https" if exchange.secure else b"http"
        lines.append(b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n" % (exchange.peer.encode(), proto))
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        arrival = Arrival(asyncio.get_running_loop(), True, 0)
        try:
            connection = self._pool.take() or await self._pool.acquire(
                asyncio.get_running_loop().time() + DEADLINES.connect
            )
            arrival.connection = connection
            head = exchange.method == "HEAD"
            connection.send(b"".join(lines), (body,) if body else (), arrival, DEADLINES, method_is_head=head)
            await arrival.here
        except ConnectFailed as error:
            raise away() from error
        except BaseException:
            arrival.abandon()
            raise
        if arrival.error is not None and not arrival.status:
            raise away() from arrival.error
        await self._pass_back(exchange, arrival)

    async def _pass_back(self, exchange: Exchange, arrival: Arrival) -> None:
        headers = [
            header
            for header in arrival.headers
            if header[0] not in OF_ONE_CONNECTION and header[0] not in (b"content-length", b"date", b"server")
        ]
        length = arrival.header(b"content-length")
        if exchange.method == "HEAD" and length:
            exchange.start(arrival.status, headers, int(length))
            exchange.finish()
            return
        if arrival.ended and arrival.error is None:
            exchange.reply(arrival.status, headers, arrival.body)
            return
        exchange.start(arrival.status, headers)
        exchange.on_pause, exchange.on_resume = arrival.pause, arrival.resume
        try:
            arrival.forward(exchange.write)
            await arrival.over()
        except BaseException:
            arrival.abandon()
            raise
        if arrival.error is not None:
            exchange.abort()
            return
        exchange.finish()


def away() -> PorticoError:
    """Return what a caller is told while control is not there: LLM calls are served all the same."""
    return Overloaded("the control process is not available at the moment; LLM calls are served", retry_after=1)
