"""Objects of the store compiled to what calls are checked by: a key to its holder, bounds to rules."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from sqlalchemy import Connection

from portico.config.declared import label_for, millionths, nano, raw, rules_of, within
from portico.config.schema import Config
from portico.rules import Applied, Dimension, Holder, Rule
from portico.store.entities import rows
from portico.store.entities.declared import declared_thing
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import (
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


_NO_TEAM, _NO_USER, _NO_ORG = Team(id=""), User(id=""), Organization(id="")


class Compiler:
    """Compiles what one connection sees. What a key refers to is looked up once; declared objects come first."""

    def __init__(self, db: Connection, config: Config) -> None:
        self._db = db
        self._config = config
        self._found: dict[tuple[str, str], Thing | None] = {}

    def find(self, kind: str, id: str | None) -> Thing | None:  # noqa: A002  # the word of every API
        """Return an object, whoever declares it."""
        if id is None:
            return None
        if (kind, id) not in self._found:
            declared = declared_thing(self._config, kind, id)
            self._found[kind, id] = declared or rows.find(self._db, KINDS[kind], id)
        return self._found[kind, id]

    def holder(self, key: Key, until_ms: int | None = None) -> Holder:
        """Return who holds a key; by an old hash of it, until that has had its time of grace."""
        team = cast("Team | None", self.find("team", key.team)) or _NO_TEAM
        user = cast("User | None", self.find("user", key.user)) or _NO_USER
        org_id = key.org or team.org or user.org
        org = cast("Organization | None", self.find("organization", org_id)) or _NO_ORG
        ends = [key.expires.timestamp()] if key.expires is not None else []
        ends += [until_ms / 1000] if until_ms is not None else []
        allowance = key.allowance_usd if key.allowance_usd is not None else team.allowance_usd
        return Holder(
            id=key.id,
            name=key.name or key.id,
            org=org_id,
            team=key.team,
            user=key.user,
            blocked=key.blocked or team.blocked or user.blocked or org.blocked,
            expires=min(ends) if ends else None,
            models=within(key.models, team.models, user.models, org.models),
            routes=key.routes,
            ips=key.ips,
            passthrough=key.passthrough,
            defaults=raw(key.defaults),
            enforced=raw(key.enforced),
            aliases={**team.aliases, **key.aliases},
            tags=tuple(dict.fromkeys((*team.tags, *key.tags))),
            default_max_tokens=key.default_max_tokens or team.default_max_tokens,
            allowance=None if allowance is None else nano(allowance),
            bodies=key.bodies or team.bodies,
            markup=millionths(key.markup if key.markup is not None else team.markup),
            rules=tuple(self._own_rules(key, user)),
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

    def bounds(self, thing: Bounded, label: str, to: Mapping[Dimension, tuple[str, ...]]) -> Iterator[Applied]:
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
            yield from self.bounds(thing, f"key:{thing.id}", {"key": (thing.id,)})

    def _own_rules(self, key: Key, user: User) -> Iterator[Applied]:
        yield from self.own_bounds(key)
        if user.id and user.source == "api":
            yield from self.own_bounds(user)
        if key.team is not None and key.user is not None:
            membership = self.find("membership", f"{key.team}/{key.user}")
            if isinstance(membership, Membership):
                yield from self.own_bounds(membership)


def _label(thing: LimitRule | BudgetRule) -> str:
    return f"{thing.id}:{label_for(thing.to, thing.each)}"
