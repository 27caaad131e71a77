"""The ways to put targets in order. Each takes candidates and a call and returns their indices, best first.

Times are those of `Health`. What was not measured for a while may have become better without anybody noticing, so now
and then one call goes there: `PROBED` after `STALE` seconds, one at a time, in at most a small share of the calls.
"""

from collections.abc import Callable, Sequence
from typing import Final

from portico.config.schema import Scoring
from portico.hashing import blake2b
from portico.plan.candidate import UNKNOWN_COST, Candidate
from portico.plan.facts import Facts
from portico.plan.health import Health

Draw = Callable[[], float]
"""Returns a number in [0, 1)."""

STALE: Final = 2.0
"""Seconds after which a measurement is to be taken anew."""
PROBED: Final = 0.04
"""What measuring may add to the time of all calls, as a share."""
RAREST: Final = 250
"""Calls, at most, of which one goes to a target that is stale only to measure it."""
UNMEASURED: Final = 1e6
"""Seconds that stand for a target that is being measured for the first time."""

Ranked = list[int]


def weighted(weights: Sequence[float], draw: Draw) -> Ranked:
    """Return one drawn by weight in front; the others follow as they stand."""
    first = _at(weights, draw())
    return [first, *(index for index in range(len(weights)) if index != first)]


def share(secret: bytes, name: str, who: str) -> float:
    """Return where in [0, 1) one falls who keeps an arm: the same for ever, and not to be chosen."""
    hashed = blake2b(f"{name}\0{who}".encode(), digest_size=8, key=secret[:64]).digest()
    return int.from_bytes(hashed, "big") / (1 << 64)


def least_busy(candidates: Sequence[Candidate]) -> Ranked:
    """Return those with the fewest attempts under way first."""
    return _sorted([candidate.health.in_flight for candidate in candidates])


def lowest_latency(candidates: Sequence[Candidate], facts: Facts, now: float) -> Ranked:
    """Return those first that are expected to have answered first."""
    times = _times([candidate.health for candidate in candidates], facts)
    return _measured(candidates, times, facts.size, now)


def highest_throughput(candidates: Sequence[Candidate], facts: Facts, now: float) -> Ranked:
    """Return those first whose tokens follow each other the fastest."""
    size = facts.size
    return _measured(candidates, [candidate.health.per_token[size] for candidate in candidates], size, now)


def lowest_cost(candidates: Sequence[Candidate], facts: Facts) -> Ranked:
    """Return those first where this call is cheapest; what nobody knows the price of comes last."""
    return _sorted(costs(candidates, facts))


def costs(candidates: Sequence[Candidate], facts: Facts) -> list[int]:
    """Return what a call would cost at each, in pico-dollars."""
    cached, output = facts.cached_tokens, facts.output_tokens
    fresh = facts.input_tokens - cached
    return [
        fresh * one.input_rate + cached * one.cache_rate + output * one.output_rate if one.flat else one.cost(facts)
        for one in candidates
    ]


def power_of_two(candidates: Sequence[Candidate], facts: Facts, draw: Draw) -> Ranked:
    """Return the better of two drawn at random in front: that with less under way, each call as long as it takes."""
    count = len(candidates)
    one = int(draw() * count)
    other = int(draw() * (count - 1))
    other += other >= one
    if _burden(candidates[other], facts) < _burden(candidates[one], facts):
        one, other = other, one
    return [one, other, *(index for index in range(count) if index not in (one, other))]


def scored(candidates: Sequence[Candidate], facts: Facts, scoring: Scoring, now: float) -> Ranked:
    """Return those with the lowest score first: each thing that counts, over the best of them, times its weight.

    What is not known of a target, a price or a time, counts as the worst that is known.
    """
    healths = [candidate.health for candidate in candidates]
    weight = scoring.failures
    totals = [weight * health.failure_rate for health in healths] if weight else [0.0] * len(healths)
    if scoring.cost:
        totals = _add(totals, costs(candidates, facts), scoring.cost, UNKNOWN_COST)
    if scoring.load:
        totals = _add(totals, [health.in_flight + 1 for health in healths], scoring.load, 0)
    if not scoring.latency:
        return _sorted(totals)
    totals = _add(totals, _times(healths, facts), scoring.latency, 0.0)
    return _probing(candidates, _sorted(totals), totals, facts.size, now)


def _times(healths: Sequence[Health], facts: Facts) -> list[float]:
    size, tokens = facts.size, facts.output_tokens
    if facts.stream:
        return [health.first_token[size] + health.per_token[size] * tokens for health in healths]
    return [health.whole[size] or health.first_token[size] + health.per_token[size] * tokens for health in healths]


def _add(totals: Sequence[float], values: Sequence[float], weight: float, unknown: float) -> list[float]:
    if unknown in values:
        known = [value for value in values if value != unknown]
        worst = max(known, default=1.0)
        values = [worst if value == unknown else value for value in values]
    factor = weight / max(min(values), 1e-9)
    return [total + factor * value for total, value in zip(totals, values, strict=True)]


def _burden(candidate: Candidate, facts: Facts) -> float:
    return (candidate.health.in_flight + 1) * (candidate.latency(facts) or 1e-6)


def _measured(candidates: Sequence[Candidate], times: list[float], size: int, now: float) -> Ranked:
    if 0.0 in times:
        times = [
            time or (0.0 if not candidate.health.in_flight else UNMEASURED + candidate.health.in_flight)
            for candidate, time in zip(candidates, times, strict=True)
        ]
    return _probing(candidates, _sorted(times), times, size, now)


def _probing(candidates: Sequence[Candidate], ranked: Ranked, times: list[float], size: int, now: float) -> Ranked:
    """Return the same order, or now and then with one in front that is to be measured anew; note which one it is."""
    stale = now - STALE
    if min([candidate.sent[size] for candidate in candidates]) <= stale:
        best = times[ranked[0]]
        for place in range(1, len(ranked)):
            one = candidates[ranked[place]]
            time = times[ranked[place]]
            if one.sent[size] > stale or not time or one.health.in_flight or one.health.resting:
                continue
            # The slower it was, the rarer it is asked: what that may cost is bounded.
            one.passed[size] += 1
            worse = time / best - 1 if best else 0.0
            if one.passed[size] >= min(worse / PROBED, RAREST):
                one.passed[size] = 0
                ranked.insert(0, ranked.pop(place))
            break
    candidates[ranked[0]].sent[size] = now
    return ranked


def _sorted(keys: Sequence[float]) -> Ranked:
    return sorted(range(len(keys)), key=keys.__getitem__)


def _at(weights: Sequence[float], point: float) -> int:
    left = point * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)


def armed(weights: Sequence[float], point: float) -> Ranked:
    """Return the arm that a point in [0, 1) falls into, and the others after it as they stand."""
    first = _at(weights, point)
    return [first, *(index for index in range(len(weights)) if index != first)]
