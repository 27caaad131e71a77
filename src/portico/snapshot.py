"""One version of the configuration, made ready for calls."""

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portico.bounds import Bounds
from portico.config.declared import declared, markups
from portico.config.schema import Config, Price
from portico.dialects.operations import Route, route
from portico.providers.resolve import resolve
from portico.queues import Queues
from portico.stages.authenticate import Keys
from portico.stages.own import kept
from portico.state.contract import State
from portico.state.supplies import (
    NOTHING,
    StoredPrice,
    Supplies,
    parse_keys,
    parse_markups,
    parse_prices,
    shared_of,
    with_stored,
)
from portico.team_keys import NAMES, TEAMS, TeamKeys, usable
from portico.upstream.detour import Detours
from portico.upstream.health import Healths
from portico.upstream.retry import Policy
from portico.upstream.routes import RolloutOf, Routes
from portico.upstream.target import NO_TEAM_KEY, Upstream
from portico.wire.client import Client

if TYPE_CHECKING:
    from portico.queueing.terms import Terms

MEMO_BOUND: Final = 4096
_editions: Final = itertools.count(1)


class Snapshot:
    """What a call goes by. It keeps the one that it began with, whatever comes into force meanwhile.

    `version` is that of the configuration, `edition` is no other snapshot's. `supplies` are prices and keys of
    providers that were set over the API; such keys join those of the configuration. `teams` are the keys of single
    teams, None where no team has any: `of` has what a team's calls go by. `markups` are those of customers, in
    millionths, None where none has any. `terms` say how calls wait that a limit refuses, None where they do not.
    """

    def __init__(
        self,
        config: Config,
        version: int,
        edition: int,
        supplies: Supplies,
        policy: Policy,
        keys: Keys,
        bounds: Bounds,
        upstreams: dict[str, Upstream],
        routes: Routes,
        detours: Detours | None,
        markups: dict[str, int] | None,
        terms: "Terms | None",
        teams: TeamKeys | None,
        known: dict[tuple[str, bytes], Route],
    ) -> None:
        self.config = config
        self.version = version
        self.edition = edition
        self.supplies = supplies
        self.limits = config.server.limits
        self.bodies = config.logs.bodies
        self.strict = config.strict
        self.policy = policy
        self.keys = keys
        self.bounds = bounds
        self.upstreams = upstreams
        self.routes = routes
        self.detours = detours
        self.markups = markups
        self.terms = terms
        self.teams = teams
        self._known = known
        self._of_teams: dict[str, Snapshot] = {}

    def of(self, team: str | None) -> "Snapshot":
        """Return what the calls of a team go by: this, or the same with the team's own keys for providers."""
        if self.teams is None or team is None or team not in self.teams:
            return self
        found = self._of_teams.get(team)
        if found is None:
            if len(self._of_teams) >= TEAMS:
                self._of_teams.pop(next(iter(self._of_teams)))
            upstreams = self.teams.upstreams(team, self.upstreams)
            found = self._of_teams[team] = Snapshot(
                self.config,
                self.version,
                self.edition,
                self.supplies,
                self.policy,
                self.keys,
                self.bounds,
                upstreams,
                self.routes.with_own(upstreams, NAMES),
                self.detours,
                self.markups,
                self.terms,
                None,
                self._known,
            )
        return found

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


def made_ready(
    config: Config,
    client: Client,
    state: State,
    secret: bytes,
    version: int,
    healths: Healths | None = None,
    supplies: Supplies = NOTHING,
    queues: Queues | None = None,
    rollouts: RolloutOf | None = None,
) -> Snapshot:
    """Return a configuration made ready for calls."""
    edition = next(_editions)
    healths = healths if healths is not None else Healths()
    said = declared(config)
    found, teams = upstreams(config, client, supplies, secret, healths)
    terms = queues.terms(config) if queues is not None else None
    gating = queues.gating(config, edition) if queues is not None else None
    for upstream in found.values():
        upstream.gating = gating
    routes = Routes(
        config.models,
        found,
        config.timeouts,
        config.routing,
        health=healths,
        secret=secret,
        rollouts=rollouts,
        caches=healths.caches if any(model.recalls for model in config.models.values()) else None,
    )
    detours = Detours(config.models)
    return Snapshot(
        config,
        version,
        edition,
        supplies,
        Policy(config.retries, config.timeouts.call),
        Keys(said.holders, secret, state.holder, lambda: state.rebuilt),
        Bounds(said.rules, state),
        found,
        routes,
        detours if detours.any else None,
        {**parse_markups(supplies.markups), **markups(config)} or None,
        terms,
        teams if len(teams) else None,
        {},
    )


def upstreams(
    config: Config, client: Client, supplies: Supplies, secret: bytes, healths: Healths
) -> tuple[dict[str, Upstream], TeamKeys]:
    """Return the providers of a configuration, with prices and keys that were set over the API, and keys of teams."""
    prices = _prices(parse_prices(supplies.prices))
    keys = usable(parse_keys(supplies.keys, secret))
    teams = TeamKeys(keys, config, healths)
    providers = {name: with_stored(each, shared_of(name, keys)) for name, each in config.providers.items()}
    healths.declare(config.breaker, providers)
    found = {
        name: Upstream(
            resolve(name, provider, os.environ),
            client,
            config.prices,
            healths,
            prices,
            [f"{name}#{key.id}" for key in shared_of(name, keys)],
        )
        for name, provider in providers.items()
    }
    for name, provider in providers.items():
        if provider.team_keys == "required":
            found[name] = found[name].closing(NO_TEAM_KEY % name)
    return found, teams


def _prices(found: Sequence[StoredPrice]) -> dict[str, list[tuple[int, Price]]]:
    prices: dict[str, list[tuple[int, Price]]] = {}
    for one in found:
        told = Price(one.input, one.output, one.cache_read, one.cache_write, one.cache_write_1h)
        prices.setdefault(one.model, []).append((one.starts, told))
    return prices
