"""The far end of the link, on an event loop: what the supervisor started listens here, and shows that it lives."""

import asyncio
import contextlib
import socket

from portico.link import Kind, Message, MessageDecoder, render_message

BEAT = 0.5
"""Seconds between two beats."""


class Linked:
    """What a worker or control hears from the supervisor, and says to it.

    `heard` gets each message, and None at the end: the supervisor is gone, and this process must go too.
    """

    def __init__(self, descriptor: int) -> None:
        self.heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self._sock = socket.socket(fileno=descriptor)
        self._sock.setblocking(False)
        self._decoder = MessageDecoder()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._read)
        self._beat()

    def send(self, message: Message) -> None:
        """Say something; small and rare, it fits the socket's buffer as long as the supervisor runs."""
        try:
            self._sock.send(render_message(message))
        except (BrokenPipeError, ConnectionResetError):
            self.heard.put_nowait(None)

    def close(self) -> None:
        """Say and hear nothing more."""
        self._beats.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _beat(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the supervisor is stopped, and has enough unread beats of ours
            self.send(Message(Kind.BEAT))
        self._beats = self._loop.call_later(BEAT, self._beat)

    def _read(self) -> None:
        try:
            data = self._sock.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._loop.remove_reader(self._sock)
            self.heard.put_nowait(None)
            return
        for message in self._decoder.feed(data):
            self.heard.put_nowait(message)
