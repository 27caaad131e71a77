"""Providers, targets and routes that are made from others: they have all that those have but what was changed."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from portico.config.load import load_plain
from portico.config.schema import Config
from portico.plan.candidate import Candidate
from portico.providers.resolve import resolve
from portico.upstream.health import Healths
from portico.upstream.routes import Routes, hurried
from portico.upstream.target import Target, Upstream
from portico.wire.client import Client

MADE = {
    "providers": {"one": {"like": "openai", "api_keys": ["sk-1", "sk-2"]}},
    "models": {"m": {"targets": ["one/gpt-5-mini"], "resume": True}},
    "routing": {"rules": [{"when": "stream", "use": "m"}]},
}


@pytest.fixture
def config() -> Config:
    return load_plain(MADE, {}).config


@pytest.fixture
def upstream(config: Config) -> Iterator[Upstream]:
    loop = asyncio.new_event_loop()
    provider = resolve("one", config.providers["one"], {})
    made = Upstream(provider, Client(loop=loop), config.prices)
    made.whose, made.gating, made.closed = "core", None, None
    made._bound = 7
    yield made
    loop.close()


def held(thing: Any) -> dict[str, Any]:
    """Return all attributes of a thing."""
    names = getattr(type(thing), "__mypyc_attrs__", None)  # where it is compiled
    if names is None:
        names = vars(thing) if hasattr(thing, "__dict__") else type(thing).__slots__
    return {name: getattr(thing, name) for name in names}


def differing(one: object, other: object) -> set[str]:
    """Return which attributes are not the very same; of words, numbers and tuples, equal."""
    mine, theirs = held(one), held(other)
    assert mine.keys() == theirs.keys()
    simple = str | int | float | tuple
    return {
        name
        for name, value in mine.items()
        if theirs[name] is not value and not (isinstance(value, simple) and theirs[name] == value)
    }


def test_a_pinned_provider_differs_in_its_keys_alone(upstream: Upstream) -> None:
    pinned = upstream.pinned(upstream.keyring.credentials[1].id)

    assert pinned is not None
    assert differing(upstream, pinned) == {"keyring", "_targets"}


def test_a_closed_provider_differs_in_that_alone(upstream: Upstream) -> None:
    assert differing(upstream, upstream.closing("for a reason")) == {"closed", "_targets", "_pinned"}


def test_a_teams_provider_differs_in_its_keys_and_their_health(upstream: Upstream) -> None:
    made = upstream.owned(upstream.provider, Healths(), (), 3)

    assert differing(upstream, made) == {"healths", "keyring", "_targets", "_pinned", "_shared", "_bound"}


def test_a_hurried_target_differs_in_its_deadlines_alone(upstream: Upstream, config: Config) -> None:
    target = upstream.target("gpt-5-mini", config.timeouts)
    target.asks_usage = False
    target.health.first_token[0] = 1.0
    assert target.ceiling is not None
    candidate = Candidate(target, target.name, target.price)
    candidate.until = time.time()

    made = hurried(candidate, 2.0)

    assert differing(candidate, made) == {"target"}
    assert isinstance(made.target, Target)
    assert differing(target, made.target) == {"deadlines", "hurried"}
    assert made.target.deadlines.first_byte == 2.0
    assert made.target.deadlines.total == target.deadlines.total


def test_routes_over_other_keys_differ_in_the_providers_and_what_is_remembered(
    upstream: Upstream, config: Config
) -> None:
    routes = Routes(
        config.models, {"one": upstream}, config.timeouts, config.routing, health=Healths(), secret=b"x", now=time.time
    )

    made = routes.with_own({"one": upstream.closing("for a reason")}, 5)

    assert differing(routes, made) == {"_upstreams", "_health", "_bound", "_known", "_find"}
