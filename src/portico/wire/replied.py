"""Heads of replies: known again by their bytes, the length of the body apart.

Engines that people host themselves answer with the same few headers, and a date that changes once a second. So the head
of an origin's last whole reply is remembered, and one that repeats it is not parsed again. Where every reply has an id
of its own that is given up, and tried again now and then.
"""

import re
from typing import Final

from portico.wire.digits import number
from portico.wire.origin import Fields, Headers

LONGEST: Final = 8 * 1024
"""Bytes of a head that is remembered."""
TRIES: Final = 16
"""Heads in a row that are remembered and never repeated, before only"""
RARELY: Final = 256
"""one of so many is."""

_NAME: Final = b"content-length"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)


class ReplyHead:
    """The status and the headers of a reply, lowercased and in order; `fields` has them by name (the last of each).

    Replies that repeat it share it, and nobody changes it. `memo` is for what a sink found out from the head alone, the
    length of the body apart.
    """

    __slots__ = ("fields", "headers", "memo", "status")

    def __init__(self, status: int, headers: Headers, fields: Fields) -> None:
        self.status = status
        self.headers = headers
        self.fields = fields
        self.memo: bytes | None = None

    def __repr__(self) -> str:
        return f"<ReplyHead {self.status}, {len(self.headers)} headers>"

    def of_length(self, digits: bytes) -> "ReplyHead":
        """Return the same head for a body of another length."""
        headers = [(name, digits if name == _NAME else value) for name, value in self.headers]
        other = ReplyHead(self.status, headers, {**self.fields, _NAME: digits})
        other.memo = self.memo
        return other


class LastHead:
    """The last head of an origin's whole replies; `head` is None where none is remembered."""

    __slots__ = ("_after", "_before", "_learned", "head")

    def __init__(self) -> None:
        self.head: ReplyHead | None = None
        self._before = self._after = b""  # around its content length
        self._learned = 0  # since one was repeated

    def __repr__(self) -> str:
        return f"<LastHead {self.head!r}>"

    def find(self, data: bytes) -> tuple[ReplyHead, int] | None:
        """Return the head of a whole reply that has this one, and where its body begins; None for any other."""
        before, after, head = self._before, self._after, self.head
        if head is None or not data.startswith(before):
            return None
        start = len(before)
        size, end = number(data, start)
        begin = end + len(after)
        if not size or len(data) != begin + size or not data.startswith(after, end):
            return None
        digits = data[start:end]
        self._learned = 0
        return (head if digits == head.fields[_NAME] else head.of_length(digits)), begin

    def learn(self, data: bytes, head: ReplyHead) -> None:
        """Remember the head of a reply that came in one piece, as it was parsed, where its length is all it needs."""
        self._learned += 1
        if self._learned > TRIES and self._learned % RARELY:
            self.head = None
            return
        end = data.find(b"\r\n\r\n", 0, LONGEST) + 4
        found = _LENGTH.search(data, 0, end)
        once = len(head.fields) == len(head.headers) and b"transfer-encoding" not in head.fields
        if found is None or not once or len(data) != end + int(found[1]):
            self.head = None
            return
        self._before, self._after, self.head = data[: found.start(1)], data[found.end(1) : end], head
