"""The link: what the supervisor and a process that it started say to each other, over a socket pair.

A message is a header (length of the body, kind, a number) and a body. The standard library alone, and no I/O here.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

HEADER = struct.Struct("!IBQ")


class Kind(IntEnum):
    """What a message means, and what its number is."""

    CONFIG = 1
    """To a process: serve by this configuration; its number is the version, its body the encoded configuration."""
    COVER = 2
    """To a worker: also accept for the worker of this slot, which is down for a while."""
    DRAIN = 3
    """To a process: take nothing new, finish what runs within this many milliseconds, and leave."""
    READY = 4
    """From a process: it serves; its number is the version in force."""
    REFUSED = 5
    """From a worker: it cannot serve by this version; the body says why, in UTF-8."""
    BEAT = 6
    """From a process: its loop turns."""


class Message(NamedTuple):
    """One message."""

    kind: Kind
    number: int = 0
    body: bytes = b""


def render_message(message: Message) -> bytes:
    """Return the bytes of a message."""
    return HEADER.pack(len(message.body), message.kind, message.number) + message.body


class MessageDecoder:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take more bytes; return the messages that they complete. Raises ValueError for a kind that is not known."""
        held = self._held
        held += data
        messages = []
        at = 0
        while len(held) - at >= HEADER.size:
            length, kind, number = HEADER.unpack_from(held, at)
            end = at + HEADER.size + length
            if len(held) < end:
                break
            messages.append(Message(Kind(kind), number, bytes(held[at + HEADER.size : end])))
            at = end
        del held[:at]
        return messages
