"""From a model's branch to the targets of one call: what the rules require, what the caller wants, what can serve."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from portico.config import schema
from portico.errors import NoTarget
from portico.plan.branch import Kid, Way, ordered, resting_last, under
from portico.plan.candidate import Candidate
from portico.plan.facts import Facts
from portico.plan.wish import Wish

if TYPE_CHECKING:
    from portico.plan.canary import Trial

PICO_PER_DOLLAR_A_MILLION: Final = 1_000_000
NOTHING: Final[Mapping[str, Any]] = {}


class Plan:
    """Where a call goes, best first, and why.

    `aside` are the targets that it does not go to, with the reason. `held` are the rules that held. `enforced` are
    fields of the body that a Portkey config puts in place of the call's. `wish` is what else the caller wants. `kept`
    and `trial` are those of `Way`.
    """

    __slots__ = ("arm", "aside", "candidates", "enforced", "held", "kept", "trial", "wish")

    def __init__(
        self,
        candidates: list[Candidate],
        arm: str | None,
        aside: dict[str, str],
        held: list[str],
        wish: Wish | None,
        kept: Literal["warm", "home"] | None,
        trial: "Trial | None",
    ) -> None:
        self.candidates = candidates
        self.arm = arm
        self.aside = aside
        self.held = held
        self.enforced: Mapping[str, Any] = NOTHING
        self.wish = wish
        self.kept = kept
        self.trial = trial

    def __repr__(self) -> str:
        return f"<Plan {', '.join(candidate.name for candidate in self.candidates)}>"

    @property
    def targets(self) -> list[Any]:
        """What the candidates stand for."""
        return [candidate.target for candidate in self.candidates]


def choose(kids: Sequence[Kid], facts: Facts, way: Way, requires: Sequence[schema.Require], wish: Wish | None) -> Plan:
    """Return the plan of a call for one model, and for others after it where the caller named several.

    Raises NoTarget, which says of each target why it is none.
    """
    aside: dict[str, str] = {}
    way.aside = aside
    fitting = _Fitting(facts, requires, wish, len(kids) > 1, aside)
    found = _tried(kids, facts, way, fitting.keep, wish)
    if not found:
        # Where the price table would leave nobody, its providers say themselves what they cannot do.
        fitting.surely = True
        found = _tried(kids, facts, way, fitting.keep, wish)
    if not found:
        whys = "; ".join(f"{name}: {why}" for name, why in aside.items())
        raise NoTarget(f"no target of {facts.model!r} can serve this call: {whys or 'there is none'}", aside)
    return Plan(resting_last(found), way.arm, aside, way.held or [], wish, way.kept, way.trial)


class _Fitting:
    """What a call may go to: whatever is not unfit for it. What is goes into `aside`, with the first reason."""

    __slots__ = ("_aside", "_facts", "_requires", "_several", "_wish", "surely")

    def __init__(
        self, facts: Facts, requires: Sequence[schema.Require], wish: Wish | None, several: bool, aside: dict[str, str]
    ) -> None:
        self._facts = facts
        self._requires = requires
        self._wish = wish
        self._several = several
        self._aside = aside
        self.surely = False

    def keep(self, candidate: Candidate) -> bool:
        """Return whether a call may go to a candidate."""
        judged = self._several or not candidate.named
        why = unfit(candidate, self._facts, self._requires, self._wish, judged=judged, surely=self.surely)
        if why is None:
            return True
        self._aside.setdefault(candidate.name, why)
        return False


def _tried(
    kids: Sequence[Kid], facts: Facts, way: Way, keep: Callable[[Candidate], bool], wish: Wish | None
) -> list[Candidate]:
    return ordered(kids[0], facts, way, keep) if wish is None else _wanted(kids, facts, way, keep, wish)


def unfit(
    candidate: Candidate,
    facts: Facts,
    requires: Sequence[schema.Require],
    wish: Wish | None,
    *,
    judged: bool,
    surely: bool = False,
) -> str | None:
    """Return why a call must not go to a target; None where it may.

    What a caller names outright is not `judged` by what the price table knows: its provider says what it cannot do.
    """
    for need in requires:
        if (why := candidate.misses(need)) is not None:
            return why
    if judged and (why := candidate.lacks(facts, surely=surely)) is not None:
        return why
    return None if wish is None else unwanted(candidate, facts, wish)


def unwanted(candidate: Candidate, facts: Facts, wish: Wish) -> str | None:
    """Return why a caller does not want a target; None where it may be."""
    if wish.only and not any(candidate.answers_to(slug) for slug in wish.only):
        return "the request wants only other providers"
    if any(candidate.answers_to(slug) for slug in wish.ignore):
        return "the request ignores its provider"
    if wish.order and not wish.fallbacks and not any(candidate.answers_to(slug) for slug in wish.order):
        return "the request allows no provider beside those of its order"
    if wish.retention and candidate.retention not in wish.retention:
        return f"the request wants a retention of {' or '.join(wish.retention)}, and its is " + (
            candidate.retention or "not declared"
        )
    if wish.rates is not None:
        for most, rate in zip(wish.rates, (candidate.input_rate, candidate.output_rate), strict=True):
            if most is not None and (candidate.price is None or rate > most * PICO_PER_DOLLAR_A_MILLION):
                return "it costs more than the request allows" if candidate.price is not None else "it has no price"
    if wish.strict:
        able = candidate.capabilities or frozenset[str]()
        for ability, used in (
            ("tools", facts.has_tools),
            ("vision", facts.has_images),
            ("json_schema", facts.json_schema),
            ("reasoning", facts.reasoning),
        ):
            if used and ability not in able:
                return f"it is not known to take {ability}, and the request requires all of its parameters"
    return None


def _wanted(
    kids: Sequence[Kid], facts: Facts, way: Way, keep: Callable[[Candidate], bool], wish: Wish
) -> list[Candidate]:
    """Return the targets of several models, each model's in the order that the caller wants."""
    if wish.strategy is not None:
        if wish.joined:
            kids = [under(facts.model, kids, wish.strategy)]
        else:
            # Where a name has rules, they hold whatever strategy a caller wants.
            kids = [_restrategized(kid, facts, way, keep, wish.strategy) for kid in kids]
    found: dict[str, Candidate] = {}
    for kid in kids:
        group = ordered(kid, facts, way, keep)
        if wish.order:
            ranks = {slug: place for place, slug in enumerate(wish.order)}
            group.sort(
                key=lambda candidate: min(
                    (place for slug, place in ranks.items() if candidate.answers_to(slug)), default=len(ranks)
                )
            )
        if wish.quick is not None or wish.fast is not None:
            group.sort(key=lambda candidate: _falls_short(candidate, facts, wish))
        if not wish.fallbacks and not wish.order:
            del group[1:]
        for candidate in group:
            found.setdefault(candidate.name, candidate)
    return list(found.values())


def _restrategized(kid: Kid, facts: Facts, way: Way, keep: Callable[[Candidate], bool], strategy: str) -> Kid:
    if isinstance(kid, Candidate):
        return kid
    return under(kid.name, ordered(kid, facts, way, keep), strategy)


def _falls_short(candidate: Candidate, facts: Facts, wish: Wish) -> bool:
    size = facts.size
    first, per_token = candidate.health.first_token[size], candidate.health.per_token[size]
    slow = wish.quick is not None and first > wish.quick
    return slow or (wish.fast is not None and per_token > 0 and 1 / per_token < wish.fast)
