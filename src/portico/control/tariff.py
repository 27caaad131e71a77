"""What models cost by all that is known now: the store's prices by their dates, the configuration's, the shipped."""

import os
from functools import lru_cache
from typing import cast

from sqlalchemy import Connection

from portico.config import schema
from portico.errors import ConfigError
from portico.providers.prices import Price, price_of, stored, with_overrides
from portico.providers.prices_terms import at_host
from portico.providers.resolve import resolve
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import PriceOverride


class Tariff:
    """What a model costs at a provider: of those that the configuration declares as workers charge it."""

    def __init__(self, config: schema.Config, db: Connection) -> None:
        self._declared = config.providers
        self._said = with_overrides(config.prices, self._shipped)
        self._changes: dict[str, list[tuple[int, schema.Price]]] = {}
        for thing in rows.every(db, KINDS["price"]):
            own = cast("PriceOverride", thing)
            self._changes.setdefault(own.model, []).append((int(own.since.timestamp()), _told(own)))
        self._known = lru_cache(maxsize=2048)(self._found)
        self._host = lru_cache(maxsize=256)(self._resolved)

    def price_of(self, provider: str, model: str) -> Price | None:
        """Return the price, with all its dates; None where nobody knows."""
        return self._known(provider, model)

    def at(self, provider: str, model: str, moment: float) -> Price | None:
        """Return the same for a call of a moment, None where nobody had known what it costs by then."""
        changes = self._changes.get(f"{provider}/{model}")
        if changes is not None and moment < min(starts for starts, _ in changes):
            return self._said(provider, model)
        return self._known(provider, model)

    def _found(self, provider: str, model: str) -> Price | None:
        name = f"{provider}/{model}"
        found, changes = self._said(provider, model), self._changes.get(name)
        return found if changes is None else stored(found, name, changes)

    def _shipped(self, provider: str, model: str) -> Price | None:
        declared = self._declared.get(provider)
        if declared is None:
            return price_of(provider, model)
        like, model = declared.like or provider, declared.base_models.get(model, model)
        return at_host(price_of(like, model), f"{like}/{model}", self._host(provider))

    def _resolved(self, provider: str) -> str:
        try:
            return resolve(provider, self._declared[provider], os.environ).base.host
        except ConfigError:
            return ""  # it cannot be called as it is declared: no price depends on where


def _told(one: PriceOverride) -> schema.Price:
    return schema.Price(one.input, one.output, one.cache_read, one.cache_write, one.cache_write_1h)
