"""A body that is in a spool file, sent from there piece by piece, as often as there are attempts."""

import mmap
from collections.abc import AsyncIterator, Callable

PIECE = 256 * 1024


def spliced(
    spool: mmap.mmap, start: int = 0, end: int = 0, put: bytes = b""
) -> Callable[[], tuple[int, AsyncIterator[bytes]]]:
    """Return how to send a spooled body with `put` in place of its bytes from `start` to `end`: size, and pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, start, PIECE):
            yield spool[at : min(at + PIECE, start)]
        if put:
            yield put
        for at in range(end, len(spool), PIECE):
            yield spool[at : at + PIECE]

    return lambda: (len(spool) - (end - start) + len(put), pieces())
