"""Where a call may go: from a model name to targets, in order. The draw is passed in; nothing here waits."""

from collections.abc import Callable, Mapping, Sequence

from portico.config import schema
from portico.config.wildcard import Match, Patterns
from portico.errors import InvalidRequest, ModelNotFound
from portico.providers.row import CATALOG
from portico.upstream.target import Target, Upstream

Draw = Callable[[], float]
"""Returns a number in [0, 1)."""

MEMO_BOUND = 4096
USUAL: Mapping[tuple[str, str], str] = {
    ("openai", "moderations"): "omni-moderation-latest",
    ("mistral", "moderations"): "mistral-moderation-latest",
}
"""What a provider's own API takes for a call that names no model, by the provider's row and the operation."""
OPTIONAL = frozenset(("moderations", "images_generations", "images_edits", "images_variations"))
"""Operations whose model OpenAI's API leaves open."""


class Routes:
    """All names for a model that a call may use: aliases and patterns, `provider/model`, bare names of one owner."""

    def __init__(
        self, aliases: Mapping[str, schema.Model], upstreams: Mapping[str, Upstream], timeouts: schema.Timeouts
    ) -> None:
        self._aliases = aliases
        self._patterns = Patterns(aliases)
        self._upstreams = upstreams
        self._timeouts = timeouts
        self._fixed: dict[tuple[str, str], Sequence[Target]] = {}
        self._owners: dict[str, list[str]] = {}
        for upstream in upstreams.values():
            for model in upstream.models():
                owners = self._owners.setdefault(model, [])
                if upstream.name not in owners:
                    owners.append(upstream.name)

    def __repr__(self) -> str:
        return f"<Routes {len(self._aliases)} aliases, {len(self._upstreams)} providers>"

    def names(self) -> list[tuple[str, str]]:
        """Return every name that can be listed, with who owns it: aliases first, then the providers' models."""
        own = [(name, "portico") for name in self._aliases if "*" not in name]
        theirs = [
            (f"{upstream.name}/{model}", upstream.name)
            for upstream in self._upstreams.values()
            for model in upstream.models()
        ]
        return own + theirs

    def targets(self, name: str, operation: str, draw: Draw) -> Sequence[Target]:
        """Return where a call for this model may go, best first.

        A plan without a draw in it is made once for a name and remembered, up to a bound: callers choose names.
        Raises ModelNotFound for a name that nobody answers to, InvalidRequest when those who do cannot do this.
        """
        fixed = self._fixed.get((name, operation))
        if fixed is not None:
            return fixed
        targets, drawn = self._plan(name, operation, draw)
        if not drawn:
            if len(self._fixed) >= MEMO_BOUND:
                self._fixed.clear()
            self._fixed[(name, operation)] = targets
        return targets

    def unnamed(self, operation: str, draw: Draw) -> Sequence[Target]:
        """Return where a call that names no model may go.

        An alias or a pattern for the model that OpenAI's API takes by itself comes first; then the one provider that
        has the operation, or of several the one that is OpenAI. Its own choice is left to it where it needs no name.
        Raises InvalidRequest where a model must be named.
        """
        usual = USUAL.get(("openai", operation), "")
        if operation in OPTIONAL:
            match = self._patterns.find(usual) if usual else None
            if usual in self._aliases or (match is not None and match.pattern != "*"):
                return self.targets(usual, operation, draw)
            able = [upstream for upstream in self._upstreams.values() if _leaves_open(upstream, operation)]
            own = [upstream for upstream in able if upstream.provider.like == "openai"]
            if len(able) == 1 or len(own) == 1:
                upstream = able[0] if len(able) == 1 else own[0]
                return [upstream.target(USUAL.get((upstream.provider.like, operation), ""), self._timeouts)]
        raise InvalidRequest("the request names no model; set `model`", param="model")

    def _plan(self, name: str, operation: str, draw: Draw) -> tuple[Sequence[Target], bool]:
        alias = self._aliases.get(name)
        match: Match | None = None
        if alias is None:
            match = self._patterns.find(name)
            # A lone star takes what nothing else names; any other pattern was written for just this.
            if match is not None and match.pattern != "*":
                alias = self._aliases[match.pattern]
        if alias is None:
            provider, slash, model = name.partition("/")
            upstream = self._upstreams.get(provider)
            if upstream is not None and slash and model:
                return self._able([upstream.target(model, self._timeouts)], name, operation), False
            if match is None:
                return self._able([self._owner(name, operation).target(name, self._timeouts)], name, operation), False
            alias = self._aliases[match.pattern]
        targets = [self._target(target, match) for target in alias.targets]
        able = self._able(targets, name, operation)
        if alias.strategy == "weighted" and len(able) > 1:
            weights = [target.weight for target in alias.targets]
            if len(able) != len(targets):
                weights = [weight for weight, target in zip(weights, targets, strict=True) if target in able]
            return weighted(able, weights, draw), True
        return able, False

    def _target(self, target: schema.Target, match: Match | None) -> Target:
        provider, _, model = (match.fill(target.model) if match is not None else target.model).partition("/")
        return self._upstreams[provider].target(model, target.timeouts or self._timeouts)

    def _able(self, targets: Sequence[Target], name: str, operation: str) -> Sequence[Target]:
        for target in targets:
            if not target.serves(operation):
                able = [target for target in targets if target.serves(operation)]
                if not able:
                    raise InvalidRequest(
                        f"the model {name!r} is served by {', '.join(target.name for target in targets)}, "
                        f"which has no {operation.replace('_', ' ')} endpoint",
                        param="model",
                    )
                return able
        return targets

    def _owner(self, name: str, operation: str) -> Upstream:
        owners = self._owners.get(name, [])
        able = [owner for owner in owners if self._upstreams[owner].target(name, self._timeouts).serves(operation)]
        if len(able) > 1:
            choices = ", ".join(f"{owner}/{name}" for owner in able)
            raise ModelNotFound(f"several providers have the model {name!r}; name one of {choices}", param="model")
        if able or owners:
            return self._upstreams[(able or owners)[0]]
        if len(self._upstreams) == 1 and name.partition("/")[0] not in CATALOG:
            # A single provider can be asked for anything: its newest models are in no list of ours.
            return next(iter(self._upstreams.values()))
        raise ModelNotFound(
            f"no model is named {name!r} here; use an alias of the configuration or `provider/model` with one of the "
            f"providers {', '.join(sorted(self._upstreams)) or '(none is configured)'}",
            param="model",
        )


def _leaves_open(upstream: Upstream, operation: str) -> bool:
    """Return whether a provider has an operation at a path that does not need the model."""
    return operation in upstream.provider.operations and "{model}" not in upstream.provider.row.path(operation)


def weighted(targets: Sequence[Target], weights: Sequence[float], draw: Draw) -> list[Target]:
    """Return the targets with one drawn by weight in front; the others follow as they stand."""
    point = draw() * sum(weights)
    first = 0
    for first, weight in enumerate(weights):  # noqa: B007  # the index where the point falls
        point -= weight
        if point < 0:
            break
    rest = [target for index, target in enumerate(targets) if index != first]
    return [targets[first], *rest]
