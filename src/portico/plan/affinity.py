"""Calls of one conversation prefer the target that has its prompt in a cache, weighed against price and health.

Where that is known, it is kept to as long as the cache lives. Where it is not, and a strategy only spreads calls, each
conversation has a home among the targets by its hash: all workers find the same one without asking each other, and a
target that comes or goes moves only the conversations that are its own (rendezvous hashing: Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", 1998).
"""

from collections.abc import Sequence
from math import log
from typing import Final, Literal

from portico.plan.candidate import LOW, UNKNOWN_COST, Candidate
from portico.plan.facts import Facts

KEEPING: Final = frozenset(
    ("weighted", "round_robin", "least_busy", "power_of_two", "lowest_latency", "highest_throughput")
)
"""Strategies that keep to a warm cache where they are told to."""
SPREADING: Final = frozenset(("weighted", "round_robin", "least_busy", "power_of_two"))
"""Those of them that give every conversation a home."""
SLOWER: Final = 1.5
"""How many times as long as at the first of a strategy an answer may take where its prompt is cached."""
FAILING: Final = 0.1
"""How much larger a share of attempts may fail there."""
BUSIER: Final = 2
SPARE: Final = 8
"""How many times as much may be under way there, and how much besides."""
_MASK: Final = (1 << 64) - 1


def kept(
    candidates: Sequence[Candidate], ranked: list[int], facts: Facts, strategy: str, weights: Sequence[float]
) -> Literal["warm", "home"] | None:
    """Put the target of a call's conversation in front, where that is worth it; return why, None where it is not."""
    if facts.conversation is None:
        return None
    first = candidates[ranked[0]]
    if facts.warm is not None:
        for place, one in enumerate(candidates):
            if one.mark & LOW == facts.warm:
                if one is first or (fit(one, first) and _pays(one, first, facts, strategy)):
                    _front(ranked, place)
                    return "warm"
                return None
    if strategy not in SPREADING:
        return None
    place = home(candidates, facts.conversation.id, weights)
    if candidates[place] is first or fit(candidates[place], first):
        _front(ranked, place)
        return "home"
    return None


def home(candidates: Sequence[Candidate], conversation: int, weights: Sequence[float]) -> int:
    """Return the place of a conversation's target, each target having a share by its weight."""
    best, place = -1.0, 0
    for index, one in enumerate(candidates):
        if weights[index] > 0:
            mixed = _mixed(conversation ^ one.mark)
            score = weights[index] / -log((mixed + 1) / (_MASK + 2))
            if score > best:
                best, place = score, index
    return place


def fit(one: Candidate, first: Candidate) -> bool:
    """Return whether a target does well enough to be preferred to the first of a strategy."""
    health, other = one.health, first.health
    if health.resting or health.failure_rate > other.failure_rate + FAILING:
        return False
    return health.in_flight <= BUSIER * other.in_flight + SPARE


def _pays(one: Candidate, first: Candidate, facts: Facts, strategy: str) -> bool:
    """Return whether a cached prompt makes up for what a target is dearer or slower than the first of a strategy."""
    here, there = one.cost(facts), first.cost(facts)
    if here > there and UNKNOWN_COST not in (here, there):
        return False
    if strategy in SPREADING:
        return True
    if strategy == "highest_throughput":
        size = facts.size
        return one.health.per_token[size] <= SLOWER * first.health.per_token[size]
    return one.latency(facts) <= SLOWER * first.latency(facts)


def _front(ranked: list[int], place: int) -> None:
    if ranked[0] != place:
        ranked.remove(place)
        ranked.insert(0, place)


def _mixed(number: int) -> int:
    """Return a number whose every bit depends on every bit of another (the finalizer of SplitMix64)."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & _MASK
    return number ^ (number >> 31)
