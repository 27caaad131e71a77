"""The journal into the store: a thread that reads on in every segment, and lets go of what is old.

What loads SQLAlchemy is loaded when there is something to read. While the store is down nothing is lost and nothing is
held: offsets stay where they are, and the thread asks again later, less and less often.
"""

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from portico.journal.entries import Entry
from portico.journal.frames import HEADER, NotASegment
from portico.journal.reader import Tally, blank, read
from portico.journal.segments import Segment, segments

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from portico.control.admin import Admin
    from portico.store.dimensions import Names
    from portico.store.ingest import Counts, Piece
    from portico.store.retention import Keep

AT_ONCE = 10_000
"""Entries in one transaction, at most: about a second's work."""
CAREFUL = (AT_ONCE, 100, 1)
"""How many are tried at once after an entry was refused by the store, until it is found and passed over."""
SOON, LATE = 0.1, 1.0
"""Seconds between two looks: after something was found, and when nothing was for a while."""
AGAIN, AGAIN_AT_MOST = 0.5, 10.0
"""Seconds until a store that is down is tried again."""
GARBAGE = (100_000, 20, 20)
TIDY_EVERY = 600.0
TIDY_AT_REST_EVERY = 86_400.0
"""How often old things are let go of where the store is not open, which makes this process larger."""
QUIET = 10.0
"""Seconds without a write after which the last segment of an owner that has no lock file is complete."""
CAREFUL_FOR = 100
CROWDED = 2.0
"""How many times what it worked a turn may take, before it is taken to be in somebody's way."""
YIELD = 100.0
"""How many times what such a turn took is left to others, but for no longer than"""
YIELD_AT_MOST = 10.0
FEW = 500
"""Entries in the first transaction of many, and after each that was in somebody's way: what others notice is short."""
SHARE = 0.1
"""Of the time for which nobody was in the way, how long the next one may take: who comes in the midst of it waits less
than who had been away."""
PROBE = 0.004
"""Seconds of work that tell whether the core is free, before half a second goes into opening the store."""
PATIENCE = 60.0
"""Seconds behind from which on nobody is let past any more."""
NICE = 10

log = logging.getLogger("portico.ingest")


class Lag(NamedTuple):
    """How far the store is behind the journal: in bytes, and in seconds since it was last up to date.

    `trouble` is why, where the store cannot be written to.
    """

    size: int
    seconds: float
    trouble: str | None


class _Open(NamedTuple):
    """What there is once the store has been needed."""

    engine: "Engine"
    names: "Names"


class Ingest:
    """Reads the journal under a data directory into the store at a URL; by default on SQLite, beside the journal.

    `start` runs it in a thread of its own; `turn` is one look, for who has another thread. `admin` says what bounds
    calls: what budgets count of those that are let go of is kept.
    """

    def __init__(
        self,
        data_dir: Path,
        url: str | None = None,
        *,
        keep: "Keep | None" = None,
        admin: "Callable[[], Admin] | None" = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._journal = str(data_dir / "journal")
        self._owners = data_dir / "state" / "owners"
        self._url = url or f"sqlite:///{data_dir.absolute() / 'portico.db'}"
        self._keep = keep
        self._admin = admin
        self._clock = clock
        self._wall = wall
        self._open: _Open | None = None
        self._done_to: dict[str, int] = {}
        self._whole: set[str] = set()
        self._care = self._careful_for = 0
        self._caught_up = clock()
        self._read_to = float("-inf")
        self._behind = 0
        self._trouble: str | None = None
        self._tidied = clock()
        self._leave = threading.Event()
        self._turning = threading.Lock()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Ingest of {self._journal}, {self._behind} bytes behind>"

    @property
    def lag(self) -> Lag:
        """How far the store is behind."""
        return Lag(self._behind, self._clock() - self._caught_up if self._behind else 0.0, self._trouble)

    def reads_since(self, when: float) -> bool:
        """Whether all that was in the journal at this time of the clock is in the store."""
        return self._read_to >= when

    def now(self) -> float:
        """Return the time of the clock."""
        return self._clock()

    def start(self) -> None:
        """Begin to read, in a thread."""
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._thread.start()

    def stop(self, within: float = 5.0) -> None:
        """Stop after the transaction under way, if that ends within so many seconds; it is whole or not at all."""
        self._leave.set()
        if self._thread is not None:
            self._thread.join(within)
            if self._thread.is_alive():
                return
            self._thread = None
        if self._turning.acquire(timeout=within):
            try:
                self._shut()
            finally:
                self._turning.release()

    def help(self) -> None:
        """Read on in the caller's thread, who waits for it, unless another is at it.

        The own thread has the least claim to a core, and stands back for calls: who waits for it may wait for long.
        """
        if self._turning.acquire(blocking=False):
            try:
                if not self._leave.is_set():
                    self._turn()
            finally:
                self._turning.release()

    def turn(self, at_most: int = AT_ONCE) -> bool:
        """Read on once; return whether there is more. Raises what the store raises; then nothing has moved."""
        with self._turning:
            return self._turn(at_most)

    def _turn(self, at_most: int = AT_ONCE) -> bool:
        began = self._clock()
        there = segments(self._journal)
        closed = self._closed(there)
        waiting = self._waiting(there, closed)
        if waiting and self._open is None:
            self._open = self._opened()
            waiting = self._waiting(there, closed)
        limit = CAREFUL[self._care]
        pieces, more = self._gather(waiting, closed, min(limit, at_most))
        if pieces:
            self._apply(pieces)
        if not more:
            self._caught_up = self._clock()
            self._read_to = began
        self._waiting(there, closed)
        return more

    def tidy(self) -> list[str]:
        """Let go of rows, sums, events and segments that are too old; return the names of the segments."""
        from portico.store.retention import Keep, outlived, prune, remove_segments

        with self._turning:
            if self._open is None:
                self._open = self._opened()
            keep = self._keep or Keep()
            now = int(self._wall())
            leaving = None
            if self._admin is not None and outlived(self._open.engine, keep, now):
                from portico.control.carrying import Carrying

                leaving = Carrying(self._admin(), now)
            prune(self._open.engine, keep, now, leaving)
            gone = remove_segments(self._open.engine, self._journal, keep, now, self._living())
            for name in gone:
                self._whole.discard(name)
                self._done_to.pop(name, None)
            return gone

    # the thread

    def _run(self) -> None:
        if hasattr(os, "setpriority"):  # Linux gives each thread its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        pause = SOON
        again = AGAIN
        at_once = FEW
        alone = time.perf_counter()  # since then
        while not self._leave.is_set():
            try:
                if self._open is None and (back := self._in_the_way()):
                    self._leave.wait(back)
                    continue
                began, worked = time.perf_counter(), time.thread_time()
                more = self.turn(at_once)
                every = TIDY_EVERY if self._open is not None else TIDY_AT_REST_EVERY
                if not more and self._clock() - self._tidied >= every:
                    self._tidied = self._clock()
                    self.tidy()
            except Exception as error:  # whatever it is, what waits in the journal is not lost
                self._complain(error)
                self._leave.wait(again)
                again = min(again * 2, AGAIN_AT_MOST)
                continue
            if self._trouble is not None:
                log.warning("the store can be written to again")
                self._trouble = None
            again = AGAIN
            pause = SOON if more else min(pause * 1.5, LATE)
            wait = 0.0 if more else pause
            now = time.perf_counter()
            took, worked = now - began, time.thread_time() - worked
            back = stand_back(took, worked, self.lag.seconds)
            if back:
                alone = now + back
            at_once = as_many(at_once, took, now - alone) if more else FEW
            wait = max(wait, back)
            if wait:
                self._leave.wait(wait)
        self._shut()

    def _in_the_way(self) -> float:
        """Return the seconds to leave to others before the store is opened, which takes half a second of work."""
        there = segments(self._journal)
        if not self._waiting(there, self._closed(there)):
            self._caught_up = self._clock()
            return 0.0
        began, worked = time.perf_counter(), time.thread_time()
        while time.thread_time() - worked < PROBE:
            pass
        return stand_back(time.perf_counter() - began, time.thread_time() - worked, self.lag.seconds)

    def _complain(self, error: Exception) -> None:
        trouble = brief(error)
        if trouble != self._trouble:
            log.error("the journal waits, the store cannot be written to: %s", trouble)
        self._trouble = trouble

    def _opened(self) -> _Open:
        from sqlalchemy import select

        from portico.store.dimensions import Names
        from portico.store.engine import make_engine
        from portico.store.migrate import upgrade
        from portico.store.tables import segments as known

        engine = make_engine(self._url, maps=False)  # writing is as fast without
        try:
            upgrade(engine, apart=True)
            with engine.connect() as connection:
                for row in connection.execute(select(known.c.name, known.c.done_to, known.c.whole)):
                    self._done_to[row.name] = row.done_to
                    if row.whole:
                        self._whole.add(row.name)
        except BaseException:
            engine.dispose()
            raise
        # a transaction makes hundreds of thousands of short-lived tuples, none of them in a cycle: looking for cycles
        # among them, and among all that was just loaded, took a seventh of the time
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        return _Open(engine, Names())

    def _shut(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.engine.dispose()

    # segments

    def _living(self) -> set[str]:
        """Return the owners that have not been cleared up after: their lock files are there."""
        try:
            return {path.name for path in self._owners.iterdir()}
        except FileNotFoundError:
            return set()

    def _closed(self, there: Sequence[Segment]) -> set[str]:
        """Return the segments to which nothing will be added: that have a successor, or whose owner is cleared up."""
        living = self._living()
        last = {segment.owner: segment.name for segment in there}
        return {
            segment.name
            for segment in there
            if last[segment.owner] != segment.name
            or (segment.owner not in living and self._wall() - _stat(segment.path)[1] > QUIET)
        }

    def _waiting(self, there: Sequence[Segment], closed: set[str]) -> list[Segment]:
        """Return the segments that may have more, and say how much that is."""
        last = {segment.owner: segment.name for segment in there}
        waiting = []
        behind = 0
        for segment in there:
            whole = segment.name in self._whole
            if whole and last[segment.owner] != segment.name:
                continue
            size = _stat(segment.path)[0] - self._done_to.get(segment.name, 0)
            if size > 0 or (segment.name in closed and not whole):
                waiting.append(segment)
                behind += max(size, 0)
        self._behind = behind
        return waiting

    def _gather(self, waiting: Sequence[Segment], closed: set[str], limit: int) -> "tuple[list[Piece], bool]":
        """Read on in the segments, up to `limit` entries in all; return what was read and whether there is more."""
        pieces = []
        share = max(limit // max(len(waiting), 1), 1)
        more = False
        for segment in waiting:
            if limit <= 0:
                more = True
                break
            piece, rest = self._read(segment, segment.name in closed, min(share, limit))
            more = more or rest
            if piece is not None:
                pieces.append(piece)
                limit -= len(piece.entries)
        return pieces, more

    def _read(self, segment: Segment, closed: bool, limit: int) -> "tuple[Piece | None, bool]":
        from portico.store.ingest import Piece

        begin = self._done_to.get(segment.name, 0)
        tally = Tally()
        entries: list[Entry] = []
        end = begin
        try:
            for after, entry in islice(read(segment.path, begin, tally), limit):
                entries.append(entry)
                end = after
        except FileNotFoundError:
            return None, False  # removed by hand, or by another that shares the store
        except NotASegment as error:
            if not closed:
                return None, False  # its header is being written
            size = _stat(segment.path)[0]
            if size:  # who is killed before the header leaves an empty file, and nothing is lost
                log.error("a segment of the journal is lost: %s: %s", segment.name, error)
            return Piece(segment.name, segment.owner, begin, size, whole=True, damaged=int(size > 0), lost=size), False
        if len(entries) == limit:
            return Piece(segment.name, segment.owner, begin, end, entries, False, tally.damaged, tally.lost), True
        torn = tally.rest if closed and tally.rest and not blank(segment.path, max(end, HEADER.size)) else 0
        if torn:
            log.warning("the end of %s is torn: %d bytes are not in the store", segment.name, torn)
        if closed:
            end = max(end, _stat(segment.path)[0])  # so that it is seen if it grows against all expectation
        elif not entries:
            return None, False
        return (
            Piece(
                segment.name,
                segment.owner,
                begin,
                end,
                entries,
                closed,
                tally.damaged + (torn > 0),
                tally.lost + torn,
            ),
            False,
        )

    # the store

    def _apply(self, pieces: "list[Piece]") -> None:
        from sqlalchemy.exc import DataError, IntegrityError

        from portico.store.ingest import Moved

        try:
            self._write(pieces)
        except Moved:
            self._shut()  # the next turn asks the store where it is
            self._done_to.clear()
            self._whole.clear()
            return
        except (DataError, IntegrityError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            if not any(piece.entries for piece in pieces):
                raise
            self._find(pieces, error)
            return
        if self._care:
            self._careful_for -= 1
            if self._careful_for <= 0:
                self._care -= 1
                self._careful_for = CAREFUL_FOR

    def _write(self, pieces: "list[Piece]") -> "Counts":
        from portico.store.engine import writing
        from portico.store.ingest import apply

        assert self._open is not None
        engine, names = self._open
        try:
            with writing(engine).begin() as connection:
                counts = apply(connection, names, pieces)
        except BaseException:
            names.rolled_back()
            raise
        names.committed()
        for piece in pieces:
            self._done_to[piece.name] = piece.end
            if piece.whole:
                self._whole.add(piece.name)
        return counts

    def _find(self, pieces: "list[Piece]", error: Exception) -> None:
        """Look for an entry that the store refuses with fewer of them; pass it over once it is alone."""
        self._careful_for = CAREFUL_FOR
        if self._care < len(CAREFUL) - 1:
            self._care += 1
            return
        from portico.store.ingest import Piece

        (piece,) = [piece for piece in pieces if piece.entries][:1]
        (entry,) = piece.entries
        where = f"{piece.name} at {entry.start}"
        log.error("an entry is not in the store, which refuses it: %s: %s", where, brief(error))
        size = entry.end - entry.start
        self._write(
            [Piece(piece.name, piece.owner, piece.begin, piece.end, (), False, 1 + piece.damaged, size + piece.lost)]
        )


def stand_back(took: float, worked: float, behind: float) -> float:
    """Return the seconds to leave to others after a turn that took so long, of which so much was work.

    Calls go before their records: where the core is wanted by somebody else, they wait, until too far `behind`.
    """
    if took <= CROWDED * worked or behind >= PATIENCE:
        return 0.0
    return min(YIELD * took, YIELD_AT_MOST)


def as_many(at_once: int, took: float, alone: float) -> int:
    """Return how many entries the next transaction may have, after one of so many, with nobody in the way so long."""
    return max(FEW, min(AT_ONCE, int(at_once * SHARE * alone / took)))


def brief(error: Exception) -> str:
    """Return what an error is, without the statement that it is of."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _stat(path: str) -> tuple[int, float]:
    """Return the size of a file, and when it was last written to; of one that is gone, nothing and never."""
    try:
        found = os.stat(path)  # noqa: PTH116  # a path as the listing gave it
    except FileNotFoundError:
        return 0, 0.0
    return found.st_size, found.st_mtime
