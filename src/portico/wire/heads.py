"""Heads of requests that many connections share: known again by their bytes, the length of the body apart.

A caller's own connection repeats its last head (`requests`). Where a proxy stands before this server, one connection
carries the heads of many callers in turn; those that come again are found here, and not parsed again.
"""

from typing import Final

from portico.wire.digits import CR, number
from portico.wire.head import Head

LONGEST: Final = 8 * 1024
"""Bytes of a head that is remembered."""
MOST: Final = 8192
"""Heads that are remembered, and"""
MOST_BYTES: Final = 2 * 1024 * 1024
SEEN: Final = 16 * 1024
"""Heads that were seen once: one is remembered when it comes again, for many hold an id that never does."""

_NAMES: Final = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
_NAME_SIZE: Final = len(_NAMES[0])

Found = tuple[Head, int, int]
"""A head, where its body begins, and the size of that."""


class Heads:
    """What is remembered, by a head's bytes without the digits of its length."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._bytes = 0
        self._seen: set[int] = set()

    def __repr__(self) -> str:
        return f"<Heads: {len(self._known)} known>"

    def find(self, data: bytes) -> Found | None:
        """Return the head that a request begins with, None for one that is not known."""
        parts = _parts(data)
        if parts is None:
            return None
        key, begin, size = parts
        head = self._known.get(key)
        return None if head is None else (head, begin, size)

    def learn(self, data: bytes, head: Head) -> None:
        """Remember the head of a request, as it was checked, if it has been here before."""
        parts = _parts(data)
        if parts is None or not head.keep_alive or head.http10 or b"expect" in head.fields or b"upgrade" in head.fields:
            return
        key = parts[0]
        mark = hash(key)
        if mark not in self._seen:
            if len(self._seen) >= SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return
        if key in self._known:
            return
        self._known[key] = head
        self._bytes += len(key)
        while len(self._known) > MOST or self._bytes > MOST_BYTES:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._bytes -= len(oldest)


def _parts(data: bytes) -> tuple[bytes, int, int] | None:
    """Return what tells a head from others, where its body begins, and the length that it says."""
    end = data.find(b"\r\n\r\n", 0, LONGEST)
    at = data.find(_NAMES[0], 0, end + 2)
    if at < 0:
        at = data.find(_NAMES[1], 0, end + 2)
    if at < 0 or end < 0:
        return None
    start = at + _NAME_SIZE
    size, after = number(data, start)
    if after == start or data[after] != CR:
        return None
    return data[:start] + data[after : end + 4], end + 4, size
