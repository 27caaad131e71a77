"""A JSON array sent piece by piece: cut it into its elements as they come.

This is how Gemini streams when it is not asked for server-sent events: `[{…}\\n,\\r\\n{…}\\n]`.
"""

import re
from typing import Final

from portico.errors import BadUpstreamReply
from portico.framing.sse import EVENT_LIMIT

_OUTSIDE: Final = re.compile(rb'["\[\]{}]')
_INSIDE: Final = re.compile(rb'["\\]')


class Splitter:
    """Cuts the objects and arrays that are elements of one array; scalar elements are passed over.

    `closed` is true once the array's bracket has closed. `limit` bounds, in bytes, one element.
    """

    __slots__ = ("_depth", "_escaped", "_held", "_limit", "_quoted", "closed")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._held = bytearray()
        self._limit = limit
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.closed = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the elements that this chunk completes. Raises BadUpstreamReply when one grows over the limit."""
        elements: list[bytes] = []
        at = 0
        start = 0
        if self._escaped and chunk:
            self._escaped = False
            at = 1
        while True:
            found = (_INSIDE if self._quoted else _OUTSIDE).search(chunk, at)
            if found is None:
                break
            at = found.end()
            mark = chunk[at - 1]
            if mark == 0x22:  # "
                self._quoted = not self._quoted
            elif mark == 0x5C:  # a backslash: the next byte stands for itself
                if at == len(chunk):
                    self._escaped = True
                    break
                at += 1
            elif mark in b"[{":
                self._depth += 1
                if self._depth == 2:
                    start = at - 1
            else:
                self._depth -= 1
                if self._depth == 1:
                    elements.append(bytes(self._held) + chunk[start:at])
                    self._held.clear()
                elif self._depth == 0:
                    self.closed = True
        if self._depth > 1:
            self._held += chunk[start:]
            if len(self._held) > self._limit:
                raise BadUpstreamReply(f"An element of the stream is longer than {self._limit} bytes")
        return elements
