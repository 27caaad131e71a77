"""A model name's targets, as a tree: each branch has a strategy, and is put in order for one call."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Union

import msgspec

from portico.config import schema
from portico.plan import strategies
from portico.plan.affinity import KEEPING, kept
from portico.plan.candidate import Candidate
from portico.plan.facts import Facts

if TYPE_CHECKING:
    from portico.plan.canary import Trial
    from portico.plan.rules import Rule
    from portico.plan.scorer import Scorer

Kid = Union["Branch", Candidate]


class Way(msgspec.Struct):
    """What a plan is made with, and what it comes to: the arm, why targets were left out, which rules held.

    `now` is the clock of `Health.sampled`; `secret` keys the arms of splits. `find` finds what a rule sends a call to.
    `kept` says why a target stands before the first of its strategy: it has the conversation's prompt in its cache
    (`warm`), or is where the conversation belongs (`home`). `trial` is the side of a canary that the call was given.
    `aside` is where a target is noted that is left out, by name; None where nobody asks.
    """

    draw: Callable[[], float]
    now: float = 0.0
    secret: bytes = b""
    find: Callable[[str], Kid] | None = None
    strategy: str | None = None
    arm: str | None = None
    aside: dict[str, str] | None = None
    held: list[str] | None = None
    advance: bool = True
    kept: Literal["warm", "home"] | None = None
    trial: "Trial | None" = None


class Branch:
    """One name and its targets. Besides the strategies of the schema there is `drawn`: one by weight, and no other.

    `recalls` is true where what is cached of a conversation counts: in the price, or because it is `affine`, and calls
    stay where the cache is warm. `likely` is the scorer that its rules read.
    """

    __slots__ = (
        "_all",
        "_hard",
        "_likely",
        "_plain",
        "_rivals",
        "_simple",
        "_suffices",
        "_traits_of",
        "_turn",
        "affine",
        "arms",
        "flat",
        "kids",
        "leaves",
        "name",
        "recalls",
        "rules",
        "scorer",
        "scoring",
        "sticky",
        "strategy",
        "weights",
    )

    def __init__(
        self,
        name: str,
        kids: Sequence[Kid],
        strategy: str = "fallback",
        *,
        weights: Sequence[float] = (),
        arms: Sequence[str] = (),
        sticky: str = "key",
        scoring: schema.Scoring | None = None,
        rules: Sequence["Rule"] = (),
        affinity: bool | None = None,
        scorer: "Scorer | None" = None,
        likely: "Callable[[Sequence[int]], float] | None" = None,
    ) -> None:
        self.name = name
        self.kids = tuple(kids)
        self.strategy = strategy
        self.weights = tuple(weights) or (1.0,) * len(self.kids)
        self.arms = tuple(arms)
        self.sticky = sticky
        self.scoring = scoring if scoring is not None else schema.Scoring()
        self.rules = tuple(rules)
        self.scorer = scorer
        self._likely = likely
        self._suffices = scorer.line() if scorer is not None else None
        self._traits_of = _seeing() if strategy == "complexity" else None
        self.affine = affinity is True and strategy in KEEPING
        counts = strategy == "lowest_cost" or (strategy == "score" and self.scoring.cost > 0)
        self.recalls = affinity is True or (counts and affinity is not False and len(self.kids) > 1)
        self.flat = all(isinstance(kid, Candidate) for kid in self.kids)
        found: dict[str, Candidate] = {}
        for kid in self.kids:
            for leaf in (kid,) if isinstance(kid, Candidate) else kid.leaves:
                found.setdefault(leaf.name, leaf)
        self.leaves: tuple[Candidate, ...] = tuple(found.values())
        self._turn = itertools.count()
        self._rivals = strategies.Rivals([kid for kid in self.kids if isinstance(kid, Candidate)])
        self._all = tuple(range(len(self.kids)))
        self._simple = self._rivals.candidates
        self._hard = (*self._simple[1:], *self._simple[:1])
        self._plain = self.flat and not self.rules and len(self.kids) > 1 and strategy != "drawn"

    def __repr__(self) -> str:
        return f"<Branch {self.name!r} {self.strategy} of {len(self.leaves)}>"

    @property
    def steady(self) -> "Branch":
        """The same name, without what is only tried under it."""
        return self

    @property
    def fixed(self) -> bool:
        """Whether its order is the same for every call."""
        if self.rules or (self.strategy != "fallback" and len(self.kids) > 1):
            return False
        return all(isinstance(kid, Candidate) or kid.fixed for kid in self.kids)

    def order(self, facts: Facts, way: Way, keep: Callable[[Candidate], bool] | None) -> list[Candidate]:
        """Return its targets for a call, best first, each once; without those that `keep` does not."""
        if self._plain and keep is None:
            # Nothing but its strategy has a say, as for most calls.
            if self._traits_of is not None:
                return [*(self._simple if self._does(facts) else self._hard)]
            ranked = self._rank(self._rivals, self.weights, self._all, facts, way)
            if self.affine:
                self._keep(self._rivals.candidates, ranked, self.weights, facts, way)
            leaves = self._rivals.candidates
            return [leaves[index] for index in ranked]
        requires: list[schema.Require] = []
        if self._likely is not None:
            facts.likely = self._likely
        for rule in self.rules:
            held = rule.condition.holds(facts)
            if rule.require is not None and held is not False:
                # What cannot be decided must hold: a rule that keeps calls in a place errs on its own side.
                requires.append(rule.require)
                _note(way, rule)
            if rule.use is not None and held:
                _note(way, rule)
                assert way.find is not None
                kid = way.find(rule.use)
                return ordered(kid, facts, way, _requiring(keep, requires, way))
        if requires:
            keep = _requiring(keep, requires, way)
        if self.flat and (keep is None or all(keep(leaf) for leaf in self.leaves)):
            kids: Sequence[Candidate] = self.kids  # type: ignore[assignment]  # it is flat
            if len(kids) == 1:
                return list(kids)
            ranked = self._rank(self._rivals, self.weights, self._all, facts, way)
            if self.affine:
                self._keep(self._rivals.candidates, ranked, self.weights, facts, way)
            if self.strategy == "drawn":
                del ranked[1:]
            return [kids[index] for index in ranked]
        groups: list[list[Candidate]] = []
        places: list[int] = []
        for place, kid in enumerate(self.kids):
            group = ordered(kid, facts, way, keep)
            if group:
                groups.append(group)
                places.append(place)
        if len(groups) < 2:
            return groups[0] if groups else []
        heads = [group[0] for group in groups]
        weights = [self.weights[place] for place in places]
        if not any(weights):
            weights = [1.0] * len(places)
        ranked = self._rank(strategies.Rivals(heads), weights, places, facts, way)
        if self.affine:
            self._keep(heads, ranked, weights, facts, way)
        if self.strategy == "drawn":
            return groups[ranked[0]]
        found: dict[str, Candidate] = {}
        for index in ranked:
            for candidate in groups[index]:
                found.setdefault(candidate.name, candidate)
        return list(found.values())

    def _rank(
        self, rivals: strategies.Rivals, weights: Sequence[float], places: Sequence[int], facts: Facts, way: Way
    ) -> list[int]:
        """Return rivals in order, by their index; `places` says which of the kids each stands for."""
        strategy = self.strategy
        # A call that is kept where its prompt is cached is none to measure others by.
        probing = way.now if facts.warm is None or not self.affine else None
        if strategy == "score":
            return strategies.scored(rivals, facts, self.scoring, way.now)
        if strategy == "lowest_cost":
            return strategies.lowest_cost(rivals, facts)
        if strategy == "lowest_latency":
            return strategies.lowest_latency(rivals, facts, probing)
        if strategy == "split":
            return self._split(rivals, weights, places, facts, way)
        if strategy == "power_of_two":
            return strategies.power_of_two(rivals, facts, way.draw)
        if strategy == "highest_throughput":
            return strategies.highest_throughput(rivals, facts, probing)
        if strategy in ("weighted", "drawn"):
            return strategies.weighted(weights, way.draw)
        if strategy == "least_busy":
            return strategies.least_busy(rivals)
        if strategy == "complexity":
            return self._complexity(places, facts)
        if strategy == "round_robin":
            turn = next(self._turn) if way.advance else 0
            first = turn % len(places)
            return [*range(first, len(places)), *range(first)]
        assert strategy == "fallback", f"no such strategy: {strategy!r}"
        return list(rivals.places)

    def _does(self, facts: Facts) -> bool:
        """Return whether the first target, a small one, does for a call by what the scorer says; not without one."""
        traits = facts.traits
        if traits is None:
            assert self._traits_of is not None, "only its own strategy asks"
            traits = facts.traits = self._traits_of(facts)
        return self._suffices is not None and self._suffices(traits)

    def _complexity(self, places: Sequence[int], facts: Facts) -> list[int]:
        """Return the first target in front where its scorer says that it does, else behind all others."""
        ranked = list(range(len(places)))
        if not self._does(facts) and places[0] == 0:
            ranked.append(ranked.pop(0))
        return ranked

    def _keep(
        self, candidates: Sequence[Candidate], ranked: list[int], weights: Sequence[float], facts: Facts, way: Way
    ) -> None:
        way.kept = kept(candidates, ranked, facts, self.strategy, weights)
        candidates[ranked[0]].sent[facts.size] = way.now

    def _split(
        self, rivals: strategies.Rivals, weights: Sequence[float], places: Sequence[int], facts: Facts, way: Way
    ) -> list[int]:
        who = getattr(facts, self.sticky)
        # An arm is one's own whatever else may be wrong today: it is drawn among all, then looked for.
        point = strategies.share(way.secret, self.name, who) if who else way.draw()
        place = strategies.arm(self.weights, point)
        if place not in places:
            place = places[strategies.arm(weights, point)]
        first = places.index(place)
        way.arm = self.arms[place] if self.arms else rivals.candidates[first].name
        return strategies.first_of(first, len(places))


def ordered(kid: Kid, facts: Facts, way: Way, keep: Callable[[Candidate], bool] | None) -> list[Candidate]:
    """Return the targets of a branch in order, or the one target, where it is kept."""
    if isinstance(kid, Candidate):
        return [kid] if keep is None or keep(kid) else []
    return kid.order(facts, way, keep)


def under(name: str, kids: Sequence[Kid], strategy: str) -> Branch:
    """Return a branch over all targets of others, in a strategy that a caller asked for."""
    leaves: dict[str, Candidate] = {}
    for kid in kids:
        for leaf in (kid,) if isinstance(kid, Candidate) else kid.steady.leaves:
            leaves.setdefault(leaf.name, leaf)
    return Branch(name, tuple(leaves.values()), strategy)


def walked(kid: Kid) -> Iterator[Branch]:
    """Yield every branch of a tree."""
    if isinstance(kid, Branch):
        yield kid
        for inner in kid.kids:
            yield from walked(inner)


def resting_last(candidates: list[Candidate]) -> list[Candidate]:
    """Return the same order where the first does not rest, else those last that do; all of them, and the order stands.

    Those that rest further back are passed over by who makes the attempts.
    """
    if not candidates[0].health.resting:
        return candidates
    resting = [candidate for candidate in candidates if candidate.health.resting]
    return [*(candidate for candidate in candidates if candidate not in resting), *resting]


def _requiring(
    keep: Callable[[Candidate], bool] | None, requires: Sequence[schema.Require], way: Way
) -> Callable[[Candidate], bool] | None:
    if not requires:
        return keep

    def both(candidate: Candidate) -> bool:
        for need in requires:
            why = candidate.misses(need)
            if why is not None:
                if way.aside is not None:
                    way.aside.setdefault(candidate.name, why)
                return False
        return keep is None or keep(candidate)

    return both


def _seeing() -> "Callable[[Facts], tuple[int, ...]]":
    from portico.plan.traits import traits_of  # few names ask: what it takes is kept by those that do

    return traits_of


def _note(way: Way, rule: "Rule") -> None:
    if way.held is not None and rule.condition.text not in way.held:
        way.held.append(rule.condition.text)
