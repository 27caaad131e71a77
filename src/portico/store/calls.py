"""Finding calls: a page at a time, newest first, by what they are told apart by; never by counting rows off.

A page is found in bounded time whatever is asked for. Where few calls match, it may be short, or empty, and still name
where to go on: that is how far it has looked.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select

from portico.journal.entries import decode_record
from portico.record import Record
from portico.store.dimensions import Dimension, number_of
from portico.store.rows import first_seq, time_of
from portico.store.tables import LEADS, call_tags, calls, segments

LOOK_AT = 10_000
"""Rows that one page looks at, at most: some 40 ms."""


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which calls are asked for: those that match all that is given. `until_ms` is not in the range.

    `status_class` is the first digit. `bodies` asks for calls whose bodies were kept.
    """

    org: str | None = None
    team: str | None = None
    user: str | None = None
    key: str | None = None
    customer: str | None = None
    model: str | None = None
    target: str | None = None
    provider: str | None = None
    operation: str | None = None
    tag: str | None = None
    session: str | None = None
    status: int | None = None
    status_class: int | None = None
    stream: bool | None = None
    end: str | None = None
    basis: str | None = None
    pricing: str | None = None
    error: str | None = None
    bodies: bool = False
    least_cost: int | None = None
    least_us: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class Found(msgspec.Struct, frozen=True):
    """A call: its place in the order of all, its record, and where its bodies are, if they were kept and still are."""

    seq: int
    record: Record
    segment: str | None = None
    place: int = 0


class Page(msgspec.Struct, frozen=True):
    """Calls, newest first. `next` is what to give as `before` for the ones after them; None where there are no more.

    `looked_to_ms` is the time down to which everything that matches is on this page or an earlier one.
    """

    calls: tuple[Found, ...]
    next: int | None
    looked_to_ms: int | None


_SHOWN = (calls.c.seq, calls.c.record, calls.c.segment, calls.c.place, calls.c.body)
_NAMED: tuple[Dimension, ...] = (
    "org", "team", "user", "key", "customer", "model", "target", "provider", "operation"
)  # fmt: skip
_PLAIN = ("status", "stream", "end", "basis", "pricing", "error")


def page(connection: Connection, asked: Filter, before: int | None = None, limit: int = 50) -> Page:
    """Return the calls before this `seq`, or the newest."""
    shape = _shape(connection, asked)
    if shape is None:
        return Page((), None, None)
    lead, rest = shape
    inner = _led(asked, lead, before).order_by(calls.c.seq.desc())
    if not rest:
        rows = connection.execute(inner.limit(limit + 1)).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return Page(_found(connection, rows[:limit]), more, time_of(more) if more else None)
    looked = inner.limit(LOOK_AT).subquery()
    rows = connection.execute(
        select(*(looked.c[column.name] for column in _SHOWN))
        .where(*(_on(looked, each) for each in rest))
        .order_by(looked.c.seq.desc())
        .limit(limit + 1)
    ).all()
    if len(rows) > limit:
        more = rows[limit - 1].seq
    else:
        seqs = inner.with_only_columns(calls.c.seq).limit(LOOK_AT).subquery()
        count, lowest = connection.execute(select(func.count(), func.min(seqs.c.seq))).one()
        more = lowest if count == LOOK_AT else None
    return Page(_found(connection, rows[:limit]), more, time_of(more) if more else None)


def find(connection: Connection, id_: str) -> Found | None:
    """Return the call with this id."""
    rows = connection.execute(select(*_SHOWN).where(calls.c.id == id_)).all()
    return _found(connection, rows)[0] if rows else None


def each(engine: Engine, asked: Filter, chunk: int = 2_000) -> Iterator[list[Found]]:
    """Yield the calls that match, oldest first, in chunks; no transaction is open between two of them."""
    after: int | None = -1
    while after is not None:
        with engine.connect() as connection:
            shape = _shape(connection, asked)
            if shape is None:
                return
            lead, rest = shape
            inner = _led(asked, lead, None).where(calls.c.seq > after).order_by(calls.c.seq)
            looked = inner.limit(max(LOOK_AT, chunk)).subquery()
            rows = connection.execute(
                select(*(looked.c[column.name] for column in _SHOWN))
                .where(*(_on(looked, part) for part in rest))
                .order_by(looked.c.seq)
                .limit(chunk)
            ).all()
            if len(rows) == chunk:
                after = rows[-1].seq
            else:
                seqs = inner.with_only_columns(calls.c.seq).limit(max(LOOK_AT, chunk)).subquery()
                count, highest = connection.execute(select(func.count(), func.max(seqs.c.seq))).one()
                after = highest if count == max(LOOK_AT, chunk) else None
            found = list(_found(connection, rows))
        if found:
            yield found


_Part = tuple[str, str, Any]
"""A column, `==` or `>=`, and what it is compared with."""


def _shape(connection: Connection, asked: Filter) -> tuple[_Part | None, list[_Part]] | None:
    """Return by which condition calls are looked up, and which others they must meet; None where no call can."""
    parts: list[_Part] = []
    for dimension in _NAMED:
        value = getattr(asked, dimension)
        if value is not None:
            number = number_of(connection, dimension, value)
            if number is None:
                return None
            parts.append((dimension, "==", number))
    parts += [(name, "==", value) for name in _PLAIN if (value := getattr(asked, name)) is not None]
    if asked.status_class is not None:
        parts.append(("status_class", "==", asked.status_class))
    if asked.least_cost is not None:
        parts.append(("cost_nano_usd", ">=", asked.least_cost))
    if asked.least_us is not None:
        parts.append(("total_us", ">=", asked.least_us))
    if asked.bodies:
        parts.append(("body", ">=", 1))
    if asked.session is not None:
        parts.insert(0, ("session", "==", asked.session))
    tag = None
    if asked.tag is not None:
        tag = number_of(connection, "tag", asked.tag)
        if tag is None:
            return None
        parts.append(("tag", "==", tag))
    return _lead(parts)


def _lead(parts: list[_Part]) -> tuple[_Part | None, list[_Part]]:
    """Choose the condition with an index that is likely to tell most."""
    by_name = {part[0]: part for part in parts}
    for name in ("session", *LEADS, "tag", "status_class"):
        if name in by_name and by_name[name] != ("status_class", "==", 2):
            lead = by_name[name]
            return lead, [part for part in parts if part is not lead]
    return None, parts


def _led(asked: Filter, lead: _Part | None, before: int | None) -> Select[Any]:
    """Return the query of the calls in a range of time that meet the leading condition."""
    columns: list[Any] = [*_SHOWN]
    columns += [calls.c[name] for name in (*_NAMED, *_PLAIN, "status_class", "cost_nano_usd", "total_us")]
    query = select(*columns)
    order: ColumnElement[int] = calls.c.seq
    if lead is not None and lead[0] == "tag":
        query = query.join(call_tags, call_tags.c.seq == calls.c.seq).where(call_tags.c.tag == lead[2])
        order = call_tags.c.seq
    elif lead is not None:
        query = query.where(calls.c[lead[0]] == lead[2])
        if lead[0] == "status_class":
            query = query.where(calls.c.status_class != 2)  # says that the partial index will do
    if before is not None:
        query = query.where(order < before)
    if asked.since_ms is not None:
        query = query.where(order >= first_seq(asked.since_ms))
    if asked.until_ms is not None:
        query = query.where(order < first_seq(asked.until_ms))
    return query


def _on(looked: Any, part: _Part) -> ColumnElement[bool]:
    name, how, value = part
    if name == "tag":
        has = select(call_tags.c.seq).where((call_tags.c.tag == value) & (call_tags.c.seq == looked.c.seq))
        return has.exists()
    column: ColumnElement[Any] = looked.c[name]
    meets: ColumnElement[bool] = column >= value if how == ">=" else column == value
    return meets


def _found(connection: Connection, rows: Any) -> tuple[Found, ...]:
    wanted = {row.segment for row in rows if row.body}
    there = {}
    if wanted:
        chosen = segments.c.id.in_(wanted) & segments.c.removed.is_(False)
        there = {id_: name for id_, name in connection.execute(select(segments.c.id, segments.c.name).where(chosen))}  # noqa: C416  # rows are no pairs to a type checker
    return tuple(
        Found(row.seq, decode_record(row.record), there.get(row.segment) if row.body else None, row.place)
        for row in rows
    )
