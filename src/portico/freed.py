"""When a worker gives memory back that it has freed: once it has grown, while few calls are under way.

What many calls, streams or TLS connections held is freed between things that live, and glibc keeps such gaps for later:
a worker that has rested from a burst would stay as large as the burst made it, and the next of another kind comes on
top. `malloc_trim(3)` gives every whole page in the gaps back, in a millisecond or two in which every call stands still.

That is the memory of malloc: Python's own arenas, where objects up to 512 bytes lie, go back once nothing lives in one.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

TEND: Final = 1.0
"""Seconds from one time that it is thought of to the next."""
GROWN: Final = 3 * 1024 * 1024
"""Bytes by which the process has grown, from which on gaps are worth looking for."""
QUIET: Final = 64
"""Calls under way for whom it may be done at any time."""

_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Freed:
    """Gives freed memory of this process back. `under_way` says how many calls are."""

    def __init__(self, under_way: Callable[[], int]) -> None:
        self._under_way = under_way
        self._least = 0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Freed, at least {self._least} bytes>"

    def begin(self) -> None:
        """Look after it from now on, where the system tells how large a process is."""
        self._least = resident()
        if self._least:
            self._timer = asyncio.get_running_loop().call_later(TEND, self._tend)

    def tend(self) -> bool:
        """Give back what is free if the process has grown and few calls are under way; return whether it was done."""
        size = resident()
        if size < self._least:
            self._least = size
        if size - self._least < GROWN or self._under_way() > QUIET:
            return False
        trim()
        self._least = resident()
        return True

    def end(self) -> None:
        """Look after it no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tend(self) -> None:
        self.tend()
        self._timer = asyncio.get_running_loop().call_later(TEND, self._tend)


def resident() -> int:
    """Return the resident memory of this process in bytes; 0 where the system does not tell (proc_pid_statm(5))."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


def trim() -> None:
    """Have malloc give back what it holds free; where it is not glibc's, do nothing."""
    try:
        import ctypes  # a quarter of a megabyte, for a worker that has grown

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):
        return
