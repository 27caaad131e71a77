"""What time it is, by the two clocks that state goes by."""

import asyncio
import time
from collections.abc import Callable
from time import clock_gettime_ns, time_ns
from typing import Final

from portico.state.contract import Moment

_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS's monotonic clock counts its sleep too


def moment() -> Moment:
    """Return the present."""
    return Moment(clock_gettime_ns(_BOOT), time_ns())


class Turn:
    """The present, read once in each turn of the loop: what comes together, and is booked together, is at one time."""

    __slots__ = ("_at", "_loop", "_over", "_read")

    def __init__(self, read: Callable[[], Moment] = moment) -> None:
        self._read = read
        self._at: Moment | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = self._end

    def __repr__(self) -> str:
        return f"<Turn at {self._at!r}>"

    def __call__(self) -> Moment:
        """Return when this turn of the loop first asked."""
        at = self._at
        if at is None:
            loop = self._loop
            if loop is None:
                loop = self._loop = asyncio.get_running_loop()
            at = self._at = self._read()
            loop.call_soon(self._over)
        return at

    def _end(self) -> None:
        self._at = None
