"""Flushing to the disk itself, in a thread, many calls at a time: what survives the loss of power."""

import logging
import os
import threading
from collections.abc import Callable
from functools import partial

Done = Callable[[OSError | None], None]
Deliver = Callable[[Callable[[], None]], object]

log = logging.getLogger("portico.journal")


class Syncing:
    """One thread that syncs one file at a time, and says so to all who waited for what was written before.

    A file that is handed over for closing is synced first. `deliver` runs what is to be said: on an event loop,
    `call_soon_threadsafe`; without one, it is said in the thread. After an error those who waited are told of it: the
    system does not say what of a file is on the disk then, and syncing again proves nothing.
    """

    def __init__(self, deliver: Deliver | None = None) -> None:
        self._deliver = deliver
        self._changed = threading.Condition()
        self._waiting: list[Done] = []
        self._current: int | None = None
        self._leaving: list[int] = []
        self._stopped = False
        self._syncer = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._syncer.start()

    def write_to(self, descriptor: int | None, directory: str) -> None:
        """From now on what is written goes to this file; the one before is synced and closed."""
        if descriptor is not None:
            # the entry of a new file in its directory has to survive too
            listing = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
            with self._changed:
                self._leaving.append(listing)
        with self._changed:
            if self._current is not None:
                self._leaving.append(self._current)
            self._current = descriptor
            self._changed.notify()

    def after(self, done: Done) -> None:
        """Call `done` once everything written so far is on the disk."""
        with self._changed:
            self._waiting.append(done)
            self._changed.notify()

    def close(self) -> None:
        """Sync what there is, close all files, and stop."""
        with self._changed:
            if self._current is not None:
                self._leaving.append(self._current)
                self._current = None
            self._stopped = True
            self._changed.notify()
        self._syncer.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._leaving or self._stopped):
                    self._changed.wait()
                waiting, self._waiting = self._waiting, []
                leaving, self._leaving = self._leaving, []
                # our own, so that it cannot be closed under us
                current = os.dup(self._current) if self._current is not None and waiting else None
                stopped = self._stopped
            if current is not None:
                leaving.append(current)
            failure = self._sync(leaving)
            for done in waiting:
                if self._deliver is None:
                    done(failure)
                else:
                    self._deliver(partial(done, failure))
            if stopped:
                return

    @staticmethod
    def _sync(descriptors: list[int]) -> OSError | None:
        """Sync and close these."""
        failure = None
        for descriptor in descriptors:
            try:
                os.fsync(descriptor)
            except OSError as error:
                log.error("the journal cannot be synced: %s", error)
                failure = error
            os.close(descriptor)
        return failure
