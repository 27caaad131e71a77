"""The supervisor's loop: one thread, one selector, signals by a wake-up descriptor.

What it decides, in one place: when a process is started, replaced, told of a new configuration, or ended.
"""

# ruff: noqa: PTH108 -- see the package

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence

from portico.link import Kind, Message
from portico.supervisor import FAILED, STOPPED, WRONG
from portico.supervisor.announce import banner, notify, say
from portico.supervisor.listening import take_no_more
from portico.supervisor.plan import Plan, Resolving
from portico.supervisor.process import Process
from portico.supervisor.watched_files import WatchedFiles

TURN = 1.0
"""Seconds between two looks at everything, the configuration's files among it."""
STARTING = 60.0
"""Seconds that a process has until it is first heard of."""
SILENCE = 10.0
"""Seconds without a beat after which a process is taken for hung."""
GRACE = 5.0
"""Seconds that a process has to end once its drain is over."""
OVERSLEPT = 2.0
"""A turn this late means that this process was stopped: the others' silence proves nothing."""
COVER_AFTER = 1.0
"""A worker that pauses for this long before its next start has another accept for it."""
HOPELESS = 3
"""Deaths of a worker before any worker ever served."""

FIXED = ("host", "port", "tls", "unix_socket", "workers", "data_dir")
"""Settings of a plan that take a restart."""


class Supervisor:
    """Runs the processes of one Portico until it is told to stop."""

    def __init__(
        self,
        plan: Plan,
        arguments: Sequence[str],
        sockets: Sequence[Sequence[socket.socket]],
        unix: socket.socket | None,
        control: socket.socket,
        files: Iterable[str] = (),
        silence: float = SILENCE,
    ) -> None:
        self.plan = plan
        self.previous = plan
        self.arguments = tuple(arguments)
        self.version = 1
        self.silence = silence
        self.sockets = sockets
        self.unix = unix
        self.control_socket = control
        self.workers = [self._worker(slot) for slot in range(plan.workers)]
        self.control = Process("control", self._control_command, [control])
        self.watched = WatchedFiles(files)
        self.stopping = False
        self.code = STOPPED
        self._announced = False
        self._told = 1  # the newest version that was said to be in force
        self._control_told = False
        self._stop_by = float("inf")
        self._resolving: Resolving | None = None
        self._resolve_again = False
        self._asked = False
        self._selector = selectors.DefaultSelector()
        self._look_at = 0.0

    def __repr__(self) -> str:
        return f"<Supervisor version {self.version} {self.workers!r} {self.control!r}>"

    @property
    def processes(self) -> Iterable[Process]:
        """All processes, the workers first."""
        return (*self.workers, self.control)

    def run(self) -> int:
        """Run until all has ended; return the exit code."""
        woken, wakes = socket.socketpair()
        woken.setblocking(False)
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, _noted)
        self._selector.register(woken, selectors.EVENT_READ, self._signals)
        now = time.monotonic()
        self._look_at = now + TURN
        for process in self.processes:
            self._start(process, now)
        while not (self.stopping and all(process.pid is None for process in self.processes)):
            self._turn(woken)
        if self._resolving is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._resolving.pid, signal.SIGKILL)
        return self.code

    # one turn

    def _turn(self, woken: socket.socket) -> None:
        before = time.monotonic()
        timeout = self._timeout(before)
        events = self._selector.select(timeout)
        now = time.monotonic()
        if now - before > timeout + OVERSLEPT:
            for process in self.processes:
                process.heard_at = now
        for key, _ in events:
            if key.data == self._signals:
                self._signals(woken, now)
            elif isinstance(key.data, Process):
                self._hear(key.data, now)
            else:
                self._resolved()
        for process in self.processes:
            self._check(process, now)
        if self.stopping:
            self._stop_on(now)
        elif now >= self._look_at:
            if self.watched.changed():
                self._reload(asked=False)
            self._look_at = now + (TURN / 5 if self.watched.unsettled else TURN)

    def _timeout(self, now: float) -> float:
        due = [process.restart_at for process in self.processes if process.restart_at is not None]
        soonest = min((now + TURN, self._look_at if not self.stopping else now + TURN, self._stop_by, *due))
        return min(max(soonest - now, 0.0), 0.05 if any(process.unsent for process in self.processes) else TURN)

    def _signals(self, woken: socket.socket, now: float) -> None:
        for number in woken.recv(4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(now)
            elif number == signal.SIGHUP and not self.stopping:
                self._reload(asked=True)
        self._reap(now)

    def _check(self, process: Process, now: float) -> None:
        if process.pid is None:
            if process.restart_at is not None and now >= process.restart_at:
                self._start(process, now)
            return
        process.flush()
        limit = self.silence if process.ready else max(STARTING, self.silence)
        if now - process.heard_at > limit:
            say(f"{process.name} (process {process.pid}) has been silent for {limit:g} s: it is killed and replaced")
            process.signal(signal.SIGKILL)
            process.heard_at = float("inf")

    # processes

    def _worker(self, slot: int) -> Process:
        fixed = ["-m", "portico.worker", "--slot", str(slot)]
        fixed += ["--sockets", "/".join(",".join(str(s.fileno()) for s in own) for own in self.sockets)]
        if self.unix is not None:
            fixed += ["--unix", str(self.unix.fileno())]
        fixed += ["--relay", self.control_socket.getsockname(), "--data-dir", self.plan.data_dir]
        inherit = dict.fromkeys(sock for own in self.sockets for sock in own)
        return Process(
            f"worker {slot + 1}",
            lambda link: [*fixed, "--link", str(link)],
            [*inherit, *([self.unix] if self.unix is not None else [])],
            of_workers(os.environ),
        )

    def _control_command(self, link: int) -> list[str]:
        fixed = ["-m", "portico.control", "--socket", str(self.control_socket.fileno())]
        return [*fixed, "--data-dir", self.plan.data_dir, "--link", str(link)]

    def _start(self, process: Process, now: float) -> None:
        try:
            process.start(now)
        except OSError as error:
            pause = process.ended(now)
            say(f"{process.name} could not be started: {error.strerror}; the next try is in {pause:g} s")
            return
        assert process.link is not None
        self._selector.register(process.link, selectors.EVENT_READ, process)
        process.send(Message(Kind.CONFIG, self.version, self.plan.config))

    def _hear(self, process: Process, now: float) -> None:
        messages = process.receive(now)
        if messages is None:
            if process.link is not None:
                self._selector.unregister(process.link)
                process.link.close()
                process.link = None
            return
        for message in messages:
            if message.kind == Kind.READY:
                process.version = message.number
                self._ready(process)
            elif message.kind == Kind.REFUSED:
                self._refused(process, message)

    def _ready(self, process: Process) -> None:
        first, process.ready = not process.ready, True
        if process.deaths and first:
            say(f"{process.name} is back (process {process.pid})")
        process.ever_ready = True
        for slot, worker in enumerate(self.workers):
            if worker.pid is None and worker.restart_at is not None:
                self._cover(slot)
        if not self._announced and all(worker.ready for worker in self.workers):
            self._announced = True
            banner(self.plan, self._url())
            notify("READY=1")
        if self.version > self._told and all(w.version == self.version for w in self.workers if w.ready):
            self._told = self.version
            say(f"configuration version {self.version} is in force")

    def _cover(self, slot: int) -> None:
        """Let a living worker accept what waits for one that will be down for a while."""
        if not self.sockets[slot] or self.sockets[slot] is self.sockets[slot - 1]:
            return  # one shared socket: the others accept from it anyway
        for worker in self.workers:
            if worker.ready:
                worker.send(Message(Kind.COVER, slot))
                return

    def _reap(self, now: float) -> None:
        """Reap whoever has ended, strangers included: as the first process of a container we inherit orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for process in self.processes:
                if process.pid == pid:
                    self._ended(process, os.waitstatus_to_exitcode(status), now)

    def _ended(self, process: Process, code: int, now: float) -> None:
        if process.link is not None:
            self._hear(process, now)
        if process.link is not None:
            self._selector.unregister(process.link)
        pid = process.pid
        pause = process.ended(now)
        if self.stopping:
            process.restart_at = None
            return
        how = f"was killed by {_name(-code)}" if code < 0 else f"ended with code {code}"
        if self._hopeless(process):
            say(f"{process.name} (process {pid}) {how} before it could serve; giving up")
            self.code = WRONG if process.refused else FAILED
            self._cut()
            return
        say(f"{process.name} (process {pid}) {how}; the next one starts in {pause:g} s")
        if process is not self.control and pause >= COVER_AFTER:
            self._cover(self.workers.index(process))

    def _hopeless(self, process: Process) -> bool:
        if process is self.control or any(worker.ever_ready for worker in self.workers):
            return False
        return process.refused or process.deaths >= HOPELESS

    # configuration

    def _reload(self, *, asked: bool) -> None:
        self._asked = self._asked or asked
        if self._resolving is not None:
            self._resolve_again = True
            return
        try:
            self._resolving = Resolving(self.arguments)
        except OSError as error:
            say(f"the configuration could not be read: {error.strerror}; version {self.version} stays in force")
            return
        self._selector.register(self._resolving.descriptor, selectors.EVENT_READ, self._resolving)

    def _resolved(self) -> None:
        resolving = self._resolving
        assert resolving is not None
        descriptor = resolving.descriptor
        if not resolving.read():
            return
        self._selector.unregister(descriptor)
        self._resolving = None
        asked, self._asked = self._asked, False
        plan, files = resolving.result()
        self.watched.watch(files if plan else dict.fromkeys((*self.watched.files, *files)))
        if plan is None:
            say(f"the configuration was refused; version {self.version} stays in force")
        elif self.stopping:
            return
        else:
            self._apply(plan, asked=asked)
        if self._resolve_again:
            self._resolve_again = False
            self._reload(asked=False)

    def _apply(self, plan: Plan, *, asked: bool) -> None:
        fixed = [name for name in FIXED if getattr(plan, name) != getattr(self.plan, name)]
        names = ", ".join(f"server.{name}" for name in fixed)
        if plan.tls != self.plan.tls or plan.data_dir != self.plan.data_dir:
            say(f"{names} changed, which takes a restart; version {self.version} stays in force")
            return
        if fixed:
            say(f"{names} changed, which takes a restart; the value in force stays until then")
        plan = plan._replace(**{name: getattr(self.plan, name) for name in FIXED})
        if plan.config == self.plan.config and not plan.tls:  # the same files' names may hold a renewed certificate
            if asked:
                say(f"the configuration is as it was; version {self.version} stays in force")
            return
        self.previous, self.plan = self.plan, plan
        self._tell()

    def _tell(self) -> None:
        self.version += 1
        for process in self.processes:
            process.send(Message(Kind.CONFIG, self.version, self.plan.config))

    def _refused(self, process: Process, message: Message) -> None:
        """Go back to the configuration before, in all workers, when one cannot serve by the new one."""
        say(f"{process.name} cannot serve by this configuration: {message.body.decode(errors='replace')}")
        process.refused = not process.ready
        if process.ready and message.number == self.version and self.plan is not self.previous:
            self.plan = self.previous
            self._tell()
            say("the configuration before it is put back")

    # the end

    def _stop(self, now: float) -> None:
        if self.stopping:
            say("stopping at once")
            self.code = FAILED
            self._cut()
            return
        self.stopping = True
        notify("STOPPING=1")
        say(f"stopping: calls in flight have {self.plan.drain:g} s to end; a second signal stops at once")
        self._stop_by = now + self.plan.drain + GRACE
        for sock in dict.fromkeys(sock for own in self.sockets for sock in own):
            try:
                take_no_more(sock)
            except OSError as error:  # a sandbox may forbid it
                say(f"connections that are made just now may be reset: {error.strerror}")
        for worker in self.workers:
            worker.restart_at = None
            worker.send(Message(Kind.DRAIN, round(self.plan.drain * 1000)))
        self._close_sockets()

    def _stop_on(self, now: float) -> None:
        """Let control end after the last worker, whose calls it may still be answering."""
        if not self._control_told and all(worker.pid is None for worker in self.workers):
            self._control_told = True
            self.control.restart_at = None
            self.control.send(Message(Kind.DRAIN, 1000))
            self._stop_by = min(self._stop_by, now + GRACE)
        if now >= self._stop_by:
            self._cut()

    def _cut(self) -> None:
        self.stopping = True
        self._stop_by = float("inf")
        self._close_sockets()
        for process in self.processes:
            process.restart_at = None
            process.signal(signal.SIGKILL)

    def _close_sockets(self) -> None:
        for own in self.sockets:
            for sock in own:
                sock.close()
        if self.unix is not None:
            if self.unix.fileno() >= 0:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.unix.getsockname())
            self.unix.close()

    def _url(self) -> str:
        address = self.sockets[0][0].getsockname()
        host = self.plan.host
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # what to show, not to bind
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{'https' if self.plan.tls else 'http'}://{host}:{address[1]}"


def of_workers(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of workers: what is compiled apart from the source is theirs alone, as it takes memory."""
    library = environ.get("PORTICO_WORKER_PATH")
    if not library:
        return environ
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, (library, environ.get("PYTHONPATH"))))}


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up descriptor has told already."""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
