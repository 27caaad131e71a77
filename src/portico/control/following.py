"""Jobs that calls have started, followed to their end: asked about, counted, settled and recorded, each of them once.

A job that has ended is first remembered with its record; then the record is journaled, what the job has reserved is
settled, and the job is forgotten. Whoever is killed in between goes on from there: the store takes a record once, and
so do the books. Nothing is done while what budgets had counted is being put back.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from portico import jobs
from portico.control.admin import Admin
from portico.control.counting import Asking
from portico.control.ingest import brief
from portico.control.state import OnState
from portico.errors import JournalFull, NotFound, StateUnavailable
from portico.jobs import Job
from portico.journal.entries import decode_record, encode
from portico.journal.journal import Journal
from portico.secret import installation_secret
from portico.stages.settle import event_of
from portico.state.clock import moment
from portico.state.contract import Owned, Settled
from portico.state.objects import Objects
from portico.state.owner import Owner
from portico.state.supplies import Supplies
from portico.wire.client import Client

FIRST: Final = {
    "responses": 2.0, "batches": 5.0, "message_batches": 5.0, "gemini_batches": 5.0, "fine_tuning": 30.0,
}  # fmt: skip
"""Seconds until a job is asked about for the first time; from then on half as many again each time."""
LONGEST: Final = {
    "responses": 30.0, "batches": 300.0, "message_batches": 300.0, "gemini_batches": 300.0, "fine_tuning": 600.0,
}  # fmt: skip
GROWS: Final = 1.5
HOUR: Final = 3600.0
LIFETIMES: Final = {
    "responses": 48 * HOUR,
    "batches": 72 * HOUR,
    "message_batches": 48 * HOUR,
    "gemini_batches": 96 * HOUR,
    "fine_tuning": 720 * HOUR,
}
"""Seconds after which a job that was not seen to end is taken to have used its bound. Batches are given 24 hours by
their providers (Gemini's expire after 48), and end some time after that; a fine-tuning job may wait for weeks."""
MISSES: Final = 3
"""Times in a row that a provider must say that it does not know a job."""
AT_ONCE: Final = 8
"""Jobs that are asked about at the same time."""
A_TURN: Final = 32
"""Jobs that are asked about in one turn."""
RESERVE: Final = 64 * 1024
"""Bytes of a full disk that are kept for records of jobs."""

log = logging.getLogger("portico.jobs")


class _Due:
    """When a job is asked about next, how often it was, and how often its provider did not know it."""

    __slots__ = ("at", "missed", "tries")

    def __init__(self, at: float) -> None:
        self.at = at
        self.tries = 0
        self.missed = 0


class Following:
    """Follows the jobs of an installation. `opened` opens the store and the way to state, when there is a first job.

    `clock` is monotonic, `wall` says the time of day; both in seconds. `draw` is a number from 0 to 1.
    """

    def __init__(
        self,
        data_dir: Path,
        objects: Objects,
        opened: Callable[[], Awaitable[Admin]],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._data_dir = data_dir
        self._opened = opened
        self._clock = clock
        self._wall = wall
        self._draw = draw
        self._objects = objects
        self._known: dict[str, tuple[Owned, Job]] = {}
        self._hurried: set[str] = set()
        self._schedule: dict[str, _Due] = {}
        self._changes = -1
        self._client: Client | None = None
        self._asking: tuple[object, Supplies, Asking] | None = None
        self._owner: Owner | None = None
        self._journal: Journal | None = None
        self._durable = False
        self._told: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Following {len(self._known)} jobs>"

    async def turn(self) -> int:
        """Do what is due now; return how many jobs were closed. Raises what hinders the store from being opened."""
        self._look()
        if not self._known:
            self._rest()
            return 0
        now = self._clock()
        due = [place for place, when in self._schedule.items() if when.at <= now or place in self._hurried]
        due = sorted(due, key=lambda place: self._schedule[place].at)[:A_TURN]
        if not due:
            return 0
        admin = await self._opened()
        state = admin.snapshot
        assert isinstance(state, OnState)
        held = await asyncio.to_thread(self._held, state)
        if held is None:
            return 0
        gate = asyncio.Semaphore(AT_ONCE)
        asking = self._asker(admin, state)
        self._durable = admin.config.logs.fsync == "group"

        async def one(place: str) -> bool:
            async with gate:
                return await self._see(state, asking, held, place)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(place)) for place in due]
        return sum(task.result() for task in tasks)

    async def close(self) -> None:
        """Leave: what is under way is found again."""
        self._rest()
        if self._client is not None:
            await self._client.close()

    # what there is

    def _look(self) -> None:
        """See what has come and gone since the last time."""
        changes = self._objects.changes
        if changes == self._changes:
            return
        self._changes = changes
        found = self._objects.owned_by("", "job", "", jobs.MOST)
        self._known = {thing.id: (thing, jobs.read(thing)) for thing in found}
        self._hurried = {wish.id.partition("\n")[2] for wish in self._objects.owned_by("", "due", "", jobs.MOST)}
        for place in self._schedule.keys() - self._known.keys():
            del self._schedule[place]
        fresh = self._known.keys() - self._schedule.keys()
        for place in fresh:
            self._schedule[place] = _Due(self._first(self._known[place][1], len(fresh)))

    def _first(self, job: Job, others: int) -> float:
        """Return when a job is asked about first: soon, and not together with many others that are found at once."""
        if job.ended:
            return self._clock()
        spread = min(others * 0.05, LONGEST[job.family])
        age = max(self._wall() - job.time_ms / 1000, 0.0)
        return self._clock() + max(FIRST[job.family] - age, 0.0) + spread * self._draw()

    @staticmethod
    def _held(state: OnState) -> set[str] | None:
        """Return the jobs that have something reserved; None while that is being put back. Blocks: for a thread."""
        with state.money() as ledger:
            return set(ledger.jobs()) if ledger is not None and ledger.rebuilt else None

    def _asker(self, admin: Admin, state: OnState) -> Asking:
        supplies = state.supplies()
        known = self._asking
        if known is not None and known[0] is admin.config and known[1] == supplies:
            return known[2]
        if self._client is None:
            self._client = Client()
        asking = Asking(self._client, admin.config, supplies, installation_secret(self._data_dir))
        self._asking = (admin.config, supplies, asking)
        return asking

    # one job

    async def _see(self, state: OnState, asking: Asking, held: set[str], place: str) -> bool:
        """Look at a job; return whether it is closed."""
        thing, job = self._known[place]
        due = self._schedule[place]
        self._hurried.discard(place)
        try:
            if not job.ended:
                if job.call_id not in held:
                    await self._unheld(place, job)
                    self._later(place, job)
                    return False
                ended = await self._ended(asking, thing, job, due)
                if ended is None:
                    self._later(place, job)
                    return False
                job = ended
                await self._objects.own(jobs.remembered(job))
            await self._shut(state, job)
        except Exception as error:  # whatever it is, it is tried again
            trouble = brief(error)
            if self._told.get(place) != trouble:
                log.warning("the %s %r cannot be counted yet: %s", job.family, job.name, trouble)
            self._told[place] = trouble
            self._later(place, job)
            return False
        self._told.pop(place, None)
        return True

    def _later(self, place: str, job: Job) -> None:
        due = self._schedule[place]
        pause = min(FIRST[job.family] * GROWS**due.tries, LONGEST[job.family])
        due.tries = min(due.tries + 1, 100)
        due.at = self._clock() + pause * (0.75 + 0.5 * self._draw())

    async def _unheld(self, place: str, job: Job) -> None:
        """Forget what no call has handed over: its worker saw its end, and was killed before it could forget it."""
        if self._wall() - job.time_ms / 1000 > LIFETIMES[job.family]:
            await self._objects.disown(place)

    async def _ended(self, asking: Asking, thing: Owned, job: Job, due: _Due) -> Job | None:
        """Return a job with its record, None while it goes on."""
        trouble: Exception | None = None
        try:
            found = await asking.ended(job, thing)
            due.missed = 0
        except NotFound as error:
            found, trouble = None, error
            due.missed += 1
        except Exception as error:
            due.missed = 0
            if not self._over(job):
                raise
            found, trouble = None, error
        if found is None:
            if not self._over(job) and due.missed < MISSES:
                return None
            log.warning(
                "the %s %r was not seen to end, and is charged at its bound: %s",
                job.family, job.name, brief(trouble) if trouble is not None else "its time is over",
            )  # fmt: skip
        outcome, cost = found if found is not None else ("lost", jobs.unknown(job))
        record = jobs.record_of(job, outcome, cost, int(self._wall() * 1000))
        return msgspec.structs.replace(job, ended=encode(record))

    def _over(self, job: Job) -> bool:
        return self._wall() - job.time_ms / 1000 > LIFETIMES[job.family]

    async def _shut(self, state: OnState, job: Job) -> None:
        """Record, settle and forget a job that has ended."""
        record = decode_record(job.ended)
        journal = self._written_to()
        journal.append(record)
        await self._flush(journal)
        settled = await asyncio.to_thread(self._finish, state, job)
        if settled.passed:
            for passed in settled.passed:
                journal.note(event_of(passed, moment().wall_ns))
            await self._flush(journal)
        place = jobs.place_of(job.tenant, job.family, job.name)
        await asyncio.gather(self._objects.disown(place), self._objects.disown(jobs.wish_of(place).id))

    @staticmethod
    def _finish(state: OnState, job: Job) -> Settled:
        """Block: for a thread."""
        with state.money() as ledger:
            if ledger is None or not ledger.rebuilt:
                raise StateUnavailable("the state of this machine is being put together")
            return ledger.finish(job.call_id, jobs.used_by(job, decode_record(job.ended)), moment())

    # the journal

    def _written_to(self) -> Journal:
        if self._journal is None:
            owner = Owner.new(self._data_dir / "state" / "owners")
            loop = asyncio.get_running_loop()

            def deliver(act: Callable[[], None]) -> None:
                loop.call_soon_threadsafe(act)

            fsync = "group" if self._durable else "none"
            folder = str(self._data_dir / "journal")
            self._journal = Journal(folder, owner.id, fsync=fsync, deliver=deliver, reserve_bytes=RESERVE)  # type: ignore[arg-type]  # one of its words
            self._owner = owner
        return self._journal

    async def _flush(self, journal: Journal) -> None:
        if not journal.flush():
            raise JournalFull("the journal has no room for the records of jobs")
        if self._durable:
            booked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: BaseException | None) -> None:
                if booked.done():
                    return
                if error is None:
                    booked.set_result(None)
                else:
                    booked.set_exception(error)

            journal.synced(done)
            await booked

    def _rest(self) -> None:
        """Close the journal: there is no job."""
        journal, self._journal = self._journal, None
        owner, self._owner = self._owner, None
        if journal is not None and owner is not None:
            if journal.close():
                owner.bury()
            else:
                owner.close()
