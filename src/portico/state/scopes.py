"""Which counters a call is under: the rules that are for it, put together by the rows that hold their counts."""

from collections.abc import Iterable, Iterator
from itertools import product

from portico.config.wildcard import matches
from portico.rules import Applied, Dimension, row_of
from portico.state.contract import Scope
from portico.state.dimensions import Dimensions as Dimensions

NAMED: tuple[Dimension, ...] = ("key", "user", "customer", "team", "org", "tag", "provider")
"""Dimensions whose names find a rule, the one with the fewest calls to a name first."""


class Ruled:
    """Rules, found by what calls are told apart by, without a look at all of them: most name one key or team."""

    __slots__ = ("_by_name", "_others")

    def __init__(self, rules: Iterable[Applied]) -> None:
        self._by_name: dict[tuple[Dimension, str], list[Applied]] = {}
        self._others: list[Applied] = []
        for applied in rules:
            for dimension in NAMED:
                named = applied.to.get(dimension)
                if named is not None and not any("*" in name for name in named):
                    for name in dict.fromkeys(named):
                        self._by_name.setdefault((dimension, name), []).append(applied)
                    break
            else:
                self._others.append(applied)

    def __bool__(self) -> bool:
        return bool(self._by_name or self._others)

    def __repr__(self) -> str:
        return f"<Ruled {len(self._by_name)} names, {len(self._others)} others>"

    def scopes(self, call: Dimensions, own: Iterable[Applied] = ()) -> tuple[Scope, ...]:
        """Return the scopes of a call, each row once, ordered by name. `own` are rules that its key carries."""
        found = [*self._others, *own]
        for dimension in NAMED:
            for name in call.of(dimension):
                found += self._by_name.get((dimension, name), ())
        # A rule that names two tags is found twice by a call that has both.
        return scopes({id(applied): applied for applied in found}.values(), call)


def scopes(rules: Iterable[Applied], call: Dimensions) -> tuple[Scope, ...]:
    """Return the scopes of a call, each row once, ordered by name."""
    rows: dict[str, list[Applied]] = {}
    for applied in rules:
        for row in rows_of(applied, call):
            rows.setdefault(row, []).append(applied)
    return tuple(Scope(row, tuple(applied.rule for applied in rows[row])) for row in sorted(rows))


def rows_of(applied: Applied, call: Dimensions) -> Iterator[str]:
    """Yield the rows in which a rule counts a call: none where it is not for it, several where a call has several tags.

    A rule for a model counts a call once, by the name that was asked for.
    """
    for dimension, patterns in applied.to.items():
        if not any(matches(pattern, value) for value in call.of(dimension) for pattern in patterns):
            return
    for values in product(*(_told(dimension, call) for dimension in applied.each)):
        row = row_of(applied, dict(zip(applied.each, values, strict=True)))
        if row is not None:
            yield row


def _told(dimension: Dimension, call: Dimensions) -> tuple[str, ...]:
    values = call.of(dimension)
    return values[:1] if dimension == "model" else values
