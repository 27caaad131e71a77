"""One version of the configuration, made ready for calls."""

import os
from typing import Final

from portico.config.declared import declared
from portico.config.schema import Config
from portico.dialects.operations import Route, route
from portico.providers.resolve import resolve
from portico.stages.admit import Bounds
from portico.stages.authenticate import Keys
from portico.stages.own import kept
from portico.stages.plan import Routes
from portico.state.contract import State
from portico.upstream.detour import Detours
from portico.upstream.health import Healths
from portico.upstream.retry import Policy
from portico.upstream.target import Upstream
from portico.wire.client import Client

MEMO_BOUND: Final = 4096


class Snapshot:
    """What a call goes by. It keeps the one that it began with, whatever comes into force meanwhile."""

    def __init__(
        self, config: Config, client: Client, state: State, secret: bytes, version: int, healths: Healths | None = None
    ) -> None:
        self.config = config
        self.version = version
        self.limits = config.server.limits
        self.policy = Policy(config.retries, config.timeouts.call)
        healths = healths if healths is not None else Healths()
        healths.declare(config.breaker, config.providers)
        said = declared(config)
        self.keys = Keys(said.holders, secret, state.holder)
        self.bounds = Bounds(said.rules, state)
        self.upstreams = {
            name: Upstream(resolve(name, provider, os.environ), client, config.prices, healths)
            for name, provider in config.providers.items()
        }
        self.routes = Routes(
            config.models, self.upstreams, config.timeouts, config.routing, health=healths, secret=secret
        )
        detours = Detours(config.models)
        self.detours = detours if detours.any else None
        self._known: dict[tuple[str, bytes], Route] = {}

    def route(self, method: str, target: bytes) -> Route | None:
        """Return what a request is. What a target means is remembered, up to a bound: callers choose targets."""
        known = self._known.get((method, target))
        if known is None:
            known = route(method, target.partition(b"?")[0].decode("latin-1"), self.upstreams)
            if known is not None and known.found is not None:
                known = kept(known, self.upstreams)
            if known is not None and len(target) < 256:
                if len(self._known) >= MEMO_BOUND:
                    self._known.clear()
                self._known[(method, target)] = known
        return known
