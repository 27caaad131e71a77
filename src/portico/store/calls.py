"""Finding calls: a page at a time, newest first, by what they are told apart by; never by counting rows off.

A page is found in bounded time whatever is asked for. Where few calls match, it may be short, or empty, and still name
where to go on: that is how far it has looked.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Select, select

from portico.journal.entries import decode_record
from portico.record import Record
from portico.store.dimensions import Dimension, number_of
from portico.store.rows import first_seq, time_of
from portico.store.tables import JOBS, LEADS, call_tags, calls, segments

LAST = (1 << 63) - 1
"""No call has a higher `seq`."""
JOB = "jobs of an operation"
"""How the condition is named that only records of jobs meet."""
LOOK_AT = 10_000
"""Rows that one page looks at, at most: some 40 ms."""


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which calls are asked for: those that match all that is given. `until_ms` is not in the range.

    `status_class` is the first digit. `bodies` asks for calls whose bodies were kept, `jobs_of` for the
    records of jobs alone, by their operation.
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
    arm: str | None = None
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
    jobs_of: str | None = None
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
    "org", "team", "user", "key", "customer", "model", "target", "provider", "operation", "arm"
)  # fmt: skip
_PLAIN = ("status", "stream", "end", "basis", "pricing", "error")


def page(connection: Connection, asked: Filter, before: int | None = None, limit: int = 50) -> Page:
    """Return the calls before this `seq`, or the newest."""
    shape = _shape(connection, asked)
    if shape is None:
        return Page((), None, None)
    lead, rest = shape
    order = _order(lead)
    within = _Within.of(asked).below(before)
    floor = _at(connection, lead, within, order.desc()) if rest else None
    rows = connection.execute(_query(lead, rest, within.above(floor)).order_by(order.desc()).limit(limit + 1)).all()
    more = rows[limit - 1].seq if len(rows) > limit else floor
    return Page(_found(connection, rows[:limit]), more, None if more is None else time_of(more))


def find(connection: Connection, id_: str) -> Found | None:
    """Return the call with this id."""
    rows = connection.execute(select(*_SHOWN).where(calls.c.id == id_)).all()
    return _found(connection, rows)[0] if rows else None


def each(engine: Engine, asked: Filter, chunk: int = 2_000) -> Iterator[list[Found]]:
    """Yield the calls that match, oldest first, in chunks; no transaction is open between two of them."""
    begin: int | None = 0
    while begin is not None:
        with engine.connect() as connection:
            shape = _shape(connection, asked)
            if shape is None:
                return
            lead, rest = shape
            order = _order(lead)
            within = _Within.of(asked).above(begin)
            ceiling = _at(connection, lead, within, order) if rest else None
            end = None if ceiling is None else ceiling + 1
            rows = connection.execute(_query(lead, rest, within.below(end)).order_by(order).limit(chunk)).all()
            begin = rows[-1].seq + 1 if len(rows) == chunk else end
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
    if asked.jobs_of is not None:
        operation = number_of(connection, "operation", asked.jobs_of)
        return None if operation is None else ((JOB, "==", operation), parts)
    return _lead(parts)


def _lead(parts: list[_Part]) -> tuple[_Part | None, list[_Part]]:
    """Choose the condition with an index that is likely to tell most."""
    by_name = {part[0]: part for part in parts}
    for name in ("session", *LEADS, "tag", "status_class"):
        if name in by_name and by_name[name] != ("status_class", "==", 2):
            lead = by_name[name]
            return lead, [part for part in parts if part is not lead]
    return None, parts


def _order(lead: _Part | None) -> ColumnElement[int]:
    """Return the column that calls are walked along by."""
    return call_tags.c.seq if lead is not None and lead[0] == "tag" else calls.c.seq


class _Within(NamedTuple):
    """A range of `seq`, from `begin` to before `end`: one bound of each kind, as of two SQLite would look up one alone
    and walk on to the other."""

    begin: int | None = None
    end: int | None = None

    @classmethod
    def of(cls, asked: Filter) -> Self:
        """Return the range of the times that are asked for."""
        return cls(
            None if asked.since_ms is None else first_seq(asked.since_ms),
            None if asked.until_ms is None else first_seq(asked.until_ms),
        )

    def above(self, begin: int | None) -> "_Within":
        """Return what of the range is from here on."""
        return self if begin is None else _Within(begin if self.begin is None else max(begin, self.begin), self.end)

    def below(self, end: int | None) -> "_Within":
        """Return what of the range is before this."""
        return self if end is None else _Within(self.begin, end if self.end is None else min(end, self.end))

    def holds(self, order: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """Return the conditions on a column."""
        found: list[ColumnElement[bool]] = []
        if self.begin is not None:
            found.append(order >= self.begin)
        if self.end is not None:
            found.append(order < self.end)
        return found


def _led(lead: _Part | None) -> list[ColumnElement[bool]]:
    """Return the leading condition, as its index has it."""
    if lead is None:
        return []
    name, _, value = lead
    if name == "tag":
        return [call_tags.c.tag == value]
    if name == JOB:
        return [calls.c.operation == value, JOBS]
    led: list[ColumnElement[bool]] = [calls.c[name] == value]
    if name == "status_class":
        led.append(calls.c.status_class != 2)  # says that the partial index will do
    return led


def _at(connection: Connection, lead: _Part | None, within: _Within, order: ColumnElement[int]) -> int | None:
    """Return where the last call stands that is looked at; None where all can be. Only an index is read for it."""
    table = call_tags if lead is not None and lead[0] == "tag" else calls
    far = (
        select(table.c.seq).where(*_led(lead), *within.holds(table.c.seq)).order_by(order).offset(LOOK_AT - 1).limit(1)
    )
    return connection.execute(far).scalar()


def _query(lead: _Part | None, rest: list[_Part], within: _Within) -> Select[Any]:
    query = select(*_SHOWN).where(*_led(lead), *within.holds(_order(lead)), *map(_also, rest))
    if lead is not None and lead[0] == "tag":
        query = query.join(call_tags, call_tags.c.seq == calls.c.seq)
    return query


def _also(part: _Part) -> ColumnElement[bool]:
    """Return a condition that is only looked at, never looked up: no other index may take the place of the leading."""
    name, how, value = part
    if name == "tag":
        return select(call_tags.c.seq).where((call_tags.c.tag == value) & (call_tags.c.seq == calls.c.seq)).exists()
    column: ColumnElement[Any] = calls.c[name]
    if isinstance(value, int) and not isinstance(value, bool):
        column = column + 0
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
