"""Objects that the configuration declares, as the API shows them: to be read here, and changed in their file."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from portico.config import schema
from portico.config.schema import Config
from portico.store.entities.things import (
    BudgetRule,
    Customer,
    Given,
    Key,
    LimitRule,
    Organization,
    PriceOverride,
    Team,
    Thing,
    User,
)

TABLES: Final[Mapping[str, str]] = {
    "organization": "organizations",
    "team": "teams",
    "user": "users",
    "key": "keys",
    "customer": "customers",
    "price": "prices",
}
"""The table of the configuration that declares objects of a kind."""


def declares(config: Config, kind: str, id: str) -> bool:  # noqa: A002  # the word of every API
    """Whether the configuration has an object of this id. A price goes by its model, with `:` for the slash."""
    if kind == "price":
        return any(price_id(model) == id for model in config.prices)
    return id in getattr(config, TABLES.get(kind, ""), {})


def declared_thing(config: Config, kind: str, id: str) -> Thing | None:  # noqa: A002
    """Return the object of this id that the configuration declares."""
    if kind in ("limit", "budget") and id.startswith("configuration."):
        return next((thing for thing in _apart(config, kind) if thing.id == id), None)
    if not declares(config, kind, id):
        return None
    if kind == "price":
        return _price(config, next(model for model in config.prices if price_id(model) == id))
    match getattr(config, TABLES[kind])[id]:
        case schema.Organization() as org:
            return Organization(
                id=id,
                source="configuration",
                name=id,
                blocked=org.blocked,
                models=org.models,
                limits=org.limits,
                budgets=org.budgets,
            )
        case schema.Team() as team:
            return _team(id, team)
        case schema.User() as user:
            return User(
                id=id,
                source="configuration",
                name=id,
                org=user.org,
                blocked=user.blocked,
                models=user.models,
                limits=user.limits,
                budgets=user.budgets,
            )
        case schema.Key() as key:
            return _key(id, key)
        case schema.Customer() as customer:
            return Customer(
                id=id,
                source="configuration",
                name=id,
                blocked=customer.blocked,
                markup=customer.markup,
                limits=customer.limits,
                budgets=customer.budgets,
            )
    return None


def declared_things(config: Config, kind: str) -> Iterator[Thing]:
    """Yield all objects of a kind that the configuration declares, by id."""
    if kind in ("limit", "budget"):
        yield from _apart(config, kind)
        return
    names = getattr(config, TABLES.get(kind, ""), {})
    for id in sorted(map(price_id, names) if kind == "price" else names):  # noqa: A001
        thing = declared_thing(config, kind, id)
        assert thing is not None
        yield thing


def _apart(config: Config, kind: str) -> list[Thing]:
    entries: list[tuple[type[Thing], schema.LimitFor | schema.BudgetFor]] = (
        [(LimitRule, one) for one in config.limits]
        if kind == "limit"
        else [(BudgetRule, one) for one in config.budgets]
    )
    found = [
        struct(
            id=f"configuration.{index}",
            source="configuration",
            **{name: getattr(entry, name) for name in entry.__struct_fields__},
        )
        for index, (struct, entry) in enumerate(entries)
    ]
    return sorted(found, key=lambda thing: thing.id)


def _team(id: str, team: schema.Team) -> Team:  # noqa: A002
    return Team(
        id=id,
        source="configuration",
        name=id,
        org=team.org,
        blocked=team.blocked,
        models=team.models,
        tags=team.tags,
        default_max_tokens=team.default_max_tokens,
        allowance_usd=team.allowance_usd,
        bodies=team.bodies,
        markup=team.markup,
        queue=team.queue,
        member=Given(limits=team.member.limits, budgets=team.member.budgets),
        limits=team.limits,
        budgets=team.budgets,
    )


def _key(id: str, key: schema.Key) -> Key:  # noqa: A002
    return Key(
        id=id,
        source="configuration",
        name=id,
        prefix=f"{key.key[:3]}…" if len(key.key) >= 16 else "…",
        org=key.org,
        team=key.team,
        user=key.user,
        blocked=key.blocked,
        expires=None if key.expires is None else datetime.fromtimestamp(key.expires, UTC),
        models=key.models,
        routes=key.routes,
        ips=key.ips,
        passthrough=key.passthrough,
        defaults=key.defaults,
        enforced=key.enforced,
        aliases=key.aliases,
        tags=key.tags,
        default_max_tokens=key.default_max_tokens,
        allowance_usd=key.allowance_usd,
        bodies=key.bodies,
        markup=key.markup,
        priority=key.priority,
        limits=key.limits,
        budgets=key.budgets,
    )


def price_id(model: str) -> str:
    """Return the id of a declared price: its model, with `:` for the slash, which would part a path."""
    return model.replace("/", ":")


def _price(config: Config, model: str) -> PriceOverride:
    price = config.prices[model]
    return PriceOverride(
        id=price_id(model),
        source="configuration",
        model=model,
        since=datetime(1970, 1, 1, tzinfo=UTC),
        input=price.input,
        output=price.output,
        cache_read=price.cache_read,
        cache_write=price.cache_write,
        cache_write_1h=price.cache_write_1h,
    )
