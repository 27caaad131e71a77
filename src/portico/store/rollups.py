"""What charts ask for: sums over time, of all calls or one value's, by the values of a dimension. No row is read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Table, func, select, union_all

from portico.store.dimensions import BY_DAY, BY_HOUR, KINDS, Dimension, number_of, values_of
from portico.store.histogram import percentile
from portico.store.sums import DAY, GRAINS, HOUR, MINUTE, MONTH, after, begin_of
from portico.store.tables import FIRSTS, PARTS, SUMS, TIMES, breakdowns, rollups

Amounts = Mapping[str, int]
"""Measures by name: those of `tables.SUMS`, or of `tables.PARTS` in a breakdown."""


class Span(NamedTuple):
    """From `start` to before `end`, in seconds since the epoch, in buckets of `grain`; its sums are taken off where
    `sign` is -1."""

    grain: int
    start: int
    end: int
    sign: int = 1


class Point(NamedTuple):
    """The sums of one bucket, by its start in seconds since the epoch."""

    start: int
    amounts: Amounts


class Share(NamedTuple):
    """What calls with one value sum up to."""

    value: str
    amounts: Amounts


def spans(start: int, end: int, finest: int = MINUTE, coarsest: int = MONTH) -> list[Span]:
    """Cover a range with as few buckets as can be; it is widened to the finest grain.

    A part of a month is its days, or the month less its other days, whichever are fewer; and so on down. What is taken
    off is always of a bucket that was added. Where the fine sums are gone by their age, an end of the range is that of
    the nearest bucket there is.
    """
    start = begin_of(finest, start)
    end = after(finest, end)
    covered: list[Span] = []
    _cover(start, end, [grain for grain in reversed(GRAINS) if finest <= grain <= coarsest], 1, covered)
    return sorted(covered, key=lambda span: span.start)


def _cover(start: int, end: int, grains: Sequence[int], sign: int, covered: list[Span]) -> None:
    if start >= end:
        return
    grain, *finer = grains
    if not finer:
        covered.append(Span(grain, start, end, sign))
        return
    first, last = _nearest(grain, start), _nearest(grain, end)
    if first >= last:
        _cover(start, end, finer, sign, covered)
        return
    covered.append(Span(grain, first, last, sign))
    _cover(start, first, finer, sign, covered)
    _cover(first, start, finer, -sign, covered)
    _cover(last, end, finer, sign, covered)
    _cover(end, last, finer, -sign, covered)


def _nearest(grain: int, second: int) -> int:
    below, above = begin_of(grain, second), after(grain, second)
    return below if second - below <= above - second else above


def total(
    connection: Connection,
    start: int,
    end: int,
    dimension: Dimension | None = None,
    value: str | None = None,
    measures: Sequence[str] = SUMS,
    finest: int = MINUTE,
) -> Amounts:
    """Return the sums over a range: of all calls, or of those with one value of a dimension."""
    chosen = _of(connection, dimension, value)
    if chosen is None:
        return dict.fromkeys(measures, 0)
    found = _rows(rollups, chosen, spans(start, end, finest), _plain(rollups, measures))
    row = connection.execute(select(*_summed(found, measures))).one()
    return {name: int(amount or 0) for name, amount in zip(measures, row, strict=True)}


def series(
    connection: Connection,
    span: Span,
    dimension: Dimension | None = None,
    value: str | None = None,
    measures: Sequence[str] = SUMS,
) -> list[Point]:
    """Return the sums bucket by bucket; buckets without a call are left out."""
    chosen = _of(connection, dimension, value)
    if chosen is None:
        return []
    query = (
        select(rollups.c.bucket, *(rollups.c[name] for name in measures))
        .where(*chosen, _within(rollups, span))
        .order_by(rollups.c.bucket)
    )
    return [Point(row[0], dict(zip(measures, row[1:], strict=True))) for row in connection.execute(query)]


def by(
    connection: Connection,
    dimension: Dimension,
    start: int,
    end: int,
    measures: Sequence[str] = ("requests", "errors", "cost_nano_usd"),
    largest: str = "cost_nano_usd",
    limit: int = 100,
    finest: int = HOUR,
) -> list[Share]:
    """Return the values of a dimension that sum up to most over a range."""
    chosen = [rollups.c.dimension == KINDS[dimension]]
    covered = spans(start, end, finest)
    # first who, then what: sorting all that is asked for by value took twice as long
    any_ = rollups.c.requests + rollups.c.unpriced + rollups.c[largest]
    wanted = {_MOST: rollups.c[largest], **({_ANY: any_} if _takes_off(covered) else {})}
    first = _rows(rollups, chosen, covered, wanted, "value")
    order = {row[0]: at for at, row in enumerate(_largest(connection, first, (), limit))}
    chosen.append(_few(connection, rollups.c.value.in_(order)))
    found = _rows(rollups, chosen, covered, _plain(rollups, measures), "value")
    rows = connection.execute(select(found.c.value, *_summed(found, measures)).group_by(found.c.value)).all()
    return _shares(connection, sorted(rows, key=lambda row: order[row[0]]), measures)


def broken_down(
    connection: Connection,
    scope: Dimension,
    value: str,
    dimension: Dimension,
    start: int,
    end: int,
    largest: str = "cost_nano_usd",
    limit: int = 100,
) -> list[Share]:
    """Return what the calls of one team, key … sum up to by the values of another dimension.

    The range is widened to whole hours or days (see `grain_of`). Raises KeyError where such sums are not kept.
    """
    grain = grain_of(scope, dimension)
    number = number_of(connection, scope, value)
    if number is None:
        return []
    chosen = [breakdowns.c.scope == number, breakdowns.c.dimension == KINDS[dimension]]
    if grain == HOUR:
        # those of long ago are summed up by the day instead; see `retention`
        covered = [*spans(start, end, HOUR, HOUR), *spans(start, end, DAY, DAY)]
    else:
        covered = spans(start, end, DAY)
    table = breakdowns.c
    any_ = table.requests + table.input_tokens + table.output_tokens + table.cost_nano_usd
    found = _rows(
        breakdowns, chosen, covered, {**_plain(breakdowns, PARTS), _MOST: table[largest], _ANY: any_}, "value"
    )
    return _shares(connection, _largest(connection, found, PARTS, limit), PARTS)


def broken_down_series(
    connection: Connection, scope: Dimension, value: str, dimension: Dimension, start: int, end: int
) -> dict[str, list[Point]]:
    """Return the same bucket by bucket, for each value of the other dimension."""
    grain = grain_of(scope, dimension)
    number = number_of(connection, scope, value)
    if number is None:
        return {}
    query = (
        select(breakdowns.c.value, breakdowns.c.bucket, *(breakdowns.c[name] for name in PARTS))
        .where(
            breakdowns.c.scope == number,
            breakdowns.c.dimension == KINDS[dimension],
            _within(breakdowns, Span(grain, begin_of(grain, start), after(grain, end))),
        )
        .order_by(breakdowns.c.bucket)
    )
    points: dict[int, list[Point]] = {}
    for row in connection.execute(query):
        points.setdefault(row[0], []).append(Point(row[1], dict(zip(PARTS, row[2:], strict=True))))
    known = values_of(connection, list(points))
    return {known[number]: found for number, found in points.items()}


def grain_of(scope: Dimension, dimension: Dimension) -> int:
    """Return by how many seconds a breakdown is kept. Raises KeyError where it is not."""
    if dimension in BY_HOUR.get(scope, ()):
        return HOUR
    if dimension in BY_DAY.get(scope, ()):
        return DAY
    raise KeyError(f"calls of one {scope} are not summed up by {dimension}")


def took(amounts: Amounts, percent: float, first: bool = False) -> int | None:
    """Return a percentile of the whole times, or of the times to the first byte, in microseconds.

    For it `measures` must have had `tables.TIMES`, or `tables.FIRSTS`.
    """
    return percentile([amounts[name] for name in (FIRSTS if first else TIMES)], percent)


def _of(connection: Connection, dimension: Dimension | None, value: str | None) -> list[ColumnElement[bool]] | None:
    """Return what chooses the rows of all calls, or of one value; None where no call had that."""
    if dimension is None:
        return [rollups.c.dimension == 0, rollups.c.value == 0]
    number = number_of(connection, dimension, value or "")
    if number is None:
        return None
    return [rollups.c.dimension == KINDS[dimension], _few(connection, rollups.c.value == number)]


def _few(connection: Connection, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Say that few rows meet a condition: SQLite keeps no statistics by itself, and would not look it up."""
    return func.unlikely(condition) if connection.dialect.name == "sqlite" else condition


def _within(table: Table, span: Span) -> ColumnElement[bool]:
    return (table.c.grain == span.grain) & (table.c.bucket >= span.start) & (table.c.bucket < span.end)


_MOST, _ANY = "most", "any"
"""What values are ordered by, and what is above nothing where there is anything of one. A job has no call of its own:
what it used may be all that there is."""


def _plain(table: Table, measures: Iterable[str]) -> dict[str, ColumnElement[int]]:
    return {name: table.c[name] for name in measures}


def _takes_off(covered: Sequence[Span]) -> bool:
    """Say whether values may be found of which nothing is left."""
    return any(span.sign < 0 for span in covered)


def _rows(
    table: Table,
    chosen: list[ColumnElement[bool]],
    covered: Sequence[Span],
    wanted: Mapping[str, ColumnElement[int]],
    *kept: str,
) -> FromClause:
    """Return the rows of sums in all spans, with what is wanted of them, negative where it is to be taken off.

    A query for each span, one behind the other: asked for all at once, SQLite would look up none of them.
    """
    parts = [
        select(
            *(table.c[name] for name in kept),
            *((column if span.sign > 0 else -column).label(name) for name, column in wanted.items()),
        ).where(*chosen, _within(table, span))
        for span in covered or [Span(DAY, 0, 0)]
    ]
    return union_all(*parts).subquery("sums")


def _summed(found: FromClause, measures: Sequence[str]) -> list[ColumnElement[int]]:
    return [func.sum(found.c[name]) for name in measures]


def _largest(connection: Connection, found: FromClause, measures: Sequence[str], limit: int) -> Sequence[Sequence[int]]:
    """Return the values of which there is anything, and what they sum up to; those with most first."""
    query = select(found.c.value, *_summed(found, measures)).group_by(found.c.value)
    if _ANY in found.c:
        query = query.having(func.sum(found.c[_ANY]) > 0)
    return connection.execute(query.order_by(func.sum(found.c[_MOST]).desc(), found.c.value).limit(limit)).all()


def _shares(connection: Connection, rows: Sequence[Sequence[int]], measures: Sequence[str]) -> list[Share]:
    known = values_of(connection, [row[0] for row in rows])
    return [
        Share(known[row[0]], {name: int(amount or 0) for name, amount in zip(measures, row[1:], strict=True)})
        for row in rows
    ]
