"""LiteLLM's `/health` and `/model/info`: the targets that the configuration names, and how they do.

No provider is asked: whether a target is healthy is what workers found out with the calls that they made. One that
fails again and again rests, and so does a key that a provider refuses; workers tell each other, and that is read here.
"""

import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from portico.config.schema import Provider
from portico.config.wildcard import matches
from portico.control.admin import Look
from portico.control.litellm.fields import Plain
from portico.control.litellm.said import named_key
from portico.control.supplies import stored_keys
from portico.errors import ConfigError, NotFound
from portico.state.supplies import StoredKey, shared_of, with_stored
from portico.types import NANO

if TYPE_CHECKING:
    from portico.control.tariff import Tariff


class Deployment(NamedTuple):
    """A target of a name: LiteLLM's kind of a model that is deployed."""

    id: str
    name: str
    target: str
    weight: float


def health(look: Look, said: Plain) -> Plain:
    """Say which targets serve and which rest; of one model, or one deployment by its id, where that is asked."""
    found = list(_deployments(look))
    model, id = said.get("model"), said.get("model_id")  # noqa: A001  # the word of every API
    if model is not None:
        found = [one for one in found if model in (one.name, one.target)]
    if id is not None:
        found = [one for one in found if id == one.id]
    if not found and (model is not None or id is not None):
        raise NotFound("there is no such model here")
    why = _Resting(look)
    healthy: list[Plain] = []
    unhealthy: list[Plain] = []
    for one in found:
        row: Plain = {"model": one.target, "model_id": one.id, "model_name": one.name, "api_base": why.base(one.target)}
        reason = why(one.target)
        if reason is None:
            healthy.append(row)
        else:
            unhealthy.append({**row, "error": reason})
    return {
        "healthy_endpoints": healthy,
        "unhealthy_endpoints": unhealthy,
        "healthy_count": len(healthy),
        "unhealthy_count": len(unhealthy),
    }


def model_info(look: Look, said: Plain) -> Plain:
    """List the models that the configuration names, with their targets and what these cost."""
    wanted = said.get("litellm_model_id")
    data: list[Plain] = []
    tariff = _tariff(look)
    for one in _deployments(look):
        if wanted is not None and wanted != one.id:
            continue
        info: Plain = {"id": one.id, "db_model": False, "weight": one.weight, **_facts(tariff, one.target)}
        data.append({"model_name": one.name, "litellm_params": {"model": one.target}, "model_info": info})
    return {"data": data}


def model_group_info(look: Look, said: Plain) -> Plain:
    """List the models that the configuration names, each once, with the most that any of its targets has."""
    wanted = said.get("model_group")
    groups: dict[str, Plain] = {}
    tariff = _tariff(look)
    for one in _deployments(look):
        if wanted is not None and wanted != one.name:
            continue
        facts = _facts(tariff, one.target)
        provider, mode = facts.pop("litellm_provider"), facts.pop("mode")
        group = groups.setdefault(one.name, {"model_group": one.name, "providers": [], "mode": mode})
        if provider not in group["providers"]:
            group["providers"].append(provider)
        for name, value in facts.items():
            if group.get(name) is None or (value is not None and value > group[name]):
                group[name] = value
    return {"data": list(groups.values())}


def _facts(tariff: "Tariff", target: str) -> Plain:
    """Return what is known of a target: who serves it, how much it takes and what it costs."""
    name, _, model = target.partition("/")
    price = tariff.price_of(name, model)
    facts: Plain = {"litellm_provider": name}
    facts["mode"] = price.mode or None if price is not None else None
    facts["max_input_tokens"] = price.context_window if price is not None else None
    facts["max_output_tokens"] = price.max_output if price is not None else None
    now = price.at(time.time()) if price is not None else None
    for bucket in ("input", "output"):
        rate = now.rates if now is not None and bucket in now.stated else None
        facts[f"{bucket}_cost_per_token"] = getattr(rate, bucket) / (1000 * NANO) if rate is not None else None
    return facts


def _tariff(look: Look) -> "Tariff":
    # Prices are read by those who ask for them.
    from portico.control.tariff import Tariff

    return Tariff(look.admin.config, look.db)


def _deployments(look: Look) -> Iterator[Deployment]:
    """Yield what the configuration names, of which the actor's key may call; its providers where it names no model."""
    config = look.admin.config
    alone = look.actor.level == "key"
    models = look.admin.holder(look.db, named_key(look, look.actor.id)).models if alone else ()
    for name, model in sorted(config.models.items()):
        if models and not any(matches(pattern, name) for pattern in models):
            continue
        for place, target in enumerate(model.targets):
            if target.model.partition("/")[0] in config.providers:
                yield Deployment(f"{name}.{place}", name, target.model, target.weight)
    if not config.models:
        for name in config.providers:
            if models and not any(matches(pattern, f"{name}/*") or matches(f"{name}/*", pattern) for pattern in models):
                continue
            yield Deployment(f"{name}/*", f"{name}/*", f"{name}/*", 1.0)


class _Resting:
    """What rests, as the workers tell each other: nothing that a worker has not tried is said to.

    To a key of a team that has keys of its own at a provider, it is said of these.
    """

    def __init__(self, look: Look) -> None:
        # The catalog, and how keys are sent, are read by those who ask.
        from portico.team_keys import NAMES, TEAMS, with_own
        from portico.upstream.health import Healths
        from portico.upstream.shared import SharedRests

        config, rests, team = look.admin.config, look.admin.rests, look.actor.team
        stored = stored_keys(look.db, look.admin.sealer)
        shared = {name: shared_of(name, stored) for name in config.providers}
        providers = {name: with_stored(one, shared[name]) for name, one in config.providers.items()}
        told = SharedRests(rests) if rests is not None and rests.exists() else None
        everybody = Healths(shared=told)
        everybody.declare(config.breaker, providers)
        theirs = {name: [key for key in stored if key.team == team and key.provider == name] for name in providers}
        theirs = {name: keys for name, keys in theirs.items() if keys and team is not None}
        own = {name: with_own(config.providers[name], keys) for name, keys in theirs.items()}
        part = everybody.part(team or "", NAMES, TEAMS)
        part.declare(config.breaker, own)
        self._healths = {name: part if name in own else everybody for name in providers}
        self._bases: dict[str, str] = {}
        self._dead: dict[str, str] = {}
        for name, declared in (providers | own).items():
            if declared.team_keys == "required" and name not in own and look.actor.level != "all":
                self._dead[name] = "its provider takes keys of teams alone, and there is none of this team"
            self._look_at(name, declared, theirs.get(name, shared[name]))

    def _look_at(self, name: str, declared: Provider, stored: Sequence[StoredKey]) -> None:
        from portico.providers.resolve import resolve

        try:
            found = resolve(name, declared, os.environ)
        except ConfigError:
            self._dead[name] = "its provider cannot be used as it is configured"
            return
        self._bases[name] = f"{found.base.scheme}://{found.base.authority}{found.base.path}"
        healths = self._healths[name]
        keys = healths.keyring(name, found.credentials, [f"{name}#{key.id}" for key in stored]).credentials
        if all(key.rests_until > healths.clock() for key in keys):
            self._dead[name] = "every key for its provider rests: it was refused, or its limit is used up"

    def __call__(self, target: str) -> str | None:
        """Return why a target rests, None where it does not."""
        name = target.partition("/")[0]
        healths = self._healths[name]
        health = healths(target)
        if health.resting:
            return f"it rests for {max(0.0, health.until - healths.clock()):.0f} s more: calls to it failed"
        return self._dead.get(name)

    def base(self, target: str) -> str | None:
        """Return where a target is, without a query."""
        return self._bases.get(target.partition("/")[0])
