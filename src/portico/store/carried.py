"""What budgets count of calls that are in the store no more: sums by row and rule, put down as the calls are let go of.

A budget that never ends has one sum, under the day 0; any other has one a day, of which those go that its window has
left behind.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from portico.store import bulk
from portico.store.sums import DAY
from portico.store.tables import carried

COLUMNS = ("row", "rule", "day", "requests", "input_tokens", "output_tokens", "cost_nano_usd")
AT_ONCE = 2_000
"""Sums read at a time."""


class Place(NamedTuple):
    """Where a sum is: the counters of which row, by the id of which rule, of which day (seconds since the epoch)."""

    row: str
    rule: str
    day: int


class Amounts(NamedTuple):
    """What calls used that a budget counts."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0


def add(connection: Connection, sums: Mapping[Place, Amounts]) -> None:
    """Add to what is carried."""
    bulk.add(connection, carried, COLUMNS, [(place.row.encode(), *place[1:], *sums[place]) for place in sorted(sums)])


def drop(connection: Connection, rule: str, before: int) -> None:
    """Let go of the days of a rule that end at this second of the epoch, or earlier; never of the day 0."""
    of_days = (carried.c.day > 0) & (carried.c.day <= before - DAY)
    connection.execute(delete(carried).where(carried.c.rule == rule, of_days))


def every(connection: Connection) -> Iterator[tuple[Place, Amounts]]:
    """Yield all that is carried, in slices."""
    table = carried.c
    key = (table.row, table.rule, table.day)
    query = select(*key, *(table[name] for name in COLUMNS[3:])).order_by(*key).limit(AT_ONCE)
    after = query
    while found := connection.execute(after).all():
        for row, rule, day, *amounts in found:
            yield Place(bytes(row).decode(), rule, day), Amounts(*amounts)
        row, rule, day = found[-1][:3]
        behind = (table.rule > rule) | ((table.rule == rule) & (table.day > day))
        after = query.where((table.row > row) | ((table.row == row) & behind))
