"""What calls are told apart by: their dimensions, numbered, and the values of those, numbered as they come."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from sqlalchemy import Connection, select

from portico.store.bulk import insert_missing
from portico.store.tables import names

Dimension = Literal[
    "org", "team", "user", "key", "customer", "tag", "model", "target", "provider", "operation", "status", "arm"
]

KINDS: dict[Dimension, int] = {
    "org": 1,
    "team": 2,
    "user": 3,
    "key": 4,
    "customer": 5,
    "tag": 6,
    "model": 7,
    "target": 8,
    "provider": 9,
    "operation": 10,
    "status": 11,
    "arm": 12,
}
"""The number of each dimension; they are in the store, and never given anew. `model` is as the caller asked for it;
`status` is a class of them (`2xx`); `arm` the side of a split that a call was given."""

BY_HOUR: dict[Dimension, tuple[Dimension, ...]] = {
    "org": ("model", "provider", "status"),
    "team": ("model", "provider", "status"),
    "user": ("model",),
    "key": ("model",),
    "customer": ("model",),
    "tag": ("model",),
    "model": ("target", "status", "arm"),
    "target": ("status",),
    "provider": ("status",),
}
"""By what the calls of one org, team … can be shown, hour by hour: dimensions of few values."""

BY_DAY: dict[Dimension, tuple[Dimension, ...]] = {
    "org": ("team", "key"),
    "team": ("user", "key", "customer", "tag"),
}
"""By what they can be shown day by day, and month by month: dimensions of many."""

LONGEST = 256
"""Characters of a value; what is behind them tells nothing apart."""

Name = tuple[int, str]
"""The number of a dimension, and a value of it."""


def clean(value: str) -> str:
    """Return a value as every database takes it."""
    return value[:LONGEST].replace("\0", "\ufffd")


class Names:
    """The numbers of values, kept in memory as far as they were needed. For one transaction after another."""

    MOST = 300_000

    def __init__(self) -> None:
        self._known: dict[Name | None, int] = {None: 0}
        self._fresh: list[Name] = []

    @property
    def known(self) -> Mapping[Name | None, int]:
        """The numbers that are known, and 0 for no name."""
        return self._known

    def number(self, connection: Connection, wanted: Collection[Name]) -> Mapping[Name | None, int]:
        """Return the numbers of values, giving new ones where need be. The mapping has others in it too."""
        missing = [name for name in wanted if name not in self._known]
        if missing:
            if len(self._known) > self.MOST:
                self._known.clear()
                self._known[None] = 0
                missing = list(wanted)
            self._find(connection, missing)
            unknown = [name for name in missing if name not in self._known]
            if unknown:
                insert_missing(connection, names, ("kind", "value"), sorted(unknown))
                self._find(connection, unknown)
                self._fresh += unknown
        return self._known

    def committed(self) -> None:
        """Say that the transaction was committed."""
        self._fresh.clear()

    def rolled_back(self) -> None:
        """Say that the transaction was not: what it numbered is not known."""
        for name in self._fresh:
            self._known.pop(name, None)
        self._fresh.clear()

    def _find(self, connection: Connection, wanted: Sequence[Name]) -> None:
        by_kind: dict[int, list[str]] = {}
        for kind, value in wanted:
            by_kind.setdefault(kind, []).append(value)
        for kind, values in by_kind.items():
            for at in range(0, len(values), 500):
                chosen = (names.c.kind == kind) & names.c.value.in_(values[at : at + 500])
                for id_, value in connection.execute(select(names.c.id, names.c.value).where(chosen)):
                    self._known[kind, value] = id_


def number_of(connection: Connection, dimension: Dimension, value: str) -> int | None:
    """Return the number of a value; None for one that no call had."""
    chosen = (names.c.kind == KINDS[dimension]) & (names.c.value == clean(value))
    return connection.execute(select(names.c.id).where(chosen)).scalar()


def values_of(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Return the values that have these numbers."""
    found: dict[int, str] = {}
    for at in range(0, len(numbers), 500):
        rows = connection.execute(select(names.c.id, names.c.value).where(names.c.id.in_(numbers[at : at + 500])))
        found.update((id_, value) for id_, value in rows)
    return found
