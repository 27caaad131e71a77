"""Keys for providers that belong to one team: its calls go out with these, and meet health of their own.

What another team's key did, or the shared ones, says nothing of a team's own: neither that they rest, nor how fast
they are served. Everything that is remembered for a team is bounded, for there may be many.
"""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from portico.config.schema import Config, Provider
from portico.errors import ConfigError
from portico.providers.credentials import sendable
from portico.providers.resolve import resolve
from portico.state.supplies import StoredKey
from portico.upstream.health import Healths
from portico.upstream.target import Upstream

TEAMS: Final = 512
"""Teams whose providers and health are kept ready; those of others are made again when they call."""
NAMES: Final = 128
"""Names of models, and targets of a provider, that are remembered for one team."""

log = logging.getLogger("portico.team_keys")


class TeamKeys:
    """The keys of all teams. `healths` is the part of the health that is everybody's; each team has its own in it."""

    def __init__(self, keys: Sequence[StoredKey], config: Config, healths: Healths) -> None:
        self._breaker = config.breaker
        self._declared = config.providers
        self._healths = healths
        self._keys: dict[str, dict[str, list[StoredKey]]] = {}
        for key in keys:
            if key.team is not None and key.provider in config.providers:
                self._keys.setdefault(key.team, {}).setdefault(key.provider, []).append(key)
        for gone in healths.parts.keys() - self._keys.keys():
            del healths.parts[gone]

    def __repr__(self) -> str:
        return f"<TeamKeys of {len(self._keys)} teams>"

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, team: object) -> bool:
        return team in self._keys

    def upstreams(self, team: str, shared: Mapping[str, Upstream]) -> dict[str, Upstream]:
        """Return the providers as a team has them: with its own keys where it has any, else those that all share.

        A provider for which its keys cannot be used is closed to it: its calls do not go out in others' name.
        """
        keys = self._keys[team]
        declared = {name: with_own(self._declared[name], own) for name, own in keys.items()}
        part = self._healths.part(team, NAMES, TEAMS)
        part.declare(self._breaker, declared)
        return {
            name: _owned(team, upstream, declared[name], keys[name], part) if name in keys else upstream
            for name, upstream in shared.items()
        }


def usable(keys: Sequence[StoredKey]) -> list[StoredKey]:
    """Return the keys that can be sent: what is none is logged, and left out, or a team's without its secret.

    One bad key must not keep the others from being used.
    """
    found: list[StoredKey] = []
    for key in keys:
        if not key.secret or sendable(key.secret.strip()):
            found.append(key)
            continue
        log.error("the credential %s is no key that can be sent to %r", key.id, key.provider)
        if key.team is not None:
            found.append(msgspec.structs.replace(key, secret=""))
    return found


def with_own(provider: Provider, keys: Sequence[StoredKey]) -> Provider:
    """Return a provider with these keys and no others."""
    return msgspec.structs.replace(provider, api_key=None, api_keys=tuple(key.secret for key in keys if key.secret))


def _owned(team: str, shared: Upstream, declared: Provider, keys: Sequence[StoredKey], part: Healths) -> Upstream:
    name = shared.name
    why = f"the key of the team {team!r} for {name!r} cannot be used"
    if not declared.api_keys:
        return shared.closing(why)
    try:
        credentials = resolve(name, declared, os.environ).credentials
    except ConfigError as error:
        log.error("%s: %s", why, error)
        return shared.closing(why)
    provider = copy.copy(shared.provider)
    provider.credentials = credentials
    found = shared.owned(provider, part, [f"{name}#{key.id}" for key in keys if key.secret], NAMES)
    found.whose = team
    return found
