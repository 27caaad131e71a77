"""Objects of the store compiled to what calls are checked by: a key to its holder, bounds to rules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, cast

import msgspec
from sqlalchemy import Connection

from portico.config.declared import label_for, millionths, nano, raw, rules_of, within
from portico.config.schema import Config
from portico.rules import Applied, Dimension, Holder, Rule
from portico.store.entities import rows
from portico.store.entities.declared import declared_thing
from portico.store.entities.kinds import KINDS
from portico.store.entities.stored import Stored
from portico.store.entities.things import (
    Bodies,
    Bounded,
    BudgetRule,
    Customer,
    Key,
    LimitRule,
    Membership,
    Organization,
    Team,
    Template,
    Thing,
    User,
)

DIMENSIONS: Final[Mapping[str, Dimension]] = {
    "organization": "org",
    "team": "team",
    "user": "user",
    "key": "key",
    "customer": "customer",
    "tag": "tag",
}
"""What each kind of object is called where calls are told apart."""


AT_HAND: Final = 30_000
"""What keys refer to, and what they share of it, kept while many keys are compiled: so many of each."""
FEW: Final = 4
"""So many objects are as quickly read one by one."""

_NO_TEAM, _NO_USER, _NO_ORG = Team(id=""), User(id=""), Organization(id="")


class _Around(msgspec.Struct, frozen=True):
    """What a holder takes from the team, user and organization of its key: the same for all keys that share them."""

    org: str | None
    blocked: bool
    models: tuple[tuple[str, ...], ...]
    aliases: dict[str, str]
    tags: tuple[str, ...]
    default_max_tokens: int | None
    allowance: int | None
    bodies: Bodies | None
    markup: int
    weight: float
    wait: float | None
    rules: tuple[Applied, ...]


class Compiler:
    """Compiles what one connection sees. What a key refers to is looked up once; declared objects come first."""

    def __init__(self, db: Connection, config: Config) -> None:
        self._db = db
        self._config = config
        self._found: dict[tuple[str, str], Thing | None] = {}
        self._surroundings: dict[tuple[str | None, str | None, str | None], _Around] = {}

    def look_by(self, db: Connection) -> None:
        """Look up by another connection what is not known yet."""
        self._db = db

    def find(self, kind: str, id: str | None) -> Thing | None:  # noqa: A002  # the word of every API
        """Return an object, whoever declares it."""
        if id is None:
            return None
        if (kind, id) not in self._found:
            declared = declared_thing(self._config, kind, id)
            self._found[kind, id] = declared or rows.find(self._db, KINDS[kind], id)
        return self._found[kind, id]

    def holder(self, key: Key | Stored, until_ms: int | None = None) -> Holder:
        """Return who holds a key; by an old hash of it, until that has had its time of grace."""
        around = self._around(key)
        expires = key.expires.timestamp() if key.expires is not None else None
        if until_ms is not None:
            expires = until_ms / 1000 if expires is None else min(expires, until_ms / 1000)
        own = key.limits or key.budgets or key.template is not None
        return Holder(
            id=key.id,
            name=key.name or key.id,
            org=around.org,
            team=key.team,
            user=key.user,
            blocked=key.blocked or around.blocked,
            expires=expires,
            models=within(key.models, *around.models) if around.models else key.models,
            routes=key.routes,
            ips=key.ips,
            passthrough=key.passthrough,
            defaults=raw(key.defaults) if key.defaults else {},
            enforced=raw(key.enforced) if key.enforced else {},
            aliases={**around.aliases, **key.aliases} if key.aliases else around.aliases,
            tags=tuple(dict.fromkeys((*around.tags, *key.tags))) if key.tags else around.tags,
            default_max_tokens=key.default_max_tokens or around.default_max_tokens,
            allowance=around.allowance if key.allowance_usd is None else nano(key.allowance_usd),
            bodies=key.bodies or around.bodies,
            markup=around.markup if key.markup is None else millionths(key.markup),
            priority=key.priority,
            weight=around.weight,
            wait=around.wait,
            rules=(*self._bounds_of_key(key), *around.rules) if own else around.rules,
        )

    def foresee(self, keys: Iterable[Stored]) -> None:
        """Read at once what these keys refer to, and has not been read yet: for one at a time, each is a query."""
        if len(self._found) > AT_HAND:
            self._found.clear()
        if len(self._surroundings) > AT_HAND:
            self._surroundings.clear()
        shared = {(key.team, key.user, key.org): key for key in keys}
        around = [key for shares, key in shared.items() if shares not in self._surroundings]
        self._read("team", (key.team for key in around))
        self._read("user", (key.user for key in around))
        self._read("membership", (f"{key.team}/{key.user}" for key in around if key.team and key.user))

    def _read(self, kind: str, ids: Iterable[str | None]) -> None:
        wanted = [id for id in dict.fromkeys(ids) if id is not None and (kind, id) not in self._found]  # noqa: A001
        if len(wanted) < FEW:
            return
        stored = {thing.id: thing for thing in rows.page(self._db, KINDS[kind], {"id": wanted}, "", len(wanted))}
        for id in wanted:  # noqa: A001
            self._found[kind, id] = declared_thing(self._config, kind, id) or stored.get(id)

    def _around(self, key: Key | Stored) -> _Around:
        found = self._surroundings.get((key.team, key.user, key.org))
        if found is None:
            found = self._surroundings[key.team, key.user, key.org] = self._look_around(key.team, key.user, key.org)
        return found

    def _look_around(self, team_id: str | None, user_id: str | None, org_id: str | None) -> _Around:
        team = cast("Team | None", self.find("team", team_id)) or _NO_TEAM
        user = cast("User | None", self.find("user", user_id)) or _NO_USER
        org_id = org_id or team.org or user.org
        org = cast("Organization | None", self.find("organization", org_id)) or _NO_ORG
        return _Around(
            org=org_id,
            blocked=team.blocked or user.blocked or org.blocked,
            models=tuple(filter(None, (team.models, user.models, org.models))),
            aliases=team.aliases,
            tags=tuple(dict.fromkeys(team.tags)),
            default_max_tokens=team.default_max_tokens,
            allowance=None if team.allowance_usd is None else nano(team.allowance_usd),
            bodies=team.bodies,
            markup=millionths(team.markup),
            weight=team.queue.weight if team.queue is not None else 1.0,
            wait=team.queue.wait if team.queue is not None else None,
            rules=tuple(self._rules_around(team_id, user_id, user)),
        )

    def rules(self) -> Iterator[Applied]:
        """Yield the rules that no key carries: of organizations, teams, customers, tags, and those of their own."""
        for name in ("organization", "team", "customer", "tag"):
            for thing in rows.every(self._db, KINDS[name]):
                dimension = DIMENSIONS[name]
                yield from self.bounds(cast("Bounded", thing), f"{dimension}:{thing.id}", {dimension: (thing.id,)})
                if isinstance(thing, Customer) and thing.blocked:
                    blocked = Rule(f"customer:{thing.id}/blocked", "limit", "in_flight", 0)
                    yield Applied(blocked, {"customer": (thing.id,)})
        for thing in rows.every(self._db, KINDS["limit"]):
            assert isinstance(thing, LimitRule)
            yield from rules_of(_label(thing), [thing.entry()], [], thing.to, thing.each)
        for thing in rows.every(self._db, KINDS["budget"]):
            assert isinstance(thing, BudgetRule)
            yield from rules_of(_label(thing), [], [thing.entry()], thing.to, thing.each)

    def markups(self) -> dict[str, int]:
        """Return the customers that have a markup or discount of their own, in millionths."""
        found = (cast("Customer", thing) for thing in rows.every(self._db, KINDS["customer"]))
        return {one.id: millionths(one.markup) for one in found if one.markup is not None}

    def bounds(self, thing: Bounded | Stored, label: str, to: Mapping[Dimension, tuple[str, ...]]) -> Iterator[Applied]:
        """Yield the rules of an object: its own, and those of the template that it names."""
        yield from rules_of(label, thing.limits, thing.budgets, to)
        template = self.find("template", thing.template)
        if isinstance(template, Template):
            yield from rules_of(f"{label}/{template.id}", template.limits, template.budgets, to)

    def own_bounds(self, thing: Bounded) -> Iterator[Applied]:
        """Yield the rules of an object that ride with its keys: of a key, a user or a membership."""
        if isinstance(thing, Membership):
            to: dict[Dimension, tuple[str, ...]] = {"team": (thing.team,), "user": (thing.user,)}
            yield from self.bounds(thing, f"team:{thing.team}/user:{thing.user}", to)
        elif isinstance(thing, User):
            yield from self.bounds(thing, f"user:{thing.id}", {"user": (thing.id,)})
        elif isinstance(thing, Key):
            yield from self._bounds_of_key(thing)

    def _bounds_of_key(self, key: Key | Stored) -> Iterator[Applied]:
        yield from self.bounds(key, f"key:{key.id}", {"key": (key.id,)})

    def _rules_around(self, team: str | None, user_id: str | None, user: User) -> Iterator[Applied]:
        if user.id and user.source == "api":
            yield from self.own_bounds(user)
        if team is not None and user_id is not None:
            membership = self.find("membership", f"{team}/{user_id}")
            if isinstance(membership, Membership):
                yield from self.own_bounds(membership)


def _label(thing: LimitRule | BudgetRule) -> str:
    return f"{thing.id}:{label_for(thing.to, thing.each)}"
