"""When a worker looks for garbage: among what is new all the time, among the rest while few calls are under way.

CPython frees nearly all that a call made by counting references; its collector is for the few cycles that are left.
While it looks, every call stands still, for 0.7 µs and more for each object that lives: a quarter of a second beside
some ten thousand calls that wait in a queue, of which none is garbage. So it looks by itself only at what is new, a few
milliseconds at a time, and at everything when hardly anybody notices.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

NEW: Final = 1_000
"""Objects made and not freed, after which those are looked at that were made since."""
NEVER: Final = 1 << 30
TEND: Final = 5.0
"""Seconds from one time that it is thought of looking at everything to the next."""
WORTH: Final = 50
"""Looks at what is new, before a look at everything is worth it."""
QUIET: Final = 64
"""Calls under way for whom everything may be looked at."""
OVERDUE: Final = 40_000
"""Looks at what is new, after which everything is looked at however many calls stand still for it."""


class Garbage:
    """Looks for the garbage of this process. `under_way` says how many calls are."""

    def __init__(self, under_way: Callable[[], int]) -> None:
        self._under_way = under_way
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Garbage, {gc.get_count()[1]} looks at what is new>"

    def begin(self) -> None:
        """Take what lives now for what lives for good, and look after the rest from now on."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(NEW, NEVER, NEVER)
        self._timer = asyncio.get_running_loop().call_later(TEND, self.tend)

    def tend(self) -> None:
        """Look at everything if it is worth it and disturbs few, or is overdue; and think of it again later."""
        looks = gc.get_count()[1]
        if looks >= OVERDUE or (looks >= WORTH and self._under_way() <= QUIET):
            gc.collect()
        self._timer = asyncio.get_running_loop().call_later(TEND, self.tend)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
