"""What budgets had counted, put back into a state that was made anew, from the records of calls.

Another boot of the machine, or a deleted directory, takes all counters with it. What was journaled before is first read
into the store, where each call is once; then every record whose time a budget's window reaches back to is charged in
the scopes that its call was under (in those of one target with what was used there), and what was kept of records that
are gone (`carrying`). Limits begin anew with the machine. Calls under a budget are refused meanwhile, so nothing is
counted twice; and whoever is cut off begins again from zero.

Jobs that go on are reserved for again, unless the store has their records already.

A record says what its call cost. Where nothing was known of its usage it stands at the cost that it had reserved; the
tokens that it had reserved are not recorded, and are not put back.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, func, select

from portico.control.admin import Admin
from portico.control.state import OnState
from portico.control.under import NOTHING, Under, used_for
from portico.jobs import Job, record_of, unknown
from portico.journal.entries import decode_record
from portico.record import Record
from portico.state import windows
from portico.state.clock import moment
from portico.state.contract import Moment, Scope, Used
from portico.state.owner import strangers
from portico.store import carried
from portico.store.entities import audit
from portico.store.rows import first_seq
from portico.store.sums import DAY
from portico.store.tables import calls

AT_ONCE: Final = 2_000
"""Records read from the store at a time."""
SUMS: Final = 50_000
"""Sums that are held before they are charged."""
MINUTE_NS: Final = 60 * windows.SECOND

log = logging.getLogger("portico.rebuild")

_Sum = tuple[Scope, int, int, int, int, int]


class Interrupted(Exception):
    """The state was made anew once more, or control is told to leave."""


class Reading(Protocol):
    """What reads the journal into the store."""

    def now(self) -> float:
        """Return the time of its clock."""

    def reads_since(self, when: float) -> bool:
        """Whether all that was in the journal at this time is in the store."""


def rebuild(
    admin: Admin,
    state: OnState,
    owners: Path,
    reading: Reading,
    go_on: Callable[[], bool],
    jobs: Callable[[], Sequence[Job]] = tuple,
    clock: Callable[[], Moment] = moment,
) -> int:
    """Put back what budgets had counted, and let calls go on; return how many calls were charged. Blocks: for a thread.

    `go_on` is asked again and again, and may sleep: False gives up. `jobs` are those that go on. Raises Interrupted,
    Unavailable, StateUnavailable.
    """
    with state.money() as ledger:
        if ledger is None or ledger.rebuilt:
            return 0
        tag = ledger.tag
    # Calls that began on another file are in nobody's counters: they are charged by their records, so these must be
    # there. Who died with some is cleared up after by the worker that starts in its place.
    _wait(lambda: not strangers(owners, tag), go_on)
    written = reading.now()
    _wait(lambda: reading.reads_since(written), go_on)
    while True:
        with admin.reading() as db:
            seen = _seen(admin, db)
            charged = _charge(admin, db, state, tag, go_on, jobs, clock)
        with admin.reading() as db:
            if _seen(admin, db) == seen:
                break
        log.info("what bounds calls was changed meanwhile, or old ones were let go of; they are counted again")
    with state.money() as ledger:
        if ledger is None or ledger.tag != tag:
            raise Interrupted
        ledger.mark_rebuilt()
    return charged


def _wait(until: Callable[[], bool], go_on: Callable[[], bool]) -> None:
    while not until():
        if not go_on():
            raise Interrupted


def _seen(admin: Admin, db: Connection) -> tuple[object, ...]:
    """Return what must not change while calls are counted: their rules, and where their records are."""
    return audit.last(db), admin.config, db.execute(select(func.min(calls.c.seq))).scalar()


def _charge(
    admin: Admin,
    db: Connection,
    state: OnState,
    tag: str,
    go_on: Callable[[], bool],
    jobs: Callable[[], Sequence[Job]],
    clock: Callable[[], Moment],
) -> int:
    under = Under(admin, db)
    with state.money() as ledger:
        if ledger is None or ledger.tag != tag:
            raise Interrupted
        ledger.forget_spending()
    sums: dict[tuple[Scope, int], _Sum] = {}
    charged = 0
    since = under.since(clock().wall_ns)
    for record in _records(db, since):
        used = used_for(record)
        if used == NOTHING:
            continue
        when = record.time_ms * 1_000_000
        charged += 1
        for scope, mine in under.charged(record, used):
            _add(sums, scope, mine, when)
        if len(sums) >= SUMS:
            _put(state, tag, sums, go_on, clock)
    for place, amounts in carried.every(db):
        rule = under.rule(place.row, place.rule)
        if rule is not None:
            # Nobody knows when on that day: what may count, counts.
            last = (place.day + DAY) * windows.SECOND - 1
            requests, tokens_in, tokens_out, cost = amounts
            _add(sums, Scope(place.row, (rule,)), Used(tokens_in, tokens_out, cost, requests), last)
        if len(sums) >= SUMS:
            _put(state, tag, sums, go_on, clock)
    _put(state, tag, sums, go_on, clock)
    for job in jobs():
        record = record_of(job, "lost", unknown(job), 0)
        if db.execute(select(calls.c.seq).where(calls.c.id == record.id)).first() is not None:
            continue  # it was charged by that
        with state.money() as ledger:
            if ledger is None or ledger.tag != tag:
                raise Interrupted
            ledger.carry(job.call_id, under.scopes(record), job.bound, job.time_ms * 1_000_000, clock())
    return charged


def _add(sums: dict[tuple[Scope, int], _Sum], scope: Scope, used: Used, when: int) -> None:
    """Add what was used at `when` (by the wall clock, in nanoseconds) to what is to be charged."""
    key = (scope, when // MINUTE_NS)
    before = sums.get(key, (scope, 0, 0, 0, 0, 0))
    sums[key] = (
        scope,
        before[1] + used.input_tokens,
        before[2] + used.output_tokens,
        before[3] + used.cost,
        before[4] + used.requests,
        max(before[5], when),
    )


def _put(
    state: OnState,
    tag: str,
    sums: dict[tuple[Scope, int], _Sum],
    go_on: Callable[[], bool],
    clock: Callable[[], Moment],
) -> None:
    """Charge what was summed up, a slice at a time: others read the counters in between."""
    ordered = list(sums.values())
    sums.clear()
    for start in range(0, len(ordered), AT_ONCE):
        part = ordered[start : start + AT_ONCE]
        with state.money() as ledger:
            if ledger is None or ledger.tag != tag:
                raise Interrupted
            ledger.charge(
                ((scope, Used(given, made, cost, times), when) for scope, given, made, cost, times, when in part),
                clock(),
            )
        if not go_on():
            raise Interrupted


def _records(db: Connection, since_ms: int) -> Iterator[Record]:
    last = first_seq(since_ms) - 1
    while True:
        query = select(calls.c.seq, calls.c.record).where(calls.c.seq > last).order_by(calls.c.seq).limit(AT_ONCE)
        found = db.execute(query).all()
        for _, encoded in found:
            yield decode_record(encoded)
        if len(found) < AT_ONCE:
            return
        last = found[-1].seq
