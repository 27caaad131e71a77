"""The control process, as the supervisor starts it: uvicorn on a unix socket that it was handed."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn

from portico.control.ingest import Ingest
from portico.link import Kind, Message
from portico.linked import Linked

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

CLOSE_WITHIN = 2
"""Seconds that requests in flight have to end when control is told to leave."""


class ControlServer(uvicorn.Server):
    """uvicorn, which tells the supervisor when it serves."""

    def __init__(self, config: uvicorn.Config, link: Linked) -> None:
        super().__init__(config)
        self.link = link

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets=sockets)
        self.link.send(Message(Kind.READY))


class OnDemand:
    """The application, made when it is first asked for: until then control is a third smaller."""

    def __init__(self) -> None:
        self._app: ASGI3Application | None = None

    async def __call__(self, scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        """Answer one request."""
        if self._app is None:
            from portico.control.app import make_app

            self._app = cast("ASGI3Application", make_app())
        await self._app(scope, receive, send)


async def _serve(given: dict[str, str]) -> int:
    link = Linked(int(given["--link"]))
    config = uvicorn.Config(
        OnDemand(),
        lifespan="off",
        interface="asgi3",
        http="h11",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_WITHIN,
    )
    server = ControlServer(config, link)
    # the URL may hold a password: it is on no command line
    ingest = Ingest(Path(given["--data-dir"]), os.environ.get("PORTICO_STORE_URL"))
    ingest.start()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[socket.socket(fileno=int(given["--socket"]))]))
        leaving = tasks.create_task(_leave(link, server))
        await serving
        leaving.cancel()
    await asyncio.to_thread(ingest.stop, CLOSE_WITHIN)
    link.close()
    return 0


async def _leave(link: Linked, server: ControlServer) -> None:
    """Stop when told to, or when the supervisor is gone."""
    while (message := await link.heard.get()) is not None and message.kind != Kind.DRAIN:
        pass
    server.should_exit = True


def main(arguments: Sequence[str]) -> int:
    """Run control by the options that the supervisor gives it: pairs of a name and a value."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(
        format=f"portico: control {os.getpid()}: %(levelname)s %(name)s: %(message)s", level=logging.WARNING
    )
    return asyncio.run(_serve(dict(zip(arguments[::2], arguments[1::2], strict=True))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
