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
from portico.errors import PorticoError
from portico.link import Kind, Message
from portico.linked import Linked

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

    from portico.control.admin import Admin

OPEN = ("/api/v1/health", "/api/v1/version")
"""Paths that are answered without the store."""
STORE = "PORTICO_STORE_URL"
"""The variable that says where the store is, when not in the data directory."""

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
    """The application, made when it is first asked for: until then control is a third smaller.

    The store and all that belongs to it is opened for the first request of the admin API, or when state lacks what the
    store holds: workers know no key of the store before.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        self._app: ASGI3Application | None = None
        self._admin: Admin | None = None
        self._config: bytes | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        """Answer one request."""
        async with self._making:
            if self._app is None or (self._admin is None and self._for_admin(scope)):
                from portico.control.app import make_app

                if self._for_admin(scope):
                    await asyncio.to_thread(self._open)
                self._app = cast("ASGI3Application", make_app(self._admin))
        await self._app(scope, receive, send)

    async def configure(self, config: bytes) -> None:
        """Go by a configuration, as the supervisor hands it over; fill state where it lacks something."""
        async with self._making:
            self._config = config
            try:
                await asyncio.to_thread(self._follow)
            except PorticoError as error:
                logging.getLogger("portico.control").error("state could not be filled from the store: %s", error)

    def _for_admin(self, scope: "Scope") -> bool:
        path = scope["path"] if scope["type"] == "http" else ""
        return self._data_dir is not None and self._config is not None and path not in OPEN

    def _follow(self) -> None:
        """Block: for a thread."""
        from portico.config.handover import decode

        assert self._config is not None
        if self._admin is not None:
            self._admin.reconfigure(decode(self._config))
        elif self._data_dir is not None and (STORE in os.environ or (self._data_dir / "portico.db").exists()):
            from portico.control.state import OnState

            state = OnState(self._data_dir, decode(self._config))
            certain = state.certain
            state.close()
            if not certain:
                self._open()

    def _open(self) -> None:
        """Block: for a thread. Raises PorticoError."""
        from portico.config.handover import decode
        from portico.control.starting import open_admin

        assert self._data_dir is not None
        assert self._config is not None
        self._admin = open_admin(self._data_dir, decode(self._config))


async def _serve(given: dict[str, str]) -> int:
    link = Linked(int(given["--link"]))
    app = OnDemand(Path(given["--data-dir"]) if "--data-dir" in given else None)
    config = uvicorn.Config(
        app,
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
        leaving = tasks.create_task(_listen(link, server, app))
        await serving
        leaving.cancel()
    await asyncio.to_thread(ingest.stop, CLOSE_WITHIN)
    link.close()
    return 0


async def _listen(link: Linked, server: ControlServer, app: OnDemand) -> None:
    """Follow the configuration; stop when told to, or when the supervisor is gone."""
    while (message := await link.heard.get()) is not None and message.kind != Kind.DRAIN:
        if message.kind == Kind.CONFIG:
            await app.configure(message.body)
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
