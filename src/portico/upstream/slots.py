"""Calls under way at targets and providers, counted by all workers of a machine: a small file that all have mapped.

Each row is a name's hash, a few words of its own, and a column for each worker: how many calls it has there. Only its
worker writes a column. What is decided on the sum of a row is decided under the file's lock, so that a bound holds
exactly over all workers. A column is its process's by a lock that goes with it, however it ends; the column of one that
died is emptied by whoever finds it. Beside that, workers tell each other for what their calls wait. Without a path,
the table is in this process alone.
"""

import contextlib
import fcntl
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from portico.upstream.shared import hashed

ROWS: Final = 1024
COLUMNS: Final = 128
OWN: Final = 11
"""Words of a row before its columns."""
WORDS: Final = OWN + COLUMNS
SWEEP: Final = 1.0
"""Seconds between two looks for workers that died."""
BUCKETS: Final = 512
"""Of what is waited for, by a hash: that two things share one makes workers a little more polite than they need be."""
_HEAD: Final = 8
_ROWS: Final = _HEAD + COLUMNS + BUCKETS * COLUMNS
"""Where the rows begin: behind the lines that each worker has, in all and by what is waited for."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Slots:
    """The table. Words are signed and of 64 bits; the first of a row is its name."""

    def __init__(self, path: Path | None = None) -> None:
        size = (_ROWS + ROWS * WORDS) * 8
        self._path = path
        self._file = self._column_file = -1
        self._map: mmap.mmap | bytearray
        if path is None:
            self._map = mmap.mmap(-1, size)  # pages that are never touched take no memory
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if sys.platform == "linux":
                os.posix_fallocate(self._file, 0, size)
            else:
                os.ftruncate(self._file, size)
            self._map = mmap.mmap(self._file, size)
        self.words = memoryview(self._map).cast("q")
        self.column = 0
        self.freed: Callable[[str], None] | None = None
        """Told the name of the row of a call that ended in this process."""
        self._used = 0
        self._swept = 0.0
        with self.locked():
            self._begin()
        if path is not None:
            self._claim(path)
            self.sweep()

    def __repr__(self) -> str:
        return f"<Slots of column {self.column}, {self._used} rows>"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else decide meanwhile. What is done under it takes microseconds."""
        if self._file < 0:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def row(self, name: str, *, most: int = ROWS) -> int | None:
        """Return where the row of a name begins, None where the table has so many rows already and it is none."""
        words = self.words
        key = hashed(name) >> 1 or 1  # 63 bits: words have a sign
        with self.locked():
            for step in range(ROWS):
                at = _ROWS + ((key + step) % ROWS) * WORDS
                if words[at] == key:
                    return at
                if not words[at]:
                    if words[2] >= most:
                        return None
                    words[at] = key
                    words[2] += 1
                    self._used = words[2]
                    return at
        return None

    def count(self, at: int) -> int:
        """Return how many calls are under way by a row, of all workers."""
        start = at + OWN
        return sum(self.words[start : start + self.words[1]])

    def line(self, key: object, change: int) -> None:
        """Tell the others that a line for something has begun here (1), or that there is none any more (-1)."""
        self.words[_bucket(key) + self.column] += change
        self.words[_HEAD + self.column] += change

    def others_wait(self, key: object = None) -> bool:
        """Return whether calls of another worker wait for something; None for anything at all."""
        start = _HEAD if key is None else _bucket(key)
        words = self.words
        return sum(words[start : start + words[1]]) != words[start + self.column]

    def doubt(self, now: float) -> None:
        """See whether those who died hold what is missing; each second at most."""
        if now >= self._swept + SWEEP:
            self._swept = now
            self.sweep()

    def sweep(self) -> None:
        """Empty the columns of workers that died."""
        if self._path is None:
            return
        for column in range(self.words[1]):
            if column == self.column:
                continue
            lock = _lock(self._path, column)
            if lock is not None:
                self._empty(column)
                os.close(lock)

    def close(self) -> None:
        """Give back all that this worker has, and its column. What ends from now on is counted nowhere."""
        if self._file < 0:
            return
        self._empty(self.column)
        self.column = COLUMNS - 1
        for descriptor in (self._column_file, self._file):
            os.close(descriptor)
        self._file = self._column_file = -1

    def _begin(self) -> None:
        boot = hashed(_BOOT.read_text() if _BOOT.exists() else "") >> 1
        words = self.words
        if words[0] != boot:
            # The clock that times are of has begun anew with the machine, and nobody of before lives.
            for at in range(_ROWS, len(words), WORDS):
                if words[at]:
                    words[at : at + WORDS] = memoryview(bytes(WORDS * 8)).cast("q")
            words[_HEAD:_ROWS] = memoryview(bytes((_ROWS - _HEAD) * 8)).cast("q")
            words[0], words[1], words[2] = boot, 1, 0
        self._used = words[2]

    def _claim(self, path: Path) -> None:
        for column in range(COLUMNS - 1):
            lock = _lock(path, column)
            if lock is not None:
                self._column_file, self.column = lock, column
                self._empty(column)
                with self.locked():
                    self.words[1] = max(self.words[1], column + 1)
                return
        raise OSError(f"more than {COLUMNS - 1} workers share {path}")

    def _empty(self, column: int) -> None:
        words = self.words
        for at in range(_HEAD + column, _ROWS, COLUMNS):
            words[at] = 0
        for at in range(_ROWS, len(words), WORDS):
            if words[at]:
                words[at + OWN + column] = 0


def _lock(path: Path, column: int) -> int | None:
    descriptor = os.open(f"{path}.{column}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _bucket(key: object) -> int:
    return _HEAD + COLUMNS + hashed(repr(key)) % BUCKETS * COLUMNS
