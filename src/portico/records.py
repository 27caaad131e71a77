"""The line that each call leaves: written in batches by a thread, so that a slow reader delays no call.

What waits to be written is bounded. Beyond the bound lines are dropped and counted, and the count is said.
"""

import asyncio
import logging
import os
import stat
import threading
import time
from queue import SimpleQueue

import msgspec

from portico.record import Record

PIPE_ATOMIC = 4096
"""A write up to this size to a pipe is not mixed with another process's (PIPE_BUF on Linux, pipe(7))."""
FILE_BATCH = 256 * 1024
FLUSH_EVERY = 0.05
"""Seconds until a line that fills no batch is written."""
QUEUE_BYTES = 32 * 1024 * 1024

log = logging.getLogger("portico.records")


class Records:
    """Writes records as JSON lines to a file descriptor; None writes nothing.

    The batches are cut on the event loop's side, so that the thread runs next to no Python between two writes and does
    not hold the interpreter when a call needs it.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode
        self._batch: list[bytes] = []
        self._size = 0
        self._flushing: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        # Each counter has one writing thread, so neither needs a lock.
        self._queued = 0
        self._written = 0
        self._refused = 0
        self._lost = 0
        self._said = 0
        self._at_once = FILE_BATCH
        self._writer: threading.Thread | None = None
        if descriptor is not None:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                self._at_once = PIPE_ATOMIC
            self._writer = threading.Thread(target=self._write, name="records", daemon=True)
            self._writer.start()

    def __repr__(self) -> str:
        return f"<Records {self._queued - self._written} bytes waiting, {self.dropped} lines dropped>"

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._refused + self._lost

    def append(self, record: Record) -> None:
        """Queue a record."""
        if self._writer is None:
            return
        line = self._encode(record)
        size = len(line) + 1
        if self._size + size > self._at_once and self._batch:
            self._cut()
        self._batch.append(line)
        self._size += size
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_EVERY, self._flush)

    def close(self) -> None:
        """Write what is queued and stop."""
        if self._writer is None:
            return
        self._flush()
        self._queue.put(None)
        self._writer.join(timeout=5)
        self._writer = None

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._batch:
            self._cut()
        if self.dropped != self._said:
            log.warning("%d call records were dropped: their reader is too slow or gone", self.dropped - self._said)
            self._said = self.dropped

    def _cut(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        batch.append(b"")
        data = b"\n".join(batch)
        if self._queued - self._written + len(data) > QUEUE_BYTES:
            self._refused += len(batch) - 1
            return
        self._queued += len(data)
        self._queue.put(data)

    def _write(self) -> None:
        while (data := self._queue.get()) is not None:
            if not self._put(data):
                self._lost += data.count(b"\n")
            self._written += len(data)

    def _put(self, data: bytes) -> bool:
        assert self._descriptor is not None
        view = memoryview(data)
        tries = 0
        while view:
            try:
                written = os.write(self._descriptor, view)  # not within the slice: compiled, it would be done twice
                view = view[written:]
                tries = 0
            except BlockingIOError:
                # Somebody made our standard output non-blocking; its reader gets ten seconds.
                tries += 1
                if tries > 1000:
                    return False
                time.sleep(0.01)
            except OSError:
                return False
        return True
