"""The control process, as the supervisor starts it: uvicorn on a unix socket that it was handed."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from portico.control.ingest import Ingest, brief
from portico.control.lean import Config, Server
from portico.control.open import OPEN, say
from portico.link import Kind, Message
from portico.linked import Linked

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

    from portico.control.admin import Admin
    from portico.jobs import Job

STORE = "PORTICO_STORE_URL"
"""The variable that says where the store is, when not in the data directory."""

WANTED = "rebuild"
"""The file in the state's directory by which workers ask for what budgets had counted (`books.WANTED`)."""
LOOK = 0.25
"""Seconds between two looks for it."""
NO_WEBHOOK = b"\xa7webhook\xc0"
"""How a configuration is handed over that has no webhook: looked for as bytes, since reading it takes memory."""
ALERT, ALERT_AT_MOST = 2.0, 60.0
"""Seconds between two looks for events to send on; the second while nobody takes them."""
KEEP = 1.0
"""Seconds between two looks for jobs."""
LATER = 1.0
"""Seconds until what could not be done is tried again."""

CLOSE_WITHIN = 2
"""Seconds that requests in flight have to end when control is told to leave."""

log = logging.getLogger("portico.control")


class ControlServer(Server):
    """uvicorn, which tells the supervisor when it serves."""

    def __init__(self, config: Config, link: Linked) -> None:
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
        self.configured_anew = asyncio.Event()
        """Set whenever it goes by another configuration: workers that began with it may wait for what budgets had."""
        self.jobs: Callable[[], Sequence[Job]] = tuple
        """What tells the jobs that go on at providers."""
        self._behind = False
        self._trouble: str | None = None
        self._unsent: str | None = None

    async def __call__(self, scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in OPEN:
            await say(OPEN[scope["path"]](), send)
            return
        async with self._making:
            if self._admin is None and self._for_admin(scope):
                await asyncio.to_thread(self._open)
            app = self._app
            if app is None:
                from portico.control.app import make_app

                app = self._app = cast("ASGI3Application", make_app(self._admin))
        await app(scope, receive, send)

    @property
    def sound(self) -> bool:
        """Whether the last thing that was tried could be done."""
        return self._trouble is None

    async def rebuild(self, ingest: Ingest, go_on: Callable[[], bool]) -> None:
        """Put back into state what budgets had counted, if a worker asks for it."""
        if self._data_dir is None or self._config is None or not self._wanted().exists():
            return
        try:
            async with self._making:
                if self._admin is None:
                    await asyncio.to_thread(self._open)
            await asyncio.to_thread(self._rebuild, ingest, go_on)
        except Exception as error:  # whatever it is, it is tried again
            self._complain("what budgets had counted cannot be put back yet", error)
            return
        self._trouble = None

    async def alert(self) -> bool:
        """Send on what is new of events, where the configuration says to; return whether nothing is in the way."""
        if self._config is None or self._data_dir is None or NO_WEBHOOK in self._config:
            return True
        from portico.config.handover import decode

        url = decode(self._config).alerts.webhook
        if url is None:
            return True
        from portico.control.alerts import send_new

        try:
            async with self._making:
                if self._admin is None:
                    await asyncio.to_thread(self._open)
            assert self._admin is not None
            await asyncio.to_thread(send_new, self._admin.engine, url)
        except Exception as error:  # whatever it is, it is tried again
            trouble = brief(error)
            if trouble != self._unsent:
                log.error("events cannot be sent on yet: %s", trouble)
            self._unsent = trouble
            return False
        self._unsent = None
        return True

    async def opened(self) -> "Admin":
        """Return the admin of this installation, opened if need be. Raises what hinders that."""
        async with self._making:
            if self._admin is None:
                await asyncio.to_thread(self._open)
        assert self._admin is not None
        return self._admin

    def opened_from(self, loop: asyncio.AbstractEventLoop) -> "Admin":
        """Return the same to another thread than that of the loop. Blocks."""
        return asyncio.run_coroutine_threadsafe(self.opened(), loop).result()

    @property
    def configured(self) -> bool:
        """Whether there is a configuration to go by."""
        return self._config is not None

    def _wanted(self) -> Path:
        assert self._data_dir is not None
        return self._data_dir / "state" / WANTED

    def _rebuild(self, ingest: Ingest, go_on: Callable[[], bool]) -> None:
        """Block: for a thread."""
        from portico.control.rebuild import Interrupted, rebuild
        from portico.control.state import OnState

        assert self._admin is not None
        assert self._data_dir is not None
        assert isinstance(self._admin.snapshot, OnState)
        owners = self._data_dir / "state" / "owners"
        log.warning("the state of this machine is new: what budgets had counted is put back from the store")
        try:
            charged = rebuild(self._admin, self._admin.snapshot, owners, ingest, go_on, self.jobs)
        except Interrupted:
            return
        self._wanted().unlink(missing_ok=True)
        log.warning("the state is whole again: %d calls were counted", charged)

    async def configure(self, config: bytes) -> None:
        """Go by a configuration, as the supervisor hands it over; fill state where it lacks something."""
        async with self._making:
            self._config = config
            self._behind = True
        await self.fill()
        self.configured_anew.set()

    async def fill(self) -> None:
        """Bring state up to the configuration and the store, where that is still to be done; later if not now."""
        async with self._making:
            if not self._behind:
                return
            try:
                await asyncio.to_thread(self._follow)
            except Exception as error:  # whatever it is: the store may be down, and control has other work
                self._complain("state cannot be filled from the store yet", error)
                return
            self._behind = False
            self._trouble = None

    def _complain(self, what: str, error: Exception) -> None:
        """Say what cannot be done yet, once for as long as it is the same."""
        trouble = f"{what}: {brief(error)}"
        if trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble

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
        self._admin.jobs = lambda: self.jobs()
        self._app = None  # one without the admin API may have been made before


async def _serve(given: dict[str, str]) -> int:
    link = Linked(int(given["--link"]))
    app = OnDemand(Path(given["--data-dir"]) if "--data-dir" in given else None)
    config = Config(
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
    admin = functools.partial(app.opened_from, asyncio.get_running_loop())
    ingest = Ingest(Path(given["--data-dir"]), os.environ.get("PORTICO_STORE_URL"), admin=admin)
    leave = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[socket.socket(fileno=int(given["--socket"]))]))
        leaving = tasks.create_task(_listen(link, server, app))
        looking = tasks.create_task(_look_after(app, ingest, leave))
        alerting = tasks.create_task(_alert(app))
        keeping = tasks.create_task(_keep(app, Path(given["--data-dir"])))
        try:
            await serving
        finally:
            leave.set()
        looking.cancel()
        alerting.cancel()
        keeping.cancel()
        leaving.cancel()
    await asyncio.to_thread(ingest.stop, CLOSE_WITHIN)
    link.close()
    return 0


async def _alert(app: OnDemand) -> None:
    """Send events on, from time to time; less and less often while nobody takes them."""
    pause = ALERT
    while True:
        await asyncio.sleep(pause)
        pause = ALERT if await app.alert() else min(pause * 2, ALERT_AT_MOST)


async def _keep(app: OnDemand, data_dir: Path) -> None:
    """Follow jobs to their end, and let go of objects that are at no provider any more."""
    from portico.control.keeping import Keeping

    keeping = Keeping(data_dir, app.opened)
    app.jobs = keeping.jobs
    try:
        while True:
            await asyncio.sleep(KEEP)
            if app.configured:
                await keeping.turn()
    finally:
        await keeping.close()


async def _look_after(app: OnDemand, ingest: Ingest, leave: threading.Event) -> None:
    """Rebuild state whenever a worker asks for it; begin to read the journal once state was first seen to.

    Whoever reads the journal steps aside for everybody. Before, calls would wait for it: it would load the store at
    its leisure that they need at once.
    """

    def go_on() -> bool:
        ingest.help()
        return not leave.wait(0.02)

    await app.configured_anew.wait()
    reading = False
    while True:
        app.configured_anew.clear()
        await app.fill()
        await app.rebuild(ingest, go_on)
        if not reading:
            reading = True
            ingest.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK if app.sound else LATER):
                await app.configured_anew.wait()


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
