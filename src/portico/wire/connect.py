"""Making a connection: names to addresses, the first address that answers, proxies and TLS; failures in plain words."""

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import cast

from portico.errors import ConnectFailed
from portico.wire.connection import Connection
from portico.wire.origin import Origin
from portico.wire.proxy import Proxy

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int] | str]
"""An address family, and an address in it: of a unix socket, its path."""

NEXT_ADDRESS = 0.25
"""Seconds after which the next address is tried beside the last (RFC 8305, 5)."""
ADDRESSES = 16
"""Addresses of one name that are tried."""
REMEMBERED = 5.0
"""Seconds for which a name's addresses are remembered."""
NAMES = 256
"""Names that are remembered."""
GOODBYE = 1.0
"""Seconds that a peer has to answer the end of TLS."""
PROXY_HEAD = 16 * 1024

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))
"""Model calls are silent for minutes; without this, middle boxes forget them."""


class Resolver:
    """Addresses by name, by the system's resolver; simultaneous questions are asked once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the addresses of `host`, the families in turn. Raises ConnectFailed for an unknown host."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        until, known = self._known.get(key, (0.0, []))
        if known and self._clock() < until:
            return known
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = self._loop.create_task(self._ask(host, port))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        try:
            found = await asyncio.shield(task)
        except OSError as error:  # socket.gaierror is one
            raise ConnectFailed(f"unknown host {host!r}: {error.strerror or error}") from None
        except UnicodeError:
            raise ConnectFailed(f"unknown host {host!r}: not a host name") from None
        if len(self._known) >= NAMES:
            self._known.clear()
        self._known[key] = (self._clock() + REMEMBERED, found)
        return found

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, host: str, port: int) -> list[Address]:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        families: dict[int, list[Address]] = {}
        for family, _, _, _, address in found:
            families.setdefault(family, []).append((family, cast("tuple[str, int]", address)))
        in_turn: list[Address] = []
        lists = list(families.values())
        for row in range(max(map(len, lists), default=0)):
            in_turn += [addresses[row] for addresses in lists if row < len(addresses)]
        return in_turn[:ADDRESSES]


async def open_connection(
    connection: Connection,
    origin: Origin,
    proxy: Proxy | None,
    trust: ssl.SSLContext | None,
    resolver: Resolver,
) -> None:
    """Connect `connection` to `origin`, maybe through `proxy`; `trust` is needed wherever TLS is spoken.

    Raises ConnectFailed. Takes as long as it takes: the caller sets the time limit by cancelling.
    """
    loop = asyncio.get_running_loop()
    place = proxy if proxy is not None else origin
    where = f"proxy {proxy}" if proxy is not None else str(origin)
    tls = trust if origin.scheme == "https" else None
    if origin.unix is not None:
        addresses: list[Address] = [(socket.AF_UNIX, origin.unix)]
    else:
        addresses = await resolver.addresses(place.host, place.port)
    sock = await _first(loop, addresses, where)
    if proxy is None:
        await _wrap(loop, sock, connection, tls, origin.host, where)
    elif tls is None:
        await _wrap(loop, sock, connection, trust if proxy.scheme == "https" else None, proxy.host, where)
    else:
        tunnel = Tunnel(origin, proxy, loop)
        await _wrap(loop, sock, tunnel, trust if proxy.scheme == "https" else None, proxy.host, where)
        try:
            await tunnel.established
            name = _server_name(origin.host)
            inner = await loop.start_tls(
                tunnel.transport, connection, tls, server_hostname=name, ssl_shutdown_timeout=GOODBYE
            )
        except (OSError, ValueError) as error:
            tunnel.transport.abort()
            raise ConnectFailed(f"cannot connect to {origin} through {where}: {reason(error)}") from None
        except BaseException:
            tunnel.transport.abort()
            raise
        assert inner is not None
        connection.connection_made(inner)


class Tunnel(asyncio.Protocol):
    """The opening of a way through a proxy: CONNECT, and its reply (RFC 9110, 9.3.6)."""

    def __init__(self, origin: Origin, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._origin = origin
        self._proxy = proxy
        self._received = b""
        self.transport = cast(asyncio.Transport, None)
        self.established: asyncio.Future[None] = loop.create_future()
        self.established.add_done_callback(_looked_at)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the way."""
        self.transport = cast(asyncio.Transport, transport)
        host = f"[{self._origin.host}]" if ":" in self._origin.host else self._origin.host
        place = f"{host}:{self._origin.port}"
        head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
        if self._proxy.authorization is not None:
            head += f"Proxy-Authorization: {self._proxy.authorization}\r\n"
        self.transport.write(head.encode("latin-1") + b"\r\n")

    def data_received(self, data: bytes) -> None:
        """Read the reply."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end and len(head) <= PROXY_HEAD:
            return
        line = head.split(b"\r\n")[0].decode("latin-1")[:100]
        version, _, status = line.partition(" ")
        if end and not rest and version.startswith("HTTP/1.") and status[:1] == "2":
            self._settle(None)
        elif end and version.startswith("HTTP/1."):
            self._settle(f"answered {status!r} to CONNECT" if not rest else "sent more than its reply to CONNECT")
        else:
            self._settle("sent what is not HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail, if the way was not open yet."""
        self._settle("closed the connection")

    def _settle(self, failure: str | None) -> None:
        if self.established.done():
            return
        if failure is None:
            self.established.set_result(None)
        else:
            self.established.set_exception(
                ConnectFailed(f"cannot connect to {self._origin}: proxy {self._proxy} {failure}")
            )


def _looked_at(established: "asyncio.Future[None]") -> None:
    """Look at the outcome, as nobody else does when the connecting was given up."""
    if not established.cancelled():
        established.exception()


async def _wrap(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    protocol: asyncio.BaseProtocol,
    tls: ssl.SSLContext | None,
    host: str,
    where: str,
) -> None:
    """Make a transport of a connected socket, with TLS where there is a context."""
    try:
        if tls is None:
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            name = _server_name(host)
            await loop.create_connection(
                lambda: protocol, sock=sock, ssl=tls, server_hostname=name, ssl_shutdown_timeout=GOODBYE
            )
    except (OSError, ValueError) as error:  # a name that cannot be in a certificate is a ValueError
        sock.close()
        raise ConnectFailed(f"cannot connect to {where}: {reason(error)}") from None
    except BaseException:
        sock.close()
        raise


async def _first(loop: asyncio.AbstractEventLoop, addresses: list[Address], where: str) -> socket.socket:
    """Return the first socket that connects; each address has a head start before the next one joins in."""
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failures: list[str] = []
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_reach(loop, waiting.pop(0))))
            done, running = await asyncio.wait(
                running, timeout=NEXT_ADDRESS if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            won = [task for task in done if task.exception() is None]
            failures += [reason(error) for error in (task.exception() for task in done) if error is not None]
            if won:
                running.update(won[1:])
                return won[0].result()
    finally:
        for task in running:
            task.cancel()
        for late in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()
    raise ConnectFailed(f"cannot connect to {where}: {', '.join(dict.fromkeys(failures)) or 'it has no address'}")


async def _reach(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    family, place = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if not isinstance(place, str):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                if hasattr(socket, option):  # not every system has them
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        await loop.sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


def reason(error: BaseException) -> str:
    """Return in plain words why a connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError):
        return "closed before the connection was ready"
    if isinstance(error, FileNotFoundError):
        return "there is no such socket"
    if isinstance(error, OSError):
        if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return "unreachable"
        if error.errno == errno.ETIMEDOUT:
            return "no answer"
        return error.strerror or str(error)
    return str(error)


def _literal(host: str, port: int) -> Address | None:
    """Return the address that `host` is, None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    if "%" in host:
        return None  # the scope of a link-local address is the resolver's to look up
    return (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))


def _server_name(host: str) -> str:
    return host.partition("%")[0].rstrip(".")
