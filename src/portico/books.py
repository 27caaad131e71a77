"""What one worker writes to: its way to the state of the machine, and its own journal, in the data directory."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from portico.config.schema import Config
from portico.errors import StateUnavailable
from portico.journal.journal import Journal
from portico.journal.segments import segments
from portico.recover import recover
from portico.secret import installation_secret
from portico.state.clock import moment
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner

TEND: Final = 1.0
"""Seconds between two looks after the state."""
WANTED: Final = "rebuild"
"""The file in the state's directory by which workers ask control to put back what budgets had counted."""
STORE: Final = "PORTICO_STORE_URL"
"""The variable that says where the store is, when not in the data directory."""

log = logging.getLogger("portico.books")


class Books:
    """A worker's owner, state, journal, and the installation's secret."""

    def __init__(self, owner: Owner, state: LmdbState, journal: Journal, secret: bytes, data_dir: Path) -> None:
        self.owner = owner
        self.state = state
        self.journal = journal
        self.secret = secret
        self._data_dir = data_dir
        self._tending: asyncio.TimerHandle | None = None
        self._recovered = True
        self._waits = False
        self.on_lost: Callable[[], None] | None = None
        """What is to be done when the state was taken away: whoever starts next makes it anew."""

    def __repr__(self) -> str:
        return f"<Books of {self.owner!r}>"

    def recover(self) -> None:
        """Charge and record the calls of workers that died; what cannot be done now is tried again later."""
        owners, journals = self._data_dir / "state" / "owners", self._data_dir / "journal"
        self._recovered = recover(self.state, owners, os.fspath(journals), moment())

    def tend(self) -> None:
        """Look after the state, now and from time to time."""
        try:
            self.state.tidy(moment())
            if not self._recovered and not self.journal.full:
                self.recover()
            if not self.state.rebuilt:
                self._wait()
        except StateUnavailable as error:
            log.error("%s", error)
            if self.state.ledger.lost and self.on_lost is not None:
                self.on_lost()
                return
        except Exception as error:  # whatever it is, all of this is done again
            log.error("the state could not be looked after", exc_info=error)
        self._tending = asyncio.get_running_loop().call_later(TEND, self.tend)

    def _wait(self) -> None:
        """Ask control for what budgets had counted before the state was made, and say so once."""
        try:
            (self._data_dir / "state" / WANTED).touch()
        except OSError as error:
            log.error("control cannot be asked to rebuild the state: %s", error.strerror)
        if not self._waits:
            self._waits = True
            log.warning(
                "the state of this machine is new: calls under a budget wait until control has put back what budgets "
                "had counted, from the store and the journal"
            )

    def close(self) -> None:
        """Leave: all is settled, and what was written is whole."""
        if self._tending is not None:
            self._tending.cancel()
        settled = self.state.settled()
        self.state.close()
        if self.journal.close() and settled:
            self.state.forget(self.owner.id)
            self.owner.bury()
        # Else the lock goes with this process, and not before: who starts next finds what is left, and nobody writes.


def open_books(data_dir: str, config: Config) -> Books:
    """Open state and journal in the data directory, as an owner of its own. Raises StateUnavailable, ConfigError."""
    folder = Path(data_dir)
    secret = installation_secret(folder)
    # Before there is a journal of one's own: where nothing was ever recorded, nothing was counted.
    first = not segments(os.fspath(folder / "journal")) and not (folder / "portico.db").exists()
    owner = Owner.new(folder / "state" / "owners")
    loop = asyncio.get_running_loop()

    def deliver(act: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(act)

    try:
        state = LmdbState(folder / "state", owner.id, size=config.server.state_size)
        owner.join(state.ledger.tag)
        if first and STORE not in os.environ and not state.rebuilt:
            state.ledger.mark_rebuilt()
        journal = Journal(os.fspath(folder / "journal"), owner.id, fsync=config.logs.fsync, deliver=deliver)
    except BaseException:
        owner.bury()
        raise
    return Books(owner, state, journal, secret, folder)
