"""One process under supervision: started, spoken to, listened to, ended, and started again after a pause."""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence

from portico.link import Message, MessageDecoder, render_message

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 10.0
STABLE = 10.0
"""Seconds of service after which an earlier death is forgotten."""


class Process:
    """A process by its role. `command` gives its arguments for the descriptor of its end of the link.

    `environ` is the environment that it starts with. All times are of the monotonic clock, in seconds, and passed in.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        inherit: Sequence[socket.socket],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = name
        self.command = command
        self.inherit = inherit
        self.environ = environ
        self.pid: int | None = None
        self.link: socket.socket | None = None
        self.ready = False
        self.refused = False
        self.ever_ready = False
        self.version = 0
        self.deaths = 0
        self.started_at = 0.0
        self.heard_at = 0.0
        self.restart_at: float | None = None
        self._pause = FIRST_PAUSE
        self._outbox = bytearray()
        self._decoder = MessageDecoder()

    def __repr__(self) -> str:
        state = f"process {self.pid}" if self.pid else "down"
        return f"<{self.name} {state}{' ready' if self.ready else ''}>"

    def start(self, now: float) -> None:
        """Start it, in a process group of its own: a Ctrl-C in the terminal is for the supervisor alone."""
        ours, theirs = socket.socketpair()
        handed = [theirs.fileno(), *(sock.fileno() for sock in self.inherit)]
        null = -1
        try:
            null = os.open(os.devnull, os.O_RDONLY)
            for descriptor in handed:
                os.set_inheritable(descriptor, True)
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", *self.command(theirs.fileno())],
                self.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, null, 0)],
                setpgroup=0,
                setsigmask=[],
            )
        except OSError:
            ours.close()
            raise
        finally:
            for descriptor in handed:
                os.set_inheritable(descriptor, False)
            theirs.close()
            if null >= 0:
                os.close(null)
        ours.setblocking(False)
        self.link = ours
        self._decoder = MessageDecoder()
        self._outbox.clear()
        self.ready = self.refused = False
        self.version = 0
        self.restart_at = None
        self.started_at = self.heard_at = now

    def send(self, message: Message) -> None:
        """Send it a message, now or as soon as it reads. One that is down is told nothing."""
        if self.link is not None:
            self._outbox += render_message(message)
            self.flush()

    @property
    def unsent(self) -> bool:
        """Whether there is something that it has not taken yet."""
        return self.link is not None and bool(self._outbox)

    def flush(self) -> None:
        """Send what it takes."""
        while self.link is not None and self._outbox:
            try:
                del self._outbox[: self.link.send(self._outbox)]
            except BlockingIOError:
                return
            except OSError:
                self._outbox.clear()  # it is going; its end is noticed by SIGCHLD
                return

    def receive(self, now: float) -> list[Message] | None:
        """Read what it says; None where it has closed the link, which it does by ending."""
        if self.link is None:
            return None
        try:
            data = self.link.recv(65536)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not data:
            return None
        self.heard_at = now
        return self._decoder.feed(data)

    def signal(self, number: int) -> None:
        """Send it a signal. Its process id cannot be another's: it has not been reaped."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def ended(self, now: float) -> float:
        """Note that it was reaped; return the pause before the next start, which grows with each death in a row."""
        if self.ready and now - self.started_at >= STABLE:
            self._pause = FIRST_PAUSE
            self.deaths = 0
        self.deaths += 1
        pause = self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self.pid = None
        self.ready = False
        if self.link is not None:
            self.link.close()
            self.link = None
        self.restart_at = now + pause
        return pause
