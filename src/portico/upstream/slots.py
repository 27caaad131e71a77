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
from collections.abc import Callable, Iterator, Sized
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
BOARDS: Final = 2048
"""Lines and flows of which workers tell each other, at most."""
TRIES: Final = 8
BOARD: Final = 2 + COLUMNS
"""Words of a board: what it is of, the virtual time of its lines, and for each worker that of its next call."""
STANDING: Final = 3
"""The word of how many lines and flows there are."""
_HEAD: Final = 8
_BOARDS: Final = _HEAD + COLUMNS
"""Where the boards begin: behind the lines that each worker has."""
_ROWS: Final = _BOARDS + BOARDS * BOARD
_FINE: Final = 1000
"""Virtual times are told in thousandths."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Slots:
    """The table. Words are signed and of 64 bits; the first of a row is its name."""

    def __init__(self, path: Path | None = None) -> None:
        size = (_ROWS + (ROWS + 1) * WORDS) * 8
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
        self.mine = OWN
        """From the beginning of a row to the column of this worker."""
        self.nowhere = _ROWS + ROWS * WORDS
        """Where a row would be that counts for nothing."""
        self.freed: Callable[[str], None] | None = None
        """Told the name of the row of a call that ended in this process."""
        self.lines: Sized = ()
        """What calls of this process wait for: while that is nothing, nobody need be told of what ends."""
        self._standing = 0
        self._closed = False
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
        key = _mark(name)
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

    def stand(self, key: object) -> int | None:
        """Tell the others that a line or a flow begins here; return its board, None where there is none left."""
        words = self.words
        if self._closed:
            return None
        mark = _mark(key)
        with self.locked():
            words[_HEAD + self.column] += 1
            words[STANDING] += 1
            self._standing += 1
            free = None
            for at in _places(mark):
                if words[at] == mark:
                    free = at
                    break
                if free is None and not words[at]:
                    free = at
            if free is not None:
                if words[free] != mark:
                    words[free], words[free + 1] = mark, 0
                words[free + 2 + self.column] = 1
        return free

    def depart(self, board: int | None) -> None:
        """Tell the others that it is no more."""
        words = self.words
        if self._closed:
            return
        with self.locked():
            words[_HEAD + self.column] -= 1
            words[STANDING] -= 1
            self._standing -= 1
            if board is not None:
                words[board + 2 + self.column] = 0
                if not any(words[board + 2 : board + 2 + words[1]]):
                    words[board] = 0

    def tell(self, board: int, start: float, virtual: float) -> float:
        """Tell the virtual times of the next call here and of the line; return the latter by all workers."""
        words = self.words
        words[board + 2 + self.column] = int(start * _FINE) + 1
        if int(virtual * _FINE) > words[board + 1]:
            words[board + 1] = int(virtual * _FINE)
        return words[board + 1] / _FINE

    def first(self, board: int, start: float) -> bool:
        """Return whether no other worker has a call that comes before this one."""
        words = self.words
        mine = int(start * _FINE) + 1
        return not any(0 < each < mine for each in words[board + 2 : board + 2 + words[1]])

    def standing(self, board: int) -> int:
        """Return how many workers have this line or flow."""
        words = self.words
        return sum(1 for each in words[board + 2 : board + 2 + words[1]] if each)

    def others_wait(self, key: object = None) -> bool:
        """Return whether calls of another worker wait for something; None for anything at all."""
        words = self.words
        if key is None:
            return words[STANDING] != self._standing
        mark = _mark(key)
        found = next((at for at in _places(mark) if words[at] == mark), None)
        return found is not None and sum(words[found + 2 : found + 2 + words[1]]) != words[found + 2 + self.column]

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
        self._closed = True
        self.column, self.mine = COLUMNS - 1, OWN + COLUMNS - 1
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
            words[0], words[1], words[2], words[STANDING] = boot, 1, 0, 0
        self._used = words[2]

    def _claim(self, path: Path) -> None:
        for column in range(COLUMNS - 1):
            lock = _lock(path, column)
            if lock is not None:
                self._column_file, self.column, self.mine = lock, column, OWN + column
                self._empty(column)
                with self.locked():
                    self.words[1] = max(self.words[1], column + 1)
                return
        raise OSError(f"more than {COLUMNS - 1} workers share {path}")

    def _empty(self, column: int) -> None:
        words = self.words
        with self.locked():
            words[STANDING] -= words[_HEAD + column]
            words[_HEAD + column] = 0
        for at in range(_BOARDS, _ROWS, BOARD):
            if words[at]:
                words[at + 2 + column] = 0
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


def _mark(key: object) -> int:
    return hashed(repr(key)) >> 1 or 1  # 63 bits: words have a sign


def _places(mark: int) -> Iterator[int]:
    return (_BOARDS + (mark + step) % BOARDS * BOARD for step in range(TRIES))
