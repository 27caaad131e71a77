"""Which budgets recorded calls count in, by the rules of now, and since when each of them counts."""

from collections.abc import Iterable, Iterator
from typing import Final, cast

from sqlalchemy import Connection

from portico.config.declared import declared, rules_of
from portico.control.admin import Admin
from portico.record import Record
from portico.recover import used_by
from portico.rules import Applied, Bound, Rule
from portico.state import windows
from portico.state.contract import Scope, Used
from portico.state.scopes import Dimensions, scopes
from portico.store.entities import stored
from portico.store.entities.holders import Compiler
from portico.store.entities.things import Key, Membership, User

AT_HAND: Final = 10_000
"""Calls told apart whose scopes are remembered."""
NOTHING: Final = Used(0, 0, 0, 0)


class Under:
    """Which scopes calls are under, by the rules of now."""

    def __init__(self, admin: Admin, db: Connection) -> None:
        self._db = db
        self._compiler = Compiler(db, admin.config)
        said = declared(admin.config)
        self._common: tuple[Applied, ...] = (*said.rules, *self._compiler.rules())
        self._own: dict[str, tuple[Applied, ...]] = {}
        self._known: dict[tuple[object, ...], tuple[tuple[Scope, frozenset[str]], ...]] = {}
        self._by_name: dict[str, Rule] = {}

    def look_by(self, db: Connection) -> None:
        """Look up by another connection what is not known yet."""
        self._db = db
        self._compiler.look_by(db)

    def since(self, wall_ns: int) -> int:
        """Return from when on calls count in any budget, in milliseconds since the epoch."""
        least = wall_ns
        for rule in {applied.rule for applied in self._common} | self._budgets():
            if rule.kind == "budget":
                least = min(least, reaches(rule, wall_ns))
        return max(least, 0) // 1_000_000

    def charged(self, record: Record, used: Used) -> Iterator[tuple[Scope, Used]]:
        """Yield the scopes with a budget that a call was under, and what it is charged there, which used so much.

        A scope that is not of all the targets that it went to is charged what was used at those that it is of.
        """
        for scope, targets in self._scopes(record):
            yield scope, used.at(targets)

    def scopes(self, record: Record) -> tuple[Scope, ...]:
        """Return the scopes with a budget that a call was under: those of all the targets that it went to."""
        return tuple(scope for scope, _ in self._scopes(record))

    def _scopes(self, record: Record) -> tuple[tuple[Scope, frozenset[str]], ...]:
        targets = tuple(dict.fromkeys(attempt.target for attempt in record.attempts)) or (record.target or "",)
        key = (record.key, record.user, record.team, record.org, record.customer, record.tags, record.model, targets)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= AT_HAND:
                self._known.clear()
            rules = (*self._common, *self._of_key(record.key))
            rows_: dict[str, tuple[Scope, frozenset[str]]] = {}
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
                        known, others = rows_.get(scope.row, (scope, frozenset()))
                        rows_[scope.row] = known, others | {target}
            found = self._known[key] = tuple(rows_.values())
        return found

    def rule(self, row: str, name: str) -> Rule | None:
        """Return the rule of this name that counts in a row, None where there is none any more."""
        if not self._by_name:
            self._by_name = {applied.rule.id: applied.rule for applied in self._common}
        found = self._by_name.get(name)
        if found is None:
            found = next((applied.rule for applied in self._carried(row) if applied.rule.id == name), None)
        return found

    def _carried(self, row: str) -> Iterable[Applied]:
        """Return the rules of a row that ride with keys: of a key, a user or a membership."""
        if row.startswith("key:"):
            return self._of_key(row.removeprefix("key:"))
        team, and_, user = row.removeprefix("team:").partition("|user:")
        if and_:
            thing = self._compiler.find("membership", f"{team}/{user}")
        else:
            thing = self._compiler.find("user", row.removeprefix("user:"))
        if isinstance(thing, Membership) or (isinstance(thing, User) and thing.source == "api"):
            return self._compiler.own_bounds(thing)
        return ()

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


def reaches(rule: Rule, wall_ns: int) -> int:
    """Return when the earliest call came that this budget still counts, in nanoseconds since the epoch."""
    length = windows.length_ns(rule.window)
    if length is None:
        return 0
    if rule.window.rolling:
        return wall_ns - length - length // windows.granules(rule.window) - 1
    return windows.span(rule.window, wall_ns)[0]


def used_for(record: Record) -> Used:
    """Return what a recorded call is charged in its scopes. A job is no call: that which has started it is."""
    if record.basis == "assumed":
        return Used(0, 0, record.cost_nano_usd or 0, int(record.job is None))
    used = used_by(record, Bound(0, 0, record.bound_nano_usd))
    if record.job is None:
        return used
    return Used(used.input_tokens, used.output_tokens, used.cost, 0, used.parts)
