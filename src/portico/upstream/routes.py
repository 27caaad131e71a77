"""All names for a model that a call may use, and the targets that they lead to. Nothing here waits."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from portico.config import schema
from portico.config.wildcard import Match, Patterns
from portico.dialects.stand_ins import CONVERSATIONS
from portico.errors import Forbidden, InvalidRequest, ModelNotFound
from portico.plan import portkey
from portico.plan.branch import Branch, Kid, Way, ordered, resting_last, walked
from portico.plan.candidate import Candidate
from portico.plan.choose import Plan, choose
from portico.plan.facts import BYTES_PER_TOKEN, CACHEABLE, Facts
from portico.plan.health import HealthOf
from portico.plan.makers import makers
from portico.plan.wish import SUFFIXES, Wish, merged
from portico.providers.row import CATALOG
from portico.upstream.caches import Caches, Kept
from portico.upstream.nameless import nameless
from portico.upstream.rulebook import compiled, scorers
from portico.upstream.target import Target, Upstream

if TYPE_CHECKING:
    from portico.plan.canary import Rollout
    from portico.plan.rules import Rule

Draw = Callable[[], float]
"""Returns a number in [0, 1)."""
May = Callable[[str], None]
"""Raises Forbidden for a name that the caller may not use."""
RolloutOf = Callable[[str, schema.Canary], "Rollout"]
"""Returns how far the canary of a name is."""
MEMO_BOUND: Final = 4096
ALWAYS: Final = float("inf")
ENDLESS: Final = 1 << 62


class Known:
    """What a name leads to, for one operation, and which calls need no closer look.

    A request of up to `roomy` bytes fits every target. `fussy` is true where some target is known to lack a capability
    that a call might need. `recalls` is true where it counts which conversation a call belongs to. `fixed` are the
    targets in order, where that is the same for every call. It holds until a second of the epoch: some target costs
    something else from then on.
    """

    __slots__ = ("fixed", "fussy", "kid", "recalls", "roomy", "until")

    def __init__(
        self,
        kid: Kid,
        roomy: int,
        fussy: bool,
        fixed: Sequence[Target] | None,
        recalls: bool = False,
        until: float = ALWAYS,
    ) -> None:
        self.kid = kid
        self.roomy = roomy
        self.fussy = fussy
        self.fixed = fixed
        self.recalls = recalls
        self.until = until

    def __repr__(self) -> str:
        return f"<Known {self.kid!r}>"


def hurried(candidate: Candidate, seconds: float) -> Candidate:
    """Return a candidate whose reply must have begun in so many seconds; it is the same target in all else."""
    target = candidate.target
    assert isinstance(target, Target)
    return candidate.at(target.hurried_to(seconds))


class Finders(dict[str, Callable[[str], Kid]]):
    """By operation, what finds where a rule sends a call: made once."""

    def __init__(self, routes: "Routes") -> None:
        super().__init__()
        self._routes = routes

    def __missing__(self, operation: str) -> Callable[[str], Kid]:
        routes = self._routes

        def find(name: str) -> Kid:
            return routes.known(name, operation).kid

        self[operation] = find
        return find


class Routes:
    """All names for a model that a call may use: aliases and patterns, `provider/model`, bare names of one owner.

    `health` finds how targets do, `now` is its clock, `wall` that of prices; `secret` keys the arms of splits.
    `rollouts` has canaries, which get no call without it. `reads_budgets` says whether a rule asks what is left of
    budgets. Raises ConfigError for rules that are none.
    """

    def __init__(
        self,
        aliases: Mapping[str, schema.Model],
        upstreams: Mapping[str, Upstream],
        timeouts: schema.Timeouts,
        routing: schema.Routing | None = None,
        *,
        health: HealthOf | None = None,
        secret: bytes = b"",
        now: Callable[[], float] = time.monotonic,
        rollouts: RolloutOf | None = None,
        caches: Caches | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._bound = MEMO_BOUND
        self._aliases = aliases
        self._rollouts = rollouts
        self._patterns = Patterns(aliases)
        self._upstreams = upstreams
        self._resuming = any(alias.resume for alias in aliases.values())
        self._timeouts = timeouts
        self._health = health
        self._secret = secret
        self._now = now
        self._wall = wall
        self._caches = caches
        self._kinds = {name: upstream.provider.like for name, upstream in upstreams.items()}
        self._known: dict[tuple[str, str], Known] = {}
        self._owners: dict[str, list[str]] = {}
        for upstream in upstreams.values():
            for model in upstream.models():
                owners = self._owners.setdefault(model, [])
                if upstream.name not in owners:
                    owners.append(upstream.name)
        routing = routing if routing is not None else schema.Routing()
        self._find = Finders(self)
        self.headers = tuple(name.lower().encode("latin-1") for name in routing.headers)
        self._scorers = scorers(aliases, routing)
        general = None in self._scorers
        self._rules = compiled(routing.rules, "routing", scored=bool(self._scorers))
        self._rules_of = {
            name: compiled(model.rules, f"models.{name}", scored=general or name in self._scorers)
            for name, model in aliases.items()
        }
        rules = [*self._rules, *(rule for rules in self._rules_of.values() for rule in rules)]
        self._asks_scorers = any("complexity" in rule.condition.names for rule in self._rules)
        self._likely = {name: scorer.likely() for name, scorer in self._scorers.items()}
        self.reads_budgets = any("budget_left" in rule.condition.names for rule in rules)

    def __repr__(self) -> str:
        return f"<Routes {len(self._aliases)} aliases, {len(self._upstreams)} providers>"

    def with_own(self, upstreams: Mapping[str, Upstream], bound: int) -> "Routes":
        """Return the same names over providers that have other keys, with up to `bound` of them remembered."""
        made = Routes({}, {}, self._timeouts, secret=self._secret, now=self._now, wall=self._wall)
        made._upstreams, made._bound = upstreams, bound
        made._aliases, made._rollouts, made._patterns = self._aliases, self._rollouts, self._patterns
        made._resuming, made._caches = self._resuming, self._caches
        made._kinds, made._owners = self._kinds, self._owners
        made.headers, made.reads_budgets = self.headers, self.reads_budgets
        made._scorers, made._likely, made._asks_scorers = self._scorers, self._likely, self._asks_scorers
        made._rules, made._rules_of = self._rules, self._rules_of
        return made

    @property
    def ruled(self) -> bool:
        """Whether there are rules for calls of every model."""
        return bool(self._rules)

    def names(self) -> list[tuple[str, str]]:
        """Return every name that can be listed, with who owns it: aliases first, then the providers' models."""
        own = [(name, "portico") for name in self._aliases if "*" not in name]
        theirs = [
            (f"{upstream.name}/{model}", upstream.name)
            for upstream in self._upstreams.values()
            for model in upstream.models()
        ]
        return own + theirs

    def bare(self, name: str) -> str | None:
        """Return how a model is listed that may be called by its own name, None for any that more than one has."""
        owners = self._owners.get(name, ())
        return f"{owners[0]}/{name}" if len(owners) == 1 else None

    def plain(self, name: str, operation: str) -> tuple[Sequence[Target], int] | None:
        """Return where every call for this name goes, if that is the same for all of up to so many bytes.

        None where each call must be looked at more closely: `plan` does. Raises ModelNotFound, InvalidRequest.
        """
        known = self._known.get((name, operation))
        if known is None:
            if self._suffixed(name, None)[1] is not None:
                return None
            known = self.known(name, operation)
        if known.fixed is None or known.fussy or self._rules:
            return None
        return known.fixed, known.roomy

    def passes_on(self, name: str, operation: str) -> bool:
        """Return whether all that a name leads to is OpenRouter: what is said to a gateway is then for that one."""
        kid = self.known(self._suffixed(name, None)[0], operation).kid
        leaves = (kid,) if isinstance(kid, Candidate) else kid.leaves
        return all(leaf.kind == "openrouter" for leaf in leaves)

    def first(self, name: str, operation: str) -> Target:
        """Return one of the targets that a name leads to."""
        kid = self.known(self._suffixed(name, None)[0], operation).kid
        target = kid.target if isinstance(kid, Candidate) else kid.leaves[0].target
        assert isinstance(target, Target)
        return target

    def deployment(self, name: str, target: str) -> str:
        """Return LiteLLM's kind of id for one of the targets of a name: the entry of the configuration and its place.

        The target itself, where the name is no entry's or the target is another one's.
        """
        match = None if name in self._aliases else self._patterns.find(name)
        entry = name if match is None else match.pattern
        alias = self._aliases.get(entry)
        for place, one in enumerate(alias.targets if alias is not None else ()):
            if (one.model if match is None else match.fill(one.model)) == target:
                return f"{entry}.{place}"
        return target

    def targets(self, name: str, operation: str, draw: Draw) -> Sequence[Target]:
        """Return where a call for this model may go of which nothing else is known, best first."""
        plain = self.plain(name, operation)
        return plain[0] if plain is not None else self.plan(Facts(name, operation), draw).targets

    def known(self, name: str, operation: str) -> Known:
        """Return what a name leads to; it is remembered, up to a bound: callers choose names.

        Raises ModelNotFound for a name that nobody answers to, InvalidRequest when those who do cannot do this.
        """
        known = self._known.get((name, operation))
        if known is None or (known.until != ALWAYS and known.until <= self._wall()):
            kid = self._found(name, operation)
            leaves = (kid,) if isinstance(kid, Candidate) else kid.leaves
            judged = [leaf for leaf in leaves if not leaf.named]
            roomy = min((leaf.context_window or ENDLESS for leaf in judged), default=ENDLESS) * BYTES_PER_TOKEN
            fussy = any(
                leaf.capabilities is not None and not {"tools", "vision"} <= leaf.capabilities for leaf in judged
            )
            recalls = self._recalls(kid, operation)
            fixed: Sequence[Target] | None = None
            if isinstance(kid, Candidate) or (kid.fixed and not recalls):
                fixed = [leaf.target for leaf in leaves]
            if len(self._known) >= self._bound:
                self._known.clear()
            until = min((leaf.until for leaf in leaves), default=ALWAYS)
            known = self._known[name, operation] = Known(kid, roomy, fussy, fixed, recalls, until)
        return known

    def plan(
        self,
        facts: Facts,
        draw: Draw,
        wish: Wish | None = None,
        config: portkey.Config | None = None,
        *,
        path: str = "",
        may: May | None = None,
        explain: bool = False,
    ) -> Plan:
        """Return where one call goes, and why. `may` checks every name that the call brings beside its model.

        `path` is the request's, for conditions of a Portkey config. With `explain`, every target that is left out is
        named, and no turn is taken. Raises ModelNotFound, InvalidRequest, Forbidden, NoTarget.
        """
        operation = facts.operation
        if wish is None and config is None and not explain and not self._rules:
            remembered = self._known.get((facts.model, operation))
            if (
                remembered is not None
                and facts.arrived < remembered.until
                and (self._serves_all(remembered, facts) if remembered.fussy else len(facts.body) <= remembered.roomy)
            ):
                if remembered.recalls:
                    self._recall(facts)
                way = Way(draw, self._now(), self._secret, self._find[operation])
                found = ordered(remembered.kid, facts, way, None)
                if found:
                    found = resting_last(found) if found[0].health.resting else found
                    return Plan(found, way.arm, {}, [], None, way.kept, way.trial)
        held: list[str] = []
        way = Way(draw, self._now(), self._secret, self._find[operation])
        way.advance, way.held = not explain, held
        requires, used = self._required(facts, held)
        asked, wish = self._suffixed(facts.model, wish)
        if used is None and wish is None and config is None and not explain:
            known = self.known(asked, operation)
            if known.recalls:
                self._recall(facts)
            if not requires and self._serves_all(known, facts):
                found = ordered(known.kid, facts, way, None)
                if found:
                    return Plan(resting_last(found), way.arm, {}, held, None, way.kept, way.trial)
        enforced: Mapping[str, object] = {}
        if used is not None:
            kids = [self.known(used, operation).kid]
        elif config is not None:
            questions = portkey.Asked(facts.tags, facts.members or {}, path)

            def find(provider: str, model: str, seconds: float | None) -> Kid:
                name = f"{provider}/{model}" if provider else model
                if provider and provider not in self._upstreams:
                    raise ModelNotFound(f"x-portkey-config names the provider {provider!r}, which is none here")
                if may is not None:
                    may(name)
                kid = self.known(name, operation).kid
                return hurried(kid, seconds) if seconds is not None and isinstance(kid, Candidate) else kid

            kid, enforced = portkey.tree(config, facts.model, questions, find)
            kids = [kid]
            wish = merged(portkey.wished(config), wish)
        else:
            kids = [self.known(asked, operation).kid]
        if wish is not None:
            for other in wish.models:
                if may is not None:
                    may(other)
                kids.append(self.known(other, operation).kid)
        if facts.conversation is None and any(self._recalls(kid, operation) for kid in kids):
            self._recall(facts)
        plan = choose(kids, facts, way, requires, wish)
        plan.enforced = enforced
        return plan

    def _required(self, facts: Facts, held: list[str]) -> tuple[list[schema.Require], str | None]:
        """Return what the rules for all models require of a call, and where they send it."""
        requires: list[schema.Require] = []
        used: str | None = None
        if self._asks_scorers:
            facts.likely = self._likely_of(self._entry(facts.model))
        for rule in self._rules:
            holds = rule.condition.holds(facts)
            # What cannot be decided is required all the same: a rule that keeps calls in a place errs on its own side.
            if rule.require is not None and holds is not False:
                requires.append(rule.require)
                held.append(rule.condition.text)
            if rule.use is not None and holds and used is None:
                used = rule.use
                if rule.condition.text not in held:
                    held.append(rule.condition.text)
        return requires, used

    def _entry(self, name: str) -> str:
        """Return which name of the configuration a model is asked by; the same where it is none."""
        match = None if name in self._aliases else self._patterns.find(name)
        # A lone star takes what nothing else names.
        if match is None or (match.pattern == "*" and name.partition("/")[0] in self._upstreams):
            return name
        return match.pattern

    def _likely_of(self, entry: str) -> "Callable[[Sequence[int]], float] | None":
        """Return the scorer that rules read of calls for a name: its own, else that of all."""
        return self._likely.get(entry) or self._likely.get(None)

    def _recalls(self, kid: Kid, operation: str) -> bool:
        """Return whether it counts for a name which conversation a call belongs to; of rules' names, it may."""
        if self._caches is None or operation not in CONVERSATIONS or isinstance(kid, Candidate):
            return False
        for branch in walked(kid):
            used = (self._aliases.get(rule.use or "") for rule in branch.rules)
            if branch.recalls or any(alias is not None and alias.recalls for alias in used):
                return True
        return False

    def _recall(self, facts: Facts) -> None:
        """Find which conversation a call belongs to, and what is known of it."""
        if len(facts.body) < CACHEABLE:
            return
        from portico.plan.conversation import conversation_of  # few strategies ask

        facts.conversation = conversation_of(facts, self._secret)
        if facts.conversation is not None and self._caches is not None:
            facts.warm, facts.cached = self._caches.expected(facts.conversation)

    def kept(self, facts: Facts) -> Kept | None:
        """Return what is to be remembered of a call once it has been served; None for nothing."""
        if facts.conversation is None or self._caches is None:
            return None
        return Kept(self._caches, facts.conversation, facts.cached, self._kinds)

    def _serves_all(self, known: Known, facts: Facts) -> bool:
        if len(facts.body) > known.roomy:
            return False
        return not known.fussy or not (facts.has_tools or facts.has_images)

    def _suffixed(self, name: str, wish: Wish | None) -> tuple[str, Wish | None]:
        """Return a name without OpenRouter's `:nitro` or `:floor`, and what they ask for."""
        strategy = SUFFIXES.get(name[-6:])
        if strategy is None or name in self._aliases or name.partition("/")[0] in self._upstreams:
            return name, wish
        bare = name[:-6]
        wish = msgspec.structs.replace(wish) if wish is not None else Wish()
        wish.strategy = wish.strategy or strategy
        return bare, wish

    def resumes(self, name: str, operation: str) -> bool:
        """Return whether a stream of this name that dies is to be gone on with at another target."""
        if not self._resuming:
            return False
        alias = self._aliases.get(name)
        if alias is None:
            match = self._patterns.find(name)
            entry = match.pattern if match is not None else self.makers_entry(name, operation)
            alias = self._aliases[entry] if entry is not None else None
        return alias is not None and alias.resume

    def makers_entry(self, name: str, operation: str) -> str | None:
        """Return the entry that a bare name was found to lead to by its maker's (`openai/*`), None for any other."""
        known = self._known.get((name, operation))
        if known is None or isinstance(known.kid, Candidate):
            return None
        match = self._of_its_maker(name)
        return match.pattern if match is not None else None

    def unnamed(self, operation: str, draw: Draw) -> Sequence[Target]:
        """Return where a call that names no model may go. Raises InvalidRequest where a model must be named."""
        found = nameless(operation, self._aliases, self._patterns, self._upstreams)
        if isinstance(found, str):
            return self.targets(found, operation, draw)
        upstream, model = found
        return [upstream.target(model, self._timeouts)]

    def _found(self, name: str, operation: str) -> Kid:
        alias = self._aliases.get(name)
        match: Match | None = None
        entry = name
        if alias is None:
            match = self._patterns.find(name)
            # A lone star takes what nothing else names; any other pattern was written for just this.
            if match is not None and match.pattern != "*":
                entry = match.pattern
                alias = self._aliases[entry]
        if alias is None:
            provider, slash, model = name.partition("/")
            if provider[:1] == "@":  # as Portkey writes it
                provider = portkey.slug(provider)
            upstream = self._upstreams.get(provider)
            if upstream is not None and slash and model:
                return self._direct(upstream, model, name, operation)
            if match is None:
                try:
                    owner = self._owner(name, operation)
                except ModelNotFound:
                    match = self._of_its_maker(name)
                    if match is None:
                        raise
                else:
                    return self._direct(owner, name, name, operation)
            entry = match.pattern
            alias = self._aliases[entry]
        return self._branch(name, entry, alias, match, operation)

    def _direct(self, upstream: Upstream, model: str, name: str, operation: str) -> Candidate:
        target = upstream.target(model, self._timeouts)
        if not target.serves(operation):
            raise _no_endpoint(name, [target.name], operation)
        return self._candidate(target, None)

    def _branch(self, name: str, entry: str, alias: schema.Model, match: Match | None, operation: str) -> Branch:
        kids: list[Kid] = []
        weights: list[float] = []
        arms: list[str] = []
        lacking: list[str] = []
        closed: Forbidden | None = None
        for declared in alias.targets:
            kid: Kid
            if declared.model in self._aliases and declared.model.partition("/")[0] not in self._upstreams:
                try:
                    kid = self.known(declared.model, operation).kid
                except InvalidRequest:
                    lacking.append(declared.model)
                    continue
                except Forbidden as error:
                    closed = error
                    continue
            else:
                try:
                    target = self._target(declared, match)
                except Forbidden as error:
                    closed = error
                    continue
                if not target.serves(operation):
                    lacking.append(target.name)
                    continue
                kid = self._candidate(target, declared)
            kids.append(kid)
            weights.append(declared.weight)
            arms.append(declared.arm or declared.model)
        if not kids:
            raise closed or _no_endpoint(name, lacking, operation)
        if not any(weights):
            weights = [1.0] * len(kids)

        def branch(rules: "Sequence[Rule]") -> Branch:
            return Branch(
                name,
                kids,
                alias.strategy,
                weights=weights,
                arms=arms,
                sticky=alias.sticky,
                scoring=alias.score,
                rules=rules,
                affinity=alias.affinity,
                scorer=self._scorers.get(entry),
                likely=self._likely_of(entry) if rules else None,
            )

        plain = branch(self._rules_of[entry])
        if alias.canary is None or self._rollouts is None:
            return plain
        canary = self._canary(alias.canary, match, operation)
        if canary is None:
            return plain
        from portico.plan.canary import Canaried

        return Canaried(plain, branch(()) if plain.rules else plain, canary, self._rollouts(entry, alias.canary))

    def _canary(self, said: schema.Canary, match: Match | None, operation: str) -> Kid | None:
        """Return where a canary leads; None where that has not the operation."""
        try:
            if said.to in self._aliases and said.to.partition("/")[0] not in self._upstreams:
                return self.known(said.to, operation).kid
            declared = schema.Target(model=said.to)
            target = self._target(declared, match)
        except (InvalidRequest, Forbidden):
            return None
        return self._candidate(target, declared) if target.serves(operation) else None

    def _candidate(self, target: Target, declared: schema.Target | None) -> Candidate:
        upstream = target.upstream
        health = self._health(target.name) if self._health is not None else getattr(target, "health", None)
        provider = upstream.provider
        price, until = target.price, ALWAYS
        if price is not None and price.later:
            now = self._wall()
            until = min((one.starts for one in price.later if one.starts > now), default=ALWAYS)
            price = price.at(now)
        made = Candidate(target, target.name, price, health, declared, provider.declared, provider.like)
        made.until = until
        return made

    def _target(self, target: schema.Target, match: Match | None) -> Target:
        provider, _, model = (match.fill(target.model) if match is not None else target.model).partition("/")
        return self._upstreams[provider].target(model, target.timeouts or self._timeouts)

    def _serves(self, owner: str, model: str, operation: str) -> bool:
        upstream = self._upstreams[owner]
        return upstream.closed is None and upstream.target(model, self._timeouts).serves(operation)

    def _of_its_maker(self, name: str) -> Match | None:
        """Return the pattern of the configuration that a name falls under with its maker's before it: `openai/*`.

        None where there is none, or several.
        """
        found = [match for maker in makers(name) if (match := self._patterns.find(f"{maker}/{name}")) is not None]
        return found[0] if len(found) == 1 else None

    def _owner(self, name: str, operation: str) -> Upstream:
        owners = self._owners.get(name, [])
        able = [owner for owner in owners if self._serves(owner, name, operation)]
        if len(able) > 1:
            choices = ", ".join(f"{owner}/{name}" for owner in able)
            raise ModelNotFound(f"several providers have the model {name!r}; name one of {choices}", param="model")
        if able or owners:
            return self._upstreams[(able or owners)[0]]
        if len(self._upstreams) == 1 and name.partition("/")[0] not in CATALOG:
            # A single provider can be asked for anything: its newest models are in no list of ours.
            return next(iter(self._upstreams.values()))
        by = makers(name)
        own = [each for each in self._upstreams.values() if each.provider.like in by]
        if len(own) == 1:
            return own[0]
        raise ModelNotFound(
            f"no model is named {name!r} here; use an alias of the configuration or `provider/model` with one of the "
            f"providers {', '.join(sorted(self._upstreams)) or '(none is configured)'}",
            param="model",
        )


def _no_endpoint(name: str, targets: Sequence[str], operation: str) -> InvalidRequest:
    return InvalidRequest(
        f"the model {name!r} is served by {', '.join(targets)}, which has no {operation.replace('_', ' ')} endpoint",
        param="model",
    )
