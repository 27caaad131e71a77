"""When a worker looks for garbage: while few calls are under way, or once there is much of it.

CPython frees nearly all that a call made by counting references; its collector is for the few cycles that are left.
While it looks, every call stands still, for 0.7 µs and more for each object that lives: a quarter of a second beside
some ten thousand calls that wait in a queue, of which none is garbage. By itself it would look whenever so many objects
were made more than freed, which a burst of calls does alone; so it is off, and told when. What has lived through a
look is looked at again where no call waits for it, and now and then.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

TEND: Final = 1.0
"""Seconds from one time that it is thought of to the next."""
WORTH: Final = 20_000
"""Objects made and not freed, from which on it is worth a look that disturbs few."""
QUIET: Final = 64
"""Calls under way for whom it may be looked at any time."""
MUCH: Final = 200_000
EACH: Final = 200
"""More objects made and not freed than the former, and than the latter for each call under way: most are garbage."""
LOOKS: Final = 60
"""Looks at what is new before one at all that lives."""


class Garbage:
    """Looks for the garbage of this process. `under_way` says how many calls are."""

    def __init__(self, under_way: Callable[[], int]) -> None:
        self._under_way = under_way
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Garbage among {gc.get_count()[0]} objects>"

    def begin(self) -> None:
        """Take what lives now for what lives for good, and look after the rest from now on."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._timer = asyncio.get_running_loop().call_later(TEND, self.tend)

    def tend(self) -> None:
        """Look for garbage where it is worth it and disturbs few, or where there must be much; and again later."""
        new = gc.get_count()[0]
        if new >= WORTH:
            calls = self._under_way()
            if calls <= QUIET or new >= MUCH + EACH * calls:
                gc.collect(2 if not calls or gc.get_count()[2] >= LOOKS else 1)
        self._timer = asyncio.get_running_loop().call_later(TEND, self.tend)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
