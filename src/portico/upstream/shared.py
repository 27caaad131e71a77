"""What the workers of a machine tell each other: until when targets and keys rest. A small file that all have mapped.

Each row is the name's hash and a time of the boot clock, in nanoseconds; 0 is awake. Rows are written whole words at a
time and may be overwritten by another worker that tells of the same name: whoever is last is right. What does not fit
is not told, and each worker finds it out by itself. The second word changes with every row: to look at it is all that
a call does.
"""

import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final

from portico.hashing import blake2b

ROWS: Final = 1024
TRIES: Final = 16
"""Rows that a name may stand in, from its own place on."""
_HEAD: Final = 2
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class SharedRests:
    """The rests that workers tell each other. Times are seconds of the monotonic clock, the same for all of them."""

    def __init__(self, path: Path) -> None:
        self._map, self._words = mapped(path, _HEAD + 2 * ROWS)
        self._seen = 0

    def __repr__(self) -> str:
        return f"<SharedRests {sum(1 for _ in self._rows())} rows>"

    @property
    def changed(self) -> bool:
        """Whether somebody has told something since `told` was last read."""
        return self._words[1] != self._seen

    def tell(self, name: str, until: float) -> None:
        """Tell that something rests until then, 0 for no longer."""
        words, key = self._words, hashed(name)
        free: int | None = None
        for step in range(TRIES):
            place = _HEAD + 2 * ((key + step) % ROWS)
            if words[place] == key:
                free = place
                break
            if free is None and words[place + 1] < monotonic() * 1e9:
                free = place  # nobody rests here any more
        if free is None:
            return
        words[free + 1] = int(until * 1e9)
        words[free] = key
        words[1] = (words[1] + 1) & 0xFFFFFFFFFFFFFFFF

    def told(self) -> dict[int, float]:
        """Return until when each rests, by the hash of its name: see `hashed`."""
        self._seen = self._words[1]
        return dict(self._rows())

    def close(self) -> None:
        """Let the file go."""
        self._words.release()
        self._map.close()

    def _rows(self) -> Iterator[tuple[int, float]]:
        words = self._words.tolist()
        for place in range(_HEAD, len(words), 2):
            if words[place]:
                yield words[place], words[place + 1] / 1e9


def mapped(path: Path, count: int) -> tuple[mmap.mmap, memoryview]:
    """Return a file that all workers have mapped, as words of 64 bits. The first says of which boot its times are.

    A file of an earlier boot is emptied: the clock has begun anew with the machine. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Blocks are taken now: a full disk would be a signal later, not an error.
        if sys.platform == "linux":
            os.posix_fallocate(descriptor, 0, count * 8)
        else:
            os.ftruncate(descriptor, count * 8)
        made = mmap.mmap(descriptor, count * 8)
    finally:
        os.close(descriptor)
    words = memoryview(made).cast("Q")
    boot = hashed(BOOT.read_text() if BOOT.exists() else "")
    if words[0] != boot:
        words[1:] = memoryview(bytes((count - 1) * 8)).cast("Q")
        words[0] = boot
    return made, words


def hashed(name: str) -> int:
    """Return the hash of a name, as `told` has it; never 0."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") or 1
