"""State shared by the processes of one machine, in LMDB: what came together in a tick is one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import lmdb

from portico.errors import StateFull, StateUnavailable
from portico.rules import Applied, Bound
from portico.state.asking import bring_in
from portico.state.books import QUIET, UNUSED
from portico.state.contract import (
    ANY_TIME,
    Admission,
    Asker,
    Counter,
    Moment,
    Orphan,
    Owned,
    Passed,
    Permit,
    Refusal,
    Scope,
    Settled,
    Used,
)
from portico.state.flights import Flight, Flights, left_behind
from portico.state.keys import Keys
from portico.state.ledger import Asked, Ledger
from portico.state.objects import Objects
from portico.state.supplies import Supplies

SIZE: Final = 256 << 20  # bytes of the money file, all of them taken from the disk at once
_RETRY: Final = 0.05  # seconds until settlements are tried again for which there was no room

Done = Callable[[Settled], None]
Ending = tuple[Permit, Used, Moment, Done | None]
Admitting = Asked[Asker]
Landing = tuple[Permit, Flight, Done | None]
Extending = tuple[Permit, Bound, Moment, tuple[Scope, ...], Bound, "asyncio.Future[Refusal | None]"]


class LmdbState:
    """One owner's way to the state of its machine. All of it runs on one loop, in one thread.

    Admissions, extensions and settlements are gathered until the loop has handled what it is handling. Then
    `before_settling` is called (the journal writes the records of the calls to be settled), all of it is committed at
    once, and only then is anybody answered.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        *,
        size: int = SIZE,
        inode: int | None = None,
        boot: str | None = None,
    ) -> None:
        self.owner = owner
        self.before_settling: Callable[[], None] | None = None
        self.when_passed: Callable[[Sequence[Passed]], None] | None = None
        with ExitStack() as opened:  # all three are open, or none
            self.ledger = Ledger(folder / "money", owner, size, inode=inode, boot=boot)
            opened.callback(self.ledger.close)
            self.keys = Keys(folder / "keys", boot=boot)
            opened.callback(self.keys.close)
            self.objects = Objects(folder / "objects")
            opened.pop_all()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._admitting: list[Admitting] = []
        self._extending: list[Extending] = []
        self._ending: list[Ending] = []
        self._landing: list[Landing] = []
        self._due = False
        self._places = folder / "flights"
        self._flights: Flights | None = None
        self._grounded = False  # there is no room for them
        self._rebuilt = False
        # Bound once: these are on the path of every call.
        self.holder = self.keys.holder
        self._stamp = self.keys.stamp

    @property
    def rebuilt(self) -> bool:
        """Whether what budgets had counted before the file was made is in it."""
        if not self._rebuilt:
            self._rebuilt = self.ledger.rebuilt
        return self._rebuilt

    # Calls

    def begin(self, call_id: str, about: bytes) -> Permit | None:
        """Give a call without scopes its permit, at once; None where it has to be asked for (`admit`)."""
        flights = self._flights
        if flights is None:
            flights = self._take_off()
        return None if flights is None or self.ledger.lost else flights.begin(call_id, about)

    def _take_off(self) -> Flights | None:
        if not self._grounded:
            try:
                self._flights = Flights(self._places / self.owner, self.ledger.tag)
            except OSError:
                self._grounded = True  # they are kept in the books, which have their room already
        return self._flights

    def admit(self, admission: Admission) -> Awaitable[Permit | Refusal]:
        """Reserve the bound in every scope, or in none. Raises StateFull, StateUnavailable."""
        answer: asyncio.Future[Permit | Refusal] = (self._loop or self._running()).create_future()
        self.ask(admission, answer)
        return answer

    def ask(self, admission: Admission, asker: Asker) -> None:
        """Reserve the bound in every scope, or in none, and tell it to who asks."""
        self._admitting.append(self.ledger.prepare(asker, admission))
        if not self._due:
            self._due = True
            (self._loop or self._running()).call_soon(self._flush)

    def extend(
        self,
        permit: Permit,
        bound: Bound,
        at: Moment,
        scopes: tuple[Scope, ...] = (),
        fresh: Bound | None = None,
    ) -> Awaitable[Refusal | None]:
        """Reserve more for what may be billed again, in the permit's scopes and in new ones; all of it or none."""
        if isinstance(permit.token, Flight):
            assert self._flights is not None
            return bring_in(self, self._flights, permit, permit.token, scopes, fresh or bound, at)
        loop = self._loop or self._running()
        answer: asyncio.Future[Refusal | None] = loop.create_future()
        self._extending.append((permit, bound, at, scopes, fresh or bound, answer))
        if not self._due:
            self._due = True
            loop.call_soon(self._flush)
        return answer

    def settle(self, permit: Permit, used: Used, at: Moment, done: Done | None = None) -> None:
        """Put true usage in the place of what was reserved; `done` is called once that is in the books."""
        if permit.token.__class__ is Flight:
            self.release(permit, at, done)
            return
        self._ending.append((permit, used if permit.scopes or permit.token is None else UNUSED, at, done))
        if not self._due:
            self._due = True
            (self._loop or self._running()).call_soon(self._flush)

    def release(self, permit: Permit, at: Moment, done: Done | None = None) -> None:
        """Give everything back: nothing was asked of any provider, and the request does not count."""
        token = permit.token
        if token.__class__ is Flight:
            self._landing.append((permit, token, done))
        else:
            self._ending.append((permit, UNUSED, at, done))
        if not self._due:
            self._due = True
            (self._loop or self._running()).call_soon(self._flush)

    def finish(self, job: str, used: Used, at: Moment) -> Settled:
        """Put what a job did use in the place of what is reserved under its name: once."""
        self._flush()  # its call may be waiting to be settled
        return self.ledger.finish(job, used, at)

    def adopt(self, call_id: str, job: str, at: Moment) -> None:
        """Reserve for a job what its call was charged that died with its worker, after it had started the job."""
        self.ledger.adopt(call_id, job, at)

    def carry(self, job: str, scopes: tuple[Scope, ...], bound: Bound, when: int, at: Moment) -> None:
        """Reserve again for a job, whose state was lost; `when` is its start, in ns since the epoch."""
        self.ledger.carry(job, scopes, bound, when, at)

    def jobs(self) -> list[str]:
        """Return the names of jobs for which something is reserved."""
        return self.ledger.jobs()

    def renew(self, permits: Sequence[Permit], at: Moment) -> None:
        """Do nothing: on one machine a permit lives as long as the process that locks its owner's file."""

    def flush(self) -> None:
        """Book what is waiting now, for who leaves."""
        self._flush()

    def _running(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _flush(self) -> None:
        self._due = False
        ending, self._ending = self._ending, []
        landing, self._landing = self._landing, []
        if (ending or landing) and self.before_settling is not None:
            try:
                self.before_settling()
            except Exception as error:  # whatever it is: no call is settled that is not recorded
                self._report("the journal could not be written; settlements wait for it", error)
                self._landing[:0] = landing
                self._later(ending)
                ending, landing = [], []
        if landing:
            self._land(landing)
        admitting, self._admitting = self._admitting, []
        extending, self._extending = self._extending, []
        if not (ending or admitting or extending):
            return
        ledger = self.ledger
        if ledger.tight and (admitting or extending):
            self._refuse(admitting, extending, StateFull("the state has no room for another call"))
            admitting, extending = [], []
        extended: list[Refusal | StateUnavailable | None] = []
        admitted: list[Refusal | Permit] = []
        try:
            with ledger.writing():
                settled = ledger.end(ending)
                for held, bound, when, scopes, fresh, waiting in extending:
                    extended.append(None if waiting.done() else ledger.extend(held, bound, when, scopes, fresh))
                if admitting:
                    admitting = [one for one in admitting if not one[0].done()]  # who gave up, asks for nothing
                    admitted = ledger.admit(admitting)
        except (lmdb.Error, OSError, StateUnavailable) as error:
            if isinstance(error, StateFull) and len(ending) + len(admitting) + len(extending) > 1:
                self._apart(ending, admitting, extending, error)  # it is one row that has no room
            else:
                self._failed(ending, admitting, extending, error)
            return
        except Exception as error:  # one call that cannot be booked must not take the others with it
            self._apart(ending, admitting, extending, error)
            return
        for at, asked in enumerate(admitting):
            asked[0].set_result(admitted[at])
        for (*_, waiting), refusal in zip(extending, extended, strict=True):
            if waiting.done():
                continue
            if isinstance(refusal, StateUnavailable):
                waiting.set_exception(refusal)
            else:
                waiting.set_result(refusal)
        for at, (_, _, _, done) in enumerate(ending):
            outcome = settled[at]
            try:
                if outcome is not QUIET and outcome.passed and self.when_passed is not None:
                    self.when_passed(outcome.passed)
                if done is not None:
                    done(outcome)
            except Exception as error:  # the next one is to hear of its own
                self._report("what follows a settlement failed", error)

    def _land(self, landing: list[Landing]) -> None:
        """Strike out calls that are recorded. One that has started a job leaves it its name in the books."""
        flights = self._flights
        assert flights is not None
        for landed, flight, done in landing:
            if landed.onward is not None:
                try:
                    self.ledger.carry(landed.onward, (), landed.bound, 0, ANY_TIME)
                except (lmdb.Error, OSError, StateUnavailable) as error:
                    self._report("a job could not be booked; it is tried again", error)
                    self._landing.append((landed, flight, done))
                    self._later([])
                    continue
            flights.end(flight)
            if done is not None:
                self._tell(done, QUIET)

    def _tell(self, done: Done, outcome: Settled) -> None:
        try:
            done(outcome)
        except Exception as error:  # the next one is to hear of its own
            self._report("what follows a settlement failed", error)

    def _failed(
        self, ending: list[Ending], admitting: list[Admitting], extending: list[Extending], error: Exception
    ) -> None:
        """Refuse who asks to go on, as nothing can be written; what is to be settled waits, apart from the others."""
        refusal: StateUnavailable
        if isinstance(error, StateUnavailable):
            refusal = error
        elif isinstance(error, lmdb.MapFullError):
            refusal = StateFull("the state has no room for another call")
        else:
            refusal = StateUnavailable(f"the state cannot be written: {error}")
        self._refuse(admitting, extending, refusal)
        if self.ledger.lost:  # their records are written: whoever makes the state anew counts them from there
            for _, _, _, done in ending:
                if done is not None:
                    self._tell(done, QUIET)
        elif ending and (admitting or extending):
            self._ending[:0] = ending
            self._flush()
        elif ending:
            self._later(ending)

    def _refuse(self, admitting: list[Admitting], extending: list[Extending], error: StateUnavailable) -> None:
        for answer in _answers(admitting, extending):
            if not answer.done():
                answer.set_exception(error)

    def _later(self, ending: list[Ending]) -> None:
        self._ending[:0] = ending
        if not self._due:
            self._due = True
            (self._loop or self._running()).call_later(_RETRY, self._flush)

    def _apart(
        self, ending: list[Ending], admitting: list[Admitting], extending: list[Extending], error: Exception
    ) -> None:
        """Book each of these by itself, so that the one at fault fails alone."""
        if len(ending) + len(admitting) + len(extending) > 1:
            hook, self.before_settling = self.before_settling, None  # their records are written
            due, queues = self._due, (self._ending, self._admitting, self._extending, self._landing)
            for kind, waiting in (("ending", ending), ("extending", extending), ("admitting", admitting)):
                for one in waiting:
                    self._ending, self._admitting, self._extending, self._landing, self._due = [], [], [], [], True
                    getattr(self, f"_{kind}").append(one)
                    self._flush()
                    # What there is no room for yet, and what others began when they were answered.
                    for queue, more in zip(
                        queues, (self._ending, self._admitting, self._extending, self._landing), strict=True
                    ):
                        queue.extend(more)  # type: ignore[attr-defined]  # of its own kind
            self._ending, self._admitting, self._extending, self._landing = queues
            self._due, self.before_settling = due, hook
            if any(queues):
                self._later([])
            return
        for answer in _answers(admitting, extending):
            if not answer.done():
                answer.set_exception(error)
        for ended, _, _, done in ending:
            self._report(f"call {ended.call_id!r} could not be settled", error)
            if done is not None:
                self._tell(done, QUIET)

    def _report(self, message: str, error: Exception) -> None:
        (self._loop or self._running()).call_exception_handler({"message": message, "exception": error})

    def expire(self, owner: str, at: Moment) -> list[Orphan]:
        """Settle every permit of a dead owner at its bound. Settling one of them later replaces what was assumed."""
        found = self.ledger.expire(owner, at)
        booked = {orphan.call_id for orphan in found}
        # One that came under rules when it fell back may stand in both, and is then what the books say.
        return found + [one for one in left_behind(self._places / owner, self.ledger.tag) if one.call_id not in booked]

    def forget(self, owner: str) -> None:
        """Let go of what is known of the calls of an owner: all of them are recorded."""
        (self._places / owner).unlink(missing_ok=True)

    def tidy(self, at: Moment) -> None:
        """Do what has to be done every second. Raises StateUnavailable where the file is not the others' any more."""
        self.keys.tidy()
        self.objects.tidy()
        self.ledger.tidy(at)

    # Counters

    def counters(self, rows: Sequence[str], at: Moment) -> list[Counter]:
        """Return what the rules of these rows have counted."""
        return self.ledger.counters(rows, at)

    def reopen(self, row: str, rule_id: str) -> None:
        """Open a scope again that was closed because a call used more than its bound."""
        self.ledger.reopen(row, rule_id)

    def charge(self, spent: Iterable[tuple[Scope, Used, int]], at: Moment) -> None:
        """Count what was used before the file was made: for each scope, what, and when (in ns by the wall clock).

        Control calls this when it rebuilds the state from journal and store, and then `ledger.mark_rebuilt`.
        """
        self.ledger.charge(spent, at)

    # Keys

    def rules(self) -> Sequence[Applied]:
        """Return the rules in force that control has put here."""
        return self.keys.rules()

    def supplies(self) -> Supplies:
        """Return the prices and keys of providers that control has put here."""
        return self.keys.supplies()

    @property
    def version(self) -> int:
        """The version of the key snapshot: higher after every change, in every worker before its next call."""
        return self._stamp[0]

    # Objects

    def own(self, thing: Owned) -> Awaitable[None]:
        """Remember an object durably: it is on disk once the answer is there."""
        return self.objects.own(thing)

    def owned(self, id: str) -> Owned | None:  # noqa: A002  # the word of every API
        """Return whose an object is."""
        return self.objects.owned(id)

    def disown(self, id: str) -> Awaitable[None]:  # noqa: A002
        """Forget an object that is no more."""
        return self.objects.disown(id)

    def owned_by(self, tenant: str, kind: str, after: str = "", limit: int = 100) -> list[Owned]:
        """Return a tenant's objects of a kind, newest first, from the one after `after` on."""
        return self.objects.owned_by(tenant, kind, after, limit)

    @property
    def waiting(self) -> bool:
        """Whether settlements wait that could not be booked yet."""
        return bool(self._ending or self._landing)

    def settled(self) -> bool:
        """Book what is waiting, and say whether no call of this owner is open in the books any more."""
        self._flush()
        return not self.waiting and not self._flights and not self.ledger.holds()

    def close(self) -> None:
        """Book what is waiting, and close the files."""
        self._flush()
        if self._flights is not None:
            self._flights.close()
            self._flights = None
        self._grounded = True
        self.ledger.close()
        self.keys.close()
        self.objects.close()


def _answers(admitting: list[Admitting], extending: list[Extending]) -> "list[Asker | asyncio.Future[Any]]":
    return [*(one[0] for one in admitting), *(one[-1] for one in extending)]
