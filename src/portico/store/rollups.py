"""What charts ask for: sums over time, of all calls or one value's, by the values of a dimension. No row is read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, func, or_, select

from portico.store.dimensions import BY_DAY, BY_HOUR, KINDS, Dimension, number_of, values_of
from portico.store.histogram import percentile
from portico.store.sums import DAY, GRAINS, HOUR, MINUTE
from portico.store.tables import FIRSTS, PARTS, SUMS, TIMES, breakdowns, rollups

Amounts = Mapping[str, int]
"""Measures by name: those of `tables.SUMS`, or of `tables.PARTS` in a breakdown."""


class Span(NamedTuple):
    """From `start` to before `end`, in seconds since the epoch, in buckets of `grain` seconds."""

    grain: int
    start: int
    end: int


class Point(NamedTuple):
    """The sums of one bucket, by its start in seconds since the epoch."""

    start: int
    amounts: Amounts


class Share(NamedTuple):
    """What calls with one value sum up to."""

    value: str
    amounts: Amounts


def spans(start: int, end: int, finest: int = MINUTE) -> list[Span]:
    """Cover a range with as few buckets as can be, whole days in the middle; it is widened to the finest grain."""
    start -= start % finest
    end += -end % finest
    covered: list[Span] = []
    _cover(start, end, [grain for grain in reversed(GRAINS) if grain >= finest], covered)
    return sorted(covered, key=lambda span: span.start)


def _cover(start: int, end: int, grains: Sequence[int], covered: list[Span]) -> None:
    if start >= end:
        return
    grain = grains[0]
    first, last = start + -start % grain, end - end % grain
    if first >= last or not grains[1:]:
        if grains[1:]:
            _cover(start, end, grains[1:], covered)
        elif first < last:
            covered.append(Span(grain, first, last))
        return
    covered.append(Span(grain, first, last))
    _cover(start, first, grains[1:], covered)
    _cover(last, end, grains[1:], covered)


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
    query = select(*_summed(rollups, measures)).where(*chosen, _within(rollups, spans(start, end, finest)))
    row = connection.execute(query).one()
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
        .where(*chosen, _within(rollups, [span]))
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
    order = func.sum(rollups.c[largest])
    query = (
        select(rollups.c.value, *_summed(rollups, measures))
        .where(rollups.c.dimension == KINDS[dimension], _within(rollups, spans(start, end, finest)))
        .group_by(rollups.c.value)
        .order_by(order.desc(), rollups.c.value)
        .limit(limit)
    )
    return _shares(connection, connection.execute(query).all(), measures)


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
    query = (
        select(breakdowns.c.value, *_summed(breakdowns, PARTS))
        .where(
            breakdowns.c.scope == number,
            breakdowns.c.dimension == KINDS[dimension],
            _within(breakdowns, [Span(grain, start - start % grain, end + -end % grain)]),
        )
        .group_by(breakdowns.c.value)
        .order_by(func.sum(breakdowns.c[largest]).desc(), breakdowns.c.value)
        .limit(limit)
    )
    return _shares(connection, connection.execute(query).all(), PARTS)


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
            _within(breakdowns, [Span(grain, start - start % grain, end + -end % grain)]),
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
    return [rollups.c.dimension == KINDS[dimension], rollups.c.value == number]


def _within(table: Table, covered: Iterable[Span]) -> ColumnElement[bool]:
    return or_(
        False,
        *(
            (table.c.grain == span.grain) & (table.c.bucket >= span.start) & (table.c.bucket < span.end)
            for span in covered
        ),
    )


def _summed(table: Table, measures: Sequence[str]) -> list[ColumnElement[int]]:
    return [func.sum(table.c[name]) for name in measures]


def _shares(connection: Connection, rows: Sequence[Sequence[int]], measures: Sequence[str]) -> list[Share]:
    known = values_of(connection, [row[0] for row in rows])
    return [
        Share(known[row[0]], {name: int(amount or 0) for name, amount in zip(measures, row[1:], strict=True)})
        for row in rows
    ]
