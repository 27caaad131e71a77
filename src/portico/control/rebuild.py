"""What budgets had counted, put back into a state that was made anew, from the records of calls.

Another boot of the machine, or a deleted directory, takes all counters with it. What was journaled before is first read
into the store, where each call is once; then every record whose time a budget's window reaches back to is charged in
the scopes that its call was under. Limits begin anew with the machine. Calls under a budget are refused meanwhile, so
nothing is counted twice; and whoever is cut off begins again from zero.

Jobs that go on are reserved for again, unless the store has their records already.

A record says what its call cost. Where nothing was known of its usage it stands at the cost that it had reserved; the
tokens that it had reserved are not recorded, and are not put back.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec
from sqlalchemy import Connection, select

from portico.config.declared import declared, rules_of
from portico.control.admin import Admin
from portico.control.state import OnState
from portico.jobs import Job, record_of, unknown
from portico.journal.entries import decode_record
from portico.record import Record
from portico.recover import used_by
from portico.rules import Applied, Bound, Rule
from portico.state import windows
from portico.state.clock import moment
from portico.state.contract import Moment, Scope, Used
from portico.state.owner import strangers
from portico.state.scopes import Dimensions, scopes
from portico.store.entities import audit, stored
from portico.store.entities.holders import Compiler
from portico.store.entities.things import Key
from portico.store.rows import first_seq
from portico.store.tables import calls

AT_ONCE: Final = 2_000
"""Records read from the store at a time."""
SUMS: Final = 50_000
"""Sums that are held before they are charged."""
AT_HAND: Final = 10_000
"""Calls told apart whose scopes are remembered."""
NOTHING: Final = Used(0, 0, 0, 0)
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
            seen, config = audit.last(db), admin.config
            charged = _charge(admin, db, state, tag, go_on, jobs, clock)
        with admin.reading() as db:
            if (audit.last(db), admin.config) == (seen, config):
                break
        log.info("what bounds calls was changed meanwhile; they are counted again")
    with state.money() as ledger:
        if ledger is None or ledger.tag != tag:
            raise Interrupted
        ledger.mark_rebuilt()
    return charged


def _wait(until: Callable[[], bool], go_on: Callable[[], bool]) -> None:
    while not until():
        if not go_on():
            raise Interrupted


def _charge(
    admin: Admin,
    db: Connection,
    state: OnState,
    tag: str,
    go_on: Callable[[], bool],
    jobs: Callable[[], Sequence[Job]],
    clock: Callable[[], Moment],
) -> int:
    under = _Under(admin, db)
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
        for scope in under.scopes(record):
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


def used_for(record: Record) -> Used:
    """Return what a recorded call is charged in its scopes. A job is no call: that which has started it is."""
    if record.basis == "assumed":
        return Used(0, 0, record.cost_nano_usd or 0, int(record.job is None))
    used = used_by(record, Bound(0, 0, record.bound_nano_usd))
    return used if record.job is None else msgspec.structs.replace(used, requests=0)


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


class _Under:
    """Which scopes calls are under, by the rules of now."""

    def __init__(self, admin: Admin, db: Connection) -> None:
        self._db = db
        self._compiler = Compiler(db, admin.config)
        said = declared(admin.config)
        self._common: tuple[Applied, ...] = (*said.rules, *self._compiler.rules())
        self._own: dict[str, tuple[Applied, ...]] = {}
        self._known: dict[tuple[object, ...], tuple[Scope, ...]] = {}

    def since(self, wall_ns: int) -> int:
        """Return from when on calls count in any budget, in milliseconds since the epoch."""
        least = wall_ns
        for rule in {applied.rule for applied in self._common} | self._budgets():
            if rule.kind == "budget":
                least = min(least, _reaches(rule, wall_ns))
        return max(least, 0) // 1_000_000

    def scopes(self, record: Record) -> tuple[Scope, ...]:
        """Return the scopes with a budget that a call was under: those of all the targets that it went to."""
        targets = tuple(dict.fromkeys(attempt.target for attempt in record.attempts)) or (record.target or "",)
        key = (record.key, record.user, record.team, record.org, record.customer, record.tags, record.model, targets)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= AT_HAND:
                self._known.clear()
            rules = (*self._common, *self._of_key(record.key))
            rows_: dict[str, Scope] = {}
            for target in targets:
                provider, _, model = target.partition("/")
                told = Dimensions(
                    key=record.key,
                    user=record.user,
                    team=record.team,
                    org=record.org,
                    customer=record.customer,
                    tags=record.tags,
                    provider=provider or None,
                    models=tuple(dict.fromkeys(filter(None, (record.model, model, target)))),
                )
                for scope in scopes(rules, told):
                    if any(rule.kind == "budget" for rule in scope.rules):
                        rows_.setdefault(scope.row, scope)
            found = self._known[key] = tuple(rows_.values())
        return found

    def _of_key(self, key: str | None) -> tuple[Applied, ...]:
        if key is None:
            return ()
        found = self._own.get(key)
        if found is None:
            thing = self._compiler.find("key", key)
            stored = isinstance(thing, Key) and thing.source == "api"
            found = self._own[key] = self._compiler.holder(cast("Key", thing)).rules if stored else ()
        return found

    def _budgets(self) -> set[Rule]:
        """Return the budgets that keys carry, by whatever scope."""
        budgets = {
            each for name in ("key", "user", "membership", "template") for each in stored.budgets(self._db, name)
        }
        return {applied.rule for applied in rules_of("", [], list(budgets), {})}


def _reaches(rule: Rule, wall_ns: int) -> int:
    """Return when the earliest call came that this budget still counts."""
    length = windows.length_ns(rule.window)
    if length is None:
        return 0
    if rule.window.rolling:
        return wall_ns - length - length // windows.granules(rule.window) - 1
    return windows.span(rule.window, wall_ns)[0]
