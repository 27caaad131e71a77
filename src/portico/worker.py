"""One gateway process: a loop, the sockets it was handed, and a gateway that the supervisor gives its configuration.

Started by the supervisor as `python -m portico.worker`; what it is told and what it says is in `portico.link`.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from portico.errors import ConfigError, StateUnavailable
from portico.freed import Freed
from portico.garbage import Garbage
from portico.link import Kind, Message
from portico.linked import Linked

if TYPE_CHECKING:
    import ssl

    from portico.books import Books
    from portico.config.schema import Config
    from portico.gateway import Gateway
    from portico.wire.server import Server

REFUSED = 2
"""The exit code of a worker that cannot serve by its first configuration."""

SETTLE = 0.2
"""Seconds in which a connection that has begun is made: a round trip."""

log = logging.getLogger("portico.worker")


class Worker:
    """Serves from its own sockets, by the configuration it was last given.

    `sockets` has the listening descriptors of every slot: this one's (`slot`), and those of the others, for whom it may
    be asked to accept.
    """

    def __init__(
        self, slot: int, sockets: Sequence[Sequence[int]], unix: int | None, relay: str, data_dir: str, link: Linked
    ) -> None:
        self.slot = slot
        self.unix = unix
        self.relay = relay
        self.data_dir = data_dir
        self.link = link
        self.tls: ssl.SSLContext | None = None
        self.telling: asyncio.AbstractServer | None = None
        self.config: Config
        self.gateway: Gateway
        self.books: Books
        self.server: Server
        self.garbage: Garbage
        self.freed: Freed
        self._own = sockets[slot]
        self._spare = {other: fds for other, fds in enumerate(sockets) if other != slot and fds != sockets[slot]}

    def __repr__(self) -> str:
        return f"<Worker {self.slot}>"

    async def run(self) -> int:
        """Serve until told to leave; return the exit code."""
        first = await self.link.heard.get()
        if first is None or first.kind != Kind.CONFIG:
            return 0
        try:
            await self._start(first)
        except (ConfigError, StateUnavailable) as error:
            self.link.send(Message(Kind.REFUSED, first.number, error.message.encode()))
            return REFUSED
        self.link.send(Message(Kind.READY, first.number))
        leave = 0.0
        while (message := await self.link.heard.get()) is not None:
            if message.kind == Kind.CONFIG:
                await self._swap(message)
            elif message.kind == Kind.COVER:
                await self._cover(message.number)
            elif message.kind == Kind.DRAIN:
                leave = message.number / 1000
                break
        await self._leave(leave)
        return 0

    def drain_soon(self) -> None:
        """Take a SIGTERM that came to this process alone as the order to drain; a second one ends it at once."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 1)
        seconds = self.config.server.drain if hasattr(self, "config") else 0.0
        self.link.heard.put_nowait(Message(Kind.DRAIN, round(seconds * 1000)))

    async def _start(self, message: Message) -> None:
        from portico.books import open_books
        from portico.config.handover import decode
        from portico.gateway import Gateway
        from portico.measures import tell
        from portico.wire.certificate import tls_context
        from portico.wire.cors import lines
        from portico.wire.server import Server

        config = decode(message.body)
        self.tls = tls_context(config.server.tls) if config.server.tls else None
        self.books = open_books(self.data_dir, config)
        self.gateway = Gateway(
            config,
            relay=self.relay,
            version=message.number,
            state=self.books.state,
            journal=self.books.journal,
            secret=self.books.secret,
            rests=Path(self.data_dir) / "state" / "rests",
        )
        self.books.on_lost = self.drain_soon
        self.books.recover()
        self.books.tend()
        await self.gateway.start()
        try:
            self.telling = await tell(Path(self.data_dir), self.slot, self.gateway.healths)
        except OSError as error:
            log.warning("what this worker measures cannot be asked for: %s", error.strerror or error)
        own = lines(config.server.cors)
        self.server = Server(
            self.gateway.handle, config.server.limits, config.server.timeouts, own=own, begin=self.gateway.begin
        )
        self.config = config
        self.garbage = Garbage(self.server.under_way)
        self.garbage.begin()
        self.freed = Freed(self.server.under_way)
        self.freed.begin()
        await self._listen(self._own, self.tls)
        if self.unix is not None:
            await self._listen([self.unix], None)

    async def _listen(self, descriptors: Sequence[int], tls: "ssl.SSLContext | None") -> None:
        for descriptor in descriptors:
            await self.server.listen(socket.socket(fileno=descriptor), tls)

    async def _swap(self, message: Message) -> None:
        """Put a new configuration in force, or say why it cannot be; calls in flight do not notice."""
        from portico.config.handover import decode
        from portico.wire.certificate import load_certificate
        from portico.wire.cors import lines

        try:
            config = decode(message.body)
            if self.tls is not None and config.server.tls is not None:
                load_certificate(self.tls, config.server.tls)
            await self.gateway.swap(config, message.number)
        except ConfigError as error:
            self.link.send(Message(Kind.REFUSED, message.number, error.message.encode()))
            return
        self.config = config
        self.server.adopt(config.server.limits, config.server.timeouts, lines(config.server.cors))
        self.link.send(Message(Kind.READY, message.number))

    async def _cover(self, slot: int) -> None:
        """Accept for another slot too, from now on."""
        descriptors = self._spare.pop(slot, None)
        if descriptors is not None:
            await self._listen(descriptors, self.tls)

    async def _leave(self, seconds: float) -> None:
        self.gateway.ready = False
        self.garbage.end()
        self.freed.end()
        if self.telling is not None:
            self.telling.close()
        # No new connection begins by now; those under way arrive, and are accepted before the sockets close.
        await asyncio.sleep(min(SETTLE, seconds / 2))
        for descriptors in self._spare.values():
            for descriptor in descriptors:
                os.close(descriptor)  # or the kernel goes on taking connections that nobody accepts
        self.gateway.drain(seconds)
        await self.server.drain(seconds)
        await self.gateway.close()
        self.books.close()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the loop: uvloop's where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def raise_descriptors() -> None:
    """Allow as many open files as the system lets us: the usual soft limit is 1024, for programs that use select()."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1 << 20) if hard != resource.RLIM_INFINITY else 1 << 20
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def import_msgspec_alone() -> None:
    """Import msgspec without typing_extensions, from which it takes nothing that Python 3.11 lacks: 4 MB a process."""
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # how importlib spells "not importable"
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]


async def _serve(given: dict[str, str]) -> int:
    link = Linked(int(given["--link"]))
    sockets = [[int(fd) for fd in own.split(",")] for own in given["--sockets"].split("/")]
    unix = int(given["--unix"]) if "--unix" in given else None
    worker = Worker(int(given["--slot"]), sockets, unix, given["--relay"], given["--data-dir"], link)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain_soon)
    try:
        return await worker.run()
    finally:
        link.close()


def main(arguments: Sequence[str]) -> int:
    """Run a worker by the options that the supervisor gives it: pairs of a name and a value."""
    import_msgspec_alone()
    raise_descriptors()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(
        format=f"portico: worker {os.getpid()}: %(levelname)s %(name)s: %(message)s", level=logging.WARNING
    )
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(given))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
