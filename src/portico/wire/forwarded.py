"""Requests for http origins that go through a proxy: the whole URL stands in the request line (RFC 9112, 3.2.2)."""

from collections.abc import Sequence

from portico.wire.connection import Connection
from portico.wire.deadlines import Deadlines
from portico.wire.origin import Origin
from portico.wire.proxy import Proxy
from portico.wire.reply import Sink


class ForwardedConnection(Connection):
    """A connection to a proxy that reads requests, rather than tunnels them."""

    __slots__ = ("_credentials", "_prefix")

    def forward(self, origin: Origin, proxy: Proxy) -> "ForwardedConnection":
        """Set where requests go on to, and what the proxy is told."""
        self._prefix = f"http://{origin.authority}".encode()
        self._credentials = b""
        if proxy.authorization is not None:
            self._credentials = f"proxy-authorization: {proxy.authorization}\r\n".encode("latin-1")
        return self

    def send(
        self,
        head: bytes,
        body: Sequence[bytes],
        sink: Sink,
        deadlines: Deadlines,
        *,
        method_is_head: bool = False,
    ) -> None:
        """Write a whole request, as `Connection.send` does."""
        method, space, rest = head.partition(b" ")
        line, end, fields = rest.partition(b"\r\n")
        head = b"".join((method, space, self._prefix, line, end, self._credentials, fields))
        super().send(head, body, sink, deadlines, method_is_head=method_is_head)
