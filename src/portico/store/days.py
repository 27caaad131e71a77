"""Sums of many teams, keys, tags … at once, day by day or over a range: in one query each, for reports that list all.

`rollups` answers for one value, or for the largest. Here nothing is left out; how many rows there may be at most is the
caller's to say.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, func, literal, select

from portico.store.dimensions import KINDS, Dimension, clean, values_of
from portico.store.rollups import grain_of
from portico.store.sums import DAY, HOUR
from portico.store.tables import TOKENS, breakdowns, names, rollups

_WHOLE: Final[Mapping[str, ColumnElement[int]]] = {
    "requests": rollups.c.requests,
    "errors": rollups.c.errors,
    "input_tokens": sum((rollups.c[name] for name in TOKENS[1:6]), rollups.c[TOKENS[0]]),
    "output_tokens": sum((rollups.c[name] for name in TOKENS[7:]), rollups.c[TOKENS[6]]),
    "cache_read": rollups.c.cache_read,
    "cache_write": rollups.c.cache_write_5m + rollups.c.cache_write_1h,
    "cost_nano_usd": rollups.c.cost_nano_usd,
}
_PART: Final[Mapping[str, ColumnElement[int]]] = {
    name: breakdowns.c[name] for name in ("requests", "errors", "input_tokens", "output_tokens", "cost_nano_usd")
}


class Row(NamedTuple):
    """The sums of one value on one day, or of one part of them.

    `day` is its start in seconds since the epoch, 0 where a whole range is summed up. `part` is empty where the calls
    of a value are not broken down, `value` where all calls are meant.
    """

    day: int
    value: str
    part: str
    amounts: Mapping[str, int]


def of_values(
    connection: Connection,
    start: int,
    end: int,
    dimension: Dimension | None,
    values: Sequence[str] | None = None,
    *,
    daily: bool = True,
    most: int = 50_000,
) -> list[Row]:
    """Return what the calls of each value of a dimension sum up to: of `values`, or of all that there are.

    Without a dimension, what all calls do. `start` and `end` are of whole days (UTC). At most `most` rows.
    """
    table = rollups.c
    chosen = [table.grain == DAY, table.bucket >= start, table.bucket < end]
    if dimension is None:
        chosen += [table.dimension == 0, table.value == 0]
    else:
        chosen.append(table.dimension == KINDS[dimension])
        if values is not None:
            chosen.append(table.value.in_(_numbers(dimension, values)))
    query = _summed(rollups, _WHOLE, chosen, daily, [table.value])
    rows = connection.execute(query.limit(most)).all()
    known = values_of(connection, list({row[1] for row in rows}))
    return [Row(row[0], known.get(row[1], ""), "", _amounts(_WHOLE, row[2:])) for row in rows if any(row[2:])]


def parts(
    connection: Connection,
    start: int,
    end: int,
    scope: Dimension,
    values: Sequence[str] | None,
    dimension: Dimension,
    *,
    daily: bool = True,
    most: int = 50_000,
) -> list[Row]:
    """Return the same broken down by another dimension. Raises KeyError where such sums are not kept."""
    # what is kept by the hour is summed up by the day once it is old; see `retention`
    grains = (HOUR, DAY) if grain_of(scope, dimension) == HOUR else (DAY,)
    table = breakdowns.c
    chosen = [
        table.grain.in_(grains),
        table.scope.in_(_numbers(scope, values)),
        table.dimension == KINDS[dimension],
        table.bucket >= start,
        table.bucket < end,
    ]
    query = _summed(breakdowns, _PART, chosen, daily, [table.scope, table.value])
    rows = connection.execute(query.limit(most)).all()
    known = values_of(connection, list({number for row in rows for number in row[1:3]}))
    return [Row(row[0], known[row[1]], known[row[2]], _amounts(_PART, row[3:])) for row in rows if any(row[3:])]


def _summed(
    table: Table,
    measures: Mapping[str, ColumnElement[int]],
    chosen: Sequence[ColumnElement[bool]],
    daily: bool,
    told: Sequence[ColumnElement[int]],
) -> Select[Any]:
    day = (table.c.bucket - table.c.bucket % DAY) if daily else literal(0)
    columns = (day.label("day"), *told)
    query = select(*columns, *(func.sum(column) for column in measures.values())).where(*chosen)
    apart = [*told, day] if daily else told
    return query.group_by(*apart).order_by(*apart)


def _numbers(dimension: Dimension, values: Sequence[str] | None) -> Select[tuple[int]]:
    query = select(names.c.id).where(names.c.kind == KINDS[dimension])
    return query if values is None else query.where(names.c.value.in_([clean(value) for value in values]))


def _amounts(measures: Mapping[str, Any], row: Sequence[Any]) -> dict[str, int]:
    return {name: int(amount or 0) for name, amount in zip(measures, row, strict=True)}
