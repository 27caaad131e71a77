"""Content codings undone: gzip and deflate, piece by piece and never more at once than was asked for."""

import zlib
from typing import Final

PIECE: Final = 64 * 1024
"""Bytes that one `take` returns at most."""

_GZIP, _WRAPPED, _RAW = 31, 15, -15  # zlib's names for the three wrappings


class Inflater:
    """One body in the coding `gzip` or `deflate` (RFC 9110, 8.4.1): `feed` what came in, `take` while there is some.

    Members of a gzip body may follow one another. A deflate body may lack the zlib wrapper, as from some servers.
    `take` raises zlib.error for data that is not in the coding.
    """

    __slots__ = ("_fed", "_gzip", "_more", "_pending", "_zlib")

    def __init__(self, coding: bytes) -> None:
        self._gzip = coding != b"deflate"
        self._zlib = zlib.decompressobj(_GZIP) if self._gzip else None
        self._pending = b""
        self._more = False
        self._fed = False

    def feed(self, data: bytes) -> None:
        """Take in a piece of the coded body."""
        self._pending = self._pending + data if self._pending else data
        self._fed = True
        if self._zlib is None and len(self._pending) >= 2:
            first, second = self._pending[:2]
            wrapped = first & 0x0F == 8 and (first << 8 | second) % 31 == 0
            self._zlib = zlib.decompressobj(_WRAPPED if wrapped else _RAW)

    @property
    def backlog(self) -> bool:
        """Whether `take` may have something to return."""
        return self._zlib is not None and (self._more or bool(self._pending))

    @property
    def whole(self) -> bool:
        """Whether the body may end here: nothing at all came, or the coding's own end did."""
        return not self._fed or (self._zlib is not None and self._zlib.eof and not self._pending)

    def take(self) -> bytes:
        """Return at most PIECE bytes of the body; maybe none, where more input is needed."""
        if self._zlib is None:
            return b""
        if self._zlib.eof:
            if not self._gzip:
                raise zlib.error("data after the end")
            self._zlib = zlib.decompressobj(_GZIP)
        piece = self._zlib.decompress(self._pending, PIECE)
        self._pending = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
        self._more = len(piece) == PIECE and not self._zlib.eof
        return piece
