"""Routes for tests: a configuration, upstreams that send nothing, and health that is said rather than measured."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from portico.config.load import load_plain
from portico.plan.facts import Facts
from portico.plan.health import Untried, size_class
from portico.providers.catalog import resolve
from portico.upstream.routes import Routes
from portico.upstream.target import Upstream
from portico.wire.client import Client

KEY: Mapping[str, Any] = {"api_key": "sk-0123456789012345"}


class Healths(dict[str, Untried]):
    """The health of targets by name, made when it is asked for."""

    def __call__(self, name: str, /) -> Untried:
        """Return the health of a target."""
        return self.setdefault(name, Untried())

    def say(self, name: str, *, first: float = 0.0, per_token: float = 0.0, now: float = 100.0, **other: Any) -> None:
        """Say how a target does."""
        health = self(name)
        health.first_token, health.per_token = [first] * 4, [per_token] * 4
        health.sampled = now
        for field, value in other.items():
            setattr(health, field, value)


@contextmanager
def routes(
    config: Mapping[str, Any],
    healths: Healths | None = None,
    now: float = 100.0,
    wall: Callable[[], float] = time.time,
) -> Iterator[Routes]:
    """Yield the routes of a configuration, at a moment of the clock; `wall` is that of prices."""
    loop = asyncio.new_event_loop()
    try:
        loaded = load_plain(dict(config), {}).config
        client = Client(loop=loop)
        upstreams = {
            name: Upstream(resolve(name, declared, {}), client, loaded.prices)
            for name, declared in loaded.providers.items()
        }
        yield Routes(
            loaded.models,
            upstreams,
            loaded.timeouts,
            loaded.routing,
            health=healths if healths is not None else Healths(),
            secret=b"a secret of the installation",
            now=lambda: now,
            wall=wall,
        )
    finally:
        loop.close()


def facts(model: str, body: Mapping[str, Any] | None = None, **known: Any) -> Facts:
    """Return what is known of a call with this body."""
    written = msgspec.json.encode(body if body is not None else {"model": model})
    members = msgspec.json.decode(written, type=dict[str, msgspec.Raw])
    made = Facts(model, body=written, members=members, stream=bool((body or {}).get("stream")))
    for name, value in known.items():
        setattr(made, name, value)
    if "input_tokens" in known:
        made.size = size_class(made.input_tokens)
    return made
