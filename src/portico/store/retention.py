"""Letting go of what is old: rows, sums by their grain, events, and segments with the bodies in them.

Everything is done in small transactions, so that ingest and the admin API are never kept waiting for long.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable

import msgspec
from sqlalchemy import Connection, Engine, delete, func, select, update

from portico.journal.reader import LAST_SEGMENTS
from portico.journal.segments import segments as list_segments
from portico.store import bulk
from portico.store.dimensions import BY_DAY, BY_HOUR, KINDS, Dimension
from portico.store.engine import durably, writing
from portico.store.ingest import BREAKDOWN_COLUMNS
from portico.store.rows import first_seq
from portico.store.sums import DAY, HOUR, MINUTE
from portico.store.tables import PARTS, breakdowns, call_tags, calls, events, names, rollups, segments

CHUNK = 2_000
SCOPES = 200
"""Teams, keys … whose sums are cleared in one transaction."""


class Keep(msgspec.Struct, frozen=True):
    """How many seconds things are kept; None for as long as the store is."""

    calls: int | None = 90 * DAY
    bodies: int | None = 30 * DAY
    minutes: int | None = 3 * DAY
    hours: int | None = 100 * DAY
    days: int | None = None
    events: int | None = 400 * DAY


Leaving = Callable[[Connection, Iterable[bytes]], None]
"""Takes the records of calls that go, encoded, in the transaction that removes them."""


def prune(engine: Engine, keep: Keep, now: int, leaving: Leaving | None = None) -> int:
    """Remove rows and sums that are too old (`now` is in seconds since the epoch); return how many calls went."""
    gone = 0
    if keep.calls is not None:
        gone = _prune_calls(engine, first_seq((now - keep.calls) * 1000), leaving)
    for grain, kept in ((MINUTE, keep.minutes), (HOUR, keep.hours), (DAY, keep.days)):
        if kept is not None:
            _prune_sums(engine, grain, now - kept)
    if keep.events is not None:
        with writing(engine).begin() as connection:
            connection.execute(delete(events).where(events.c.time_ms < (now - keep.events) * 1000))
    return gone


def outlived(engine: Engine, keep: Keep, now: int) -> bool:
    """Return whether there are calls that are too old."""
    if keep.calls is None:
        return False
    with engine.connect() as connection:
        oldest = connection.execute(select(func.min(calls.c.seq))).scalar()
    return oldest is not None and oldest < first_seq((now - keep.calls) * 1000)


def remove_segments(engine: Engine, directory: str, keep: Keep, now: int, living: Collection[str]) -> list[str]:
    """Remove the segments that are all in the store, and whose bodies are too old or none; return their names.

    Of the owners in `living` the last few stay, whatever is in them: when one dies, they are looked through for what it
    had under way.
    """
    there = list_segments(directory)
    held = {
        segment.name for owner in living for segment in [each for each in there if each.owner == owner][-LAST_SEGMENTS:]
    }
    oldest = None if keep.bodies is None else (now - keep.bodies) * 1000
    removed = []
    with engine.connect() as connection:
        chosen = segments.c.whole.is_(True) & segments.c.removed.is_(False)
        done = connection.execute(select(segments.c.name, segments.c.bodies, segments.c.last_ms).where(chosen)).all()
    for name, bodies, last_ms in done:
        if name not in held and not (bodies and (oldest is None or last_ms >= oldest)):
            removed.append(name)
    if removed:
        # what is in the store survives the loss of power before its segment is gone
        with durably(engine) as connection:
            for at in range(0, len(removed), SCOPES):
                named = segments.c.name.in_(removed[at : at + SCOPES])
                connection.execute(update(segments).where(named).values(removed=True))
    here = {segment.name: segment.path for segment in there}
    with engine.connect() as connection:
        said = set(connection.execute(select(segments.c.name).where(segments.c.removed.is_(True))).scalars())
    for name in said & here.keys():  # those of now, and those that an earlier try has left
        with contextlib.suppress(FileNotFoundError):
            os.unlink(here[name])  # noqa: PTH108  # a path as the listing gave it
    return removed


def _prune_calls(engine: Engine, before: int, leaving: Leaving | None) -> int:
    gone = 0
    while True:
        with writing(engine).begin() as connection:
            oldest = select(calls.c.seq).where(calls.c.seq < before).order_by(calls.c.seq).limit(CHUNK)
            seqs = connection.execute(oldest).scalars().all()
            if seqs:
                oldest_ones = calls.c.seq <= seqs[-1]
                if leaving is not None:
                    leaving(connection, connection.execute(select(calls.c.record).where(oldest_ones)).scalars())
                connection.execute(delete(calls).where(oldest_ones))
            gone += len(seqs)
        if len(seqs) < CHUNK:
            break
    with engine.connect() as connection:
        tags = connection.execute(select(names.c.id).where(names.c.kind == KINDS["tag"])).scalars().all()
    for at in range(0, len(tags), SCOPES):
        with writing(engine).begin() as connection:
            for tag in tags[at : at + SCOPES]:
                connection.execute(delete(call_tags).where((call_tags.c.tag == tag) & (call_tags.c.seq < before)))
    return gone


def _prune_sums(engine: Engine, grain: int, before: int) -> None:
    for kind in (0, *KINDS.values()):
        with writing(engine).begin() as connection:
            old = (rollups.c.grain == grain) & (rollups.c.dimension == kind) & (rollups.c.bucket < before)
            connection.execute(delete(rollups).where(old))
    by: dict[Dimension, tuple[Dimension, ...]] = {}
    if grain == HOUR:
        by = BY_HOUR
    elif grain == DAY:  # and what was folded into days
        by = {scope: (*BY_HOUR.get(scope, ()), *BY_DAY.get(scope, ())) for scope in {**BY_HOUR, **BY_DAY}}
    for scope, dimensions in by.items():
        with engine.connect() as connection:
            numbers = connection.execute(select(names.c.id).where(names.c.kind == KINDS[scope])).scalars().all()
        for at in range(0, len(numbers), SCOPES):
            with writing(engine).begin() as connection:
                for number in numbers[at : at + SCOPES]:
                    for dimension in dimensions:
                        if grain == HOUR:
                            _fold(connection, number, KINDS[dimension], before - before % DAY)
                        else:
                            _prune_breakdown(connection, grain, number, KINDS[dimension], before)


def _fold(connection: Connection, scope: int, kind: int, before: int) -> None:
    """Make of what a scope sums up to by the hour what it does by the day: nothing else has it by then."""
    table = breakdowns.c
    day = table.bucket - table.bucket % DAY
    old = select(day, table.value, *(func.sum(table[name]) for name in PARTS)).where(
        table.grain == HOUR, table.scope == scope, table.dimension == kind, table.bucket < before
    )
    rows = connection.execute(old.group_by(day, table.value)).all()
    if rows:
        bulk.add(
            connection,
            breakdowns,
            BREAKDOWN_COLUMNS,
            [(DAY, scope, kind, row[0], row[1], *map(int, row[2:])) for row in rows],
        )
        _prune_breakdown(connection, HOUR, scope, kind, before)


def _prune_breakdown(connection: Connection, grain: int, scope: int, kind: int, before: int) -> None:
    connection.execute(
        delete(breakdowns).where(
            breakdowns.c.grain == grain,
            breakdowns.c.scope == scope,
            breakdowns.c.dimension == kind,
            breakdowns.c.bucket < before,
        )
    )
