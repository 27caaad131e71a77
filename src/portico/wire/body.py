"""The body of a request as it arrives: in memory at first, then in a spool file, always within bounds.

Nothing is read from the socket beyond a first piece until somebody asks for the body, so a call can be refused by
its headers alone. A body can be read again for another attempt until it is closed.
"""

import asyncio
import logging
import mmap
from collections.abc import Awaitable, Callable
from typing import IO, Final

from portico.errors import Overloaded, PorticoError, TooLarge
from portico.wire.ready import READY

PIECE: Final = 256 * 1024
"""Bytes that are written to a spool at once."""
PIECE_COST: Final = 64
"""Bytes of memory that a piece takes beside its own; a caller may cut its body into very many."""

log = logging.getLogger("portico.wire")


class Budget:
    """The bytes that all bodies of one worker may hold together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def __repr__(self) -> str:
        return f"<Budget {self.used} of {self.limit} bytes>"


class Body:
    """A request body. `size` is what has come so far, `declared` the Content-Length or None when chunked.

    `complete` is true once the last byte is in. `wanted` is called once, when somebody first asks for the bytes: the
    connection then answers `Expect: 100-continue` and goes on reading.
    """

    size = 0
    complete = False
    _charged = 0
    _limit: int | None = None
    _spool: IO[bytes] | None = None
    _map: mmap.mmap | None = None
    _waiter: asyncio.Future[None] | None = None
    _error: PorticoError | None = None

    def __init__(self, declared: int | None, budget: Budget, memory: int, wanted: Callable[[], None]) -> None:
        self.declared = declared
        self.wanted: Callable[[], None] | None = wanted
        self._budget = budget
        self._memory = memory
        self._pieces: list[bytes] = []

    def __repr__(self) -> str:
        where = "spooled" if self._spool else "in memory"
        return f"<Body {self.size} bytes {where}{'' if self.complete else ', incomplete'}>"

    @property
    def spooled(self) -> bool:
        """Whether the bytes are in a file."""
        return self._spool is not None

    def charge(self, budget: Budget) -> None:
        """Count what it holds against another budget from now on."""
        self._budget.used -= self._charged
        budget.used += self._charged
        self._budget = budget

    # the connection's side

    def feed(self, piece: bytes) -> None:
        """Take the next bytes off the wire; what is over a bound fails the body instead."""
        if self._error is not None:
            return
        size = self.size = self.size + len(piece)
        if self._limit is not None and size > self._limit:
            self.fail(too_large(self._limit))
            return
        budget = self._budget
        cost = len(piece) + PIECE_COST if self._spool is None else len(piece)
        if budget.used + cost > budget.limit:
            self.fail(
                Overloaded(
                    "this gateway worker holds as many request bytes as it may; try again shortly",
                    retry_after=1,
                )
            )
            return
        budget.used += cost
        self._charged += cost
        if self._spool is None:
            self._pieces.append(piece)
            if self._charged <= self._memory:
                return
        try:
            if self._spool is None:
                self._to_spool()
            else:
                self._spool.write(piece)
        except OSError as error:
            self._unspoolable(error)

    def end(self) -> None:
        """Mark the last byte as received."""
        if self._spool is not None and self._error is None:
            try:
                self._spool.flush()
            except OSError as error:
                self._unspoolable(error)
        self.complete = True
        if self._waiter is not None:
            self._wake()

    def fail(self, error: PorticoError) -> None:
        """End the body with an error, which every reader gets."""
        if self._error is None:
            self._error = error
            self._pieces.clear()
            self._wake()

    def close(self) -> None:
        """Give back the bytes it held."""
        self._budget.used -= self._charged
        self._charged = 0
        self._pieces = []
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    # the reader's side

    def here(self, limit: int) -> bytes | None:
        """Return the whole body if it has come already and is in memory; None means that it has to be read."""
        if self.complete and self._error is None and self._spool is None and self.size <= limit:
            self.wanted = None
            pieces = self._pieces
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return None

    def arrived(self, limit: int) -> Awaitable[None]:
        """Return what waits until the whole body is here, in memory or spooled.

        It, or this, raises TooLarge beyond `limit` bytes, Overloaded beyond the worker's budget, RequestTimeout when
        the caller stalls, InvalidRequest for a body that breaks its own framing.
        """
        if self.wanted is not None:
            self._demand(limit)
        if self._error is not None:
            raise self._error
        if self.complete:
            return READY
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        return waiter

    def whole(self) -> bytes:
        """Return a body that has arrived."""
        assert self.complete, "the body is not here yet"
        if self._spool is not None:
            self._spool.seek(0)
            return self._spool.read()
        pieces = self._pieces
        if len(pieces) == 1:
            return pieces[0]
        whole = b"".join(pieces)
        self._pieces = [whole] if whole else []
        return whole

    def mapped(self) -> mmap.mmap:
        """Return a whole, spooled body as mapped memory, valid until the body is closed."""
        assert self.complete, "the body is not here yet"
        assert self._spool is not None, "the body is in memory"
        if self._map is None:
            self._map = mmap.mmap(self._spool.fileno(), self.size, access=mmap.ACCESS_READ)
        return self._map

    def _demand(self, limit: int) -> None:
        if self.declared is not None and self.declared > limit:
            raise too_large(limit)
        if self.size > limit:
            raise too_large(limit)
        self._limit = limit
        wanted, self.wanted = self.wanted, None
        assert wanted is not None
        if not self.complete and self._error is None:
            wanted()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if self._error is not None:
            waiter.set_exception(self._error)
        else:
            waiter.set_result(None)

    def _unspoolable(self, error: OSError) -> None:
        log.error("a request body of %d bytes cannot be spooled: %s", self.size, error)
        self.fail(Overloaded("this gateway worker has no room for the request body; try again shortly", retry_after=1))

    def _to_spool(self) -> None:
        # An unnamed file: it is gone with the process, however that ends.
        import tempfile  # and the archivers that come with it: a megabyte for those who need it

        spool = tempfile.TemporaryFile(prefix="portico-body-", buffering=PIECE)  # noqa: SIM115  # closed in close()
        spool.writelines(self._pieces)
        self._spool = spool
        self._pieces = []


def too_large(limit: int) -> TooLarge:
    """Return the refusal of a body over `limit` bytes."""
    return TooLarge(f"the request body is larger than the {limit} bytes that this operation allows")
