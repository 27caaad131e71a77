"""The line that each call leaves: encoded in batches and written by a thread, so that a slow reader delays no call.

The queue is bounded. When it is full, lines are dropped and counted, and the count is said once room is back.
"""

import logging
import os
import stat
import threading
from collections import deque

import msgspec

from portico.call import Record

PIPE_ATOMIC = 4096
"""A write up to this size to a pipe is not mixed with another process's (POSIX PIPE_BUF on Linux)."""
FLUSH_EVERY = 0.05
QUEUE_BYTES = 32 * 1024 * 1024

log = logging.getLogger("portico.records")


class Records:
    """Writes records as JSON lines to a file descriptor; None writes nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode
        self._lines: deque[bytes] = deque()
        # Each counter has one writing thread, so neither needs a lock.
        self._queued = 0
        self._taken = 0
        self._refused = 0
        self._lost = 0
        self._said = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if descriptor is not None:
            mode = os.fstat(descriptor).st_mode
            self._at_once = PIPE_ATOMIC if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else 1024 * 1024
            self._thread = threading.Thread(target=self._write, name="records", daemon=True)
            self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._refused + self._lost

    def append(self, record: Record) -> None:
        """Queue a record."""
        if self._thread is None:
            return
        line = self._encode(record)
        if self._queued - self._taken + len(line) > QUEUE_BYTES:
            self._refused += 1
            return
        self._queued += len(line)
        self._lines.append(line)

    def close(self) -> None:
        """Write what is queued and stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def _write(self) -> None:
        while not self._stop.wait(FLUSH_EVERY):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        assert self._descriptor is not None
        while self._lines:
            batch: list[bytes] = []
            size = 0
            while self._lines and (not batch or size + len(self._lines[0]) + 1 <= self._at_once):
                line = self._lines.popleft()
                batch.append(line)
                size += len(line) + 1
            batch.append(b"")
            self._taken += size - len(batch) + 1
            if not self._put(b"\n".join(batch)):
                self._lost += len(batch) - 1
        if self.dropped != self._said:
            log.warning("%d call records were dropped: their reader is too slow or gone", self.dropped - self._said)
            self._said = self.dropped

    def _put(self, data: bytes) -> bool:
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                if self._stop.wait(0.01):
                    return False
            except OSError:
                return False
        return True
