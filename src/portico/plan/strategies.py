"""The ways to put targets in order. Each takes rivals and a call and returns their places, best first.

Times are those of `Health`. What was not measured for a while may have become better without anybody noticing, so now
and then one call goes there: `PROBED` after `STALE` seconds, one at a time, in at most a small share of the calls.
"""

from collections.abc import Callable, Sequence
from typing import Final

from portico.config.schema import Scoring
from portico.hashing import blake2b
from portico.plan.candidate import LOW, UNKNOWN_COST, Candidate
from portico.plan.facts import Facts
from portico.plan.health import Health

Draw = Callable[[], float]
"""Returns a number in [0, 1)."""

LOOKED: Final = 0.05
"""Seconds for which the fastest of several is taken to be the fastest, where its time is what others are set against:
their times themselves are those of the moment."""
STALE: Final = 2.0
"""Seconds after which a measurement is to be taken anew."""
PROBED: Final = 0.02
"""What measuring may add to the time of all calls, as a share."""
RAREST: Final = 300
"""Calls, at most, of which one goes to a target that is stale only to measure it."""
PATIENT: Final = 30.0
"""Seconds in which a call that was sent to measure is waited for before there is another."""
UNMEASURED: Final = 1e6
"""Seconds that stand for a target that is being measured for the first time."""

Ranked = list[int]


def weighted(weights: Sequence[float], draw: Draw) -> Ranked:
    """Return one drawn by weight in front; the others follow as they stand."""
    return first_of(arm(weights, draw()), len(weights))


def share(secret: bytes, name: str, who: str) -> float:
    """Return where in [0, 1) one falls who keeps an arm: the same for ever, and not to be chosen."""
    hashed = blake2b(f"{name}\0{who}".encode(), digest_size=8, key=secret[:64]).digest()
    return int.from_bytes(hashed, "big") / (1 << 64)


class Rivals:
    """Candidates that are put in order, and at hand what that reads of each.

    `rates` are what a token in and out costs at each, None where that depends on more; `least` those of them that are
    the cheapest of all for some call; `trios` has them with the health of each. `checked` is for each size class a
    moment before which none of them was last sent a call. `fastest` is the health of the fastest for calls of each size
    class, whole ones and then streams, as it was found when it was last `looked` for; where some time is not known,
    that is at every call.
    """

    __slots__ = ("candidates", "checked", "fastest", "healths", "least", "looked", "places", "rates", "trios")

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        self.places = tuple(range(len(candidates)))
        self.healths = tuple(candidate.health for candidate in candidates)
        self.checked = [0.0] * 4
        self.looked = [float("-inf")] * 8
        self.fastest: list[Health] = [*self.healths[:1]] * 8
        self.trios: Sequence[tuple[float, float, Health]] = ()
        self.rates: Sequence[tuple[float, float]] | None = None
        self.least: Sequence[tuple[float, float]] = ()
        if all(candidate.flat for candidate in candidates):
            self.rates = tuple((float(one.input_rate), float(one.output_rate)) for one in candidates)
            self.least = tuple(
                (into, out)
                for into, out in sorted(set(self.rates))
                if not any(a <= into and b <= out and (a, b) != (into, out) for a, b in self.rates)
            )
            self.trios = tuple((*rates, health) for rates, health in zip(self.rates, self.healths, strict=True))


def least_busy(rivals: Rivals) -> Ranked:
    """Return those with the fewest attempts under way first."""
    return sorted(rivals.places, key=[health.in_flight for health in rivals.healths].__getitem__)


def lowest_latency(rivals: Rivals, facts: Facts, now: float | None) -> Ranked:
    """Return those first that are expected to have answered first. Without a time, the call is none to measure by."""
    times = _times(rivals, facts)
    ranked = sorted(rivals.places, key=times.__getitem__)
    if not times[ranked[0]]:
        times = _eager(rivals, _streamed_for(rivals, facts, times))
        ranked = sorted(rivals.places, key=times.__getitem__)
    return ranked if now is None else _probing(rivals, ranked, times, facts.size, now)


def highest_throughput(rivals: Rivals, facts: Facts, now: float | None) -> Ranked:
    """Return those first whose tokens follow each other the fastest. Without a time, the call is none to measure by."""
    size = facts.size
    times = [health.per_token[size] for health in rivals.healths]
    ranked = sorted(rivals.places, key=times.__getitem__)
    if not times[ranked[0]]:
        times = _eager(rivals, times)
        ranked = sorted(rivals.places, key=times.__getitem__)
    return ranked if now is None else _probing(rivals, ranked, times, size, now)


def lowest_cost(rivals: Rivals, facts: Facts) -> Ranked:
    """Return those first where this call is cheapest; what nobody knows the price of comes last."""
    return sorted(rivals.places, key=costs(rivals, facts).__getitem__)


def costs(rivals: Rivals, facts: Facts) -> list[float]:
    """Return what a call would cost at each, in pico-dollars, with what is cached there."""
    rates = rivals.rates
    if rates is None:
        return [candidate.cost(facts) for candidate in rivals.candidates]
    into, out = facts.input_tokens, facts.output_tokens
    found = [into * input_rate + out * output_rate for input_rate, output_rate in rates]
    if facts.cached is not None:
        for place, candidate in enumerate(rivals.candidates):
            if candidate.mark & LOW in facts.cached:
                found[place] = candidate.cost(facts)
    return found


def power_of_two(rivals: Rivals, facts: Facts, draw: Draw) -> Ranked:
    """Return the better of two drawn at random in front: that with less under way, each call as long as it takes."""
    candidates = rivals.candidates
    count = len(candidates)
    one = int(draw() * count)
    other = int(draw() * (count - 1))
    other += other >= one
    if _burden(candidates[other], facts) < _burden(candidates[one], facts):
        one, other = other, one
    ranked = [one, other, *rivals.places]
    # Each stands once more behind, where it always stood.
    del ranked[max(one, other) + 2]
    del ranked[min(one, other) + 2]
    return ranked


def scored(rivals: Rivals, facts: Facts, scoring: Scoring, now: float) -> Ranked:
    """Return those with the lowest score first: each thing that counts, over the best of them, times its weight.

    What is not known of a target, a price or a time, counts as the worst that is known.
    """
    healths = rivals.healths
    totals = _at_once(rivals, facts, scoring, now) if rivals.trios and facts.cached is None else None
    if totals is None:
        times: Sequence[float] = (0.0,) * len(healths)
        by_time = 0.0
        if scoring.latency:
            times = _known(_streamed_for(rivals, facts, _times(rivals, facts)), 0.0)
            by_time = scoring.latency / min(times)
        priced = _known(costs(rivals, facts), UNKNOWN_COST)
        by_cost = scoring.cost / (min(priced) or 1e-9)
        weight = scoring.failures
        totals = [
            by_cost * cost + by_time * time + weight * health.failure_rate
            for cost, time, health in zip(priced, times, healths, strict=True)
        ]
    if scoring.load:
        loads = [health.in_flight + 1 for health in healths]
        by_load = scoring.load / min(loads)
        totals = [total + by_load * load for total, load in zip(totals, loads, strict=True)]
    ranked = sorted(rivals.places, key=totals.__getitem__)
    return _probing(rivals, ranked, totals, facts.size, now) if scoring.latency else ranked


def _at_once(rivals: Rivals, facts: Facts, scoring: Scoring, now: float) -> list[float] | None:
    """Return scores of what all targets have at hand, None where something is not known: each is looked at once."""
    size, into, out = facts.size, facts.input_tokens, facts.output_tokens
    stream, weight = facts.stream, scoring.failures
    kind = size + 4 if stream else size
    if now >= rivals.looked[kind]:
        times = _times(rivals, facts)
        best = min(times)
        if not best:
            return None
        rivals.fastest[kind] = rivals.healths[times.index(best)]
        rivals.looked[kind] = now + LOOKED
    fastest = rivals.fastest[kind]
    best = fastest.first_token[size] + fastest.per_token[size] * out if stream else fastest.whole[size]
    by_time = scoring.latency / best
    if len(rivals.least) == 1:
        one, other = rivals.least[0]
        least = into * one + out * other
    else:
        least = min([into * one + out * other for one, other in rivals.least])
    by_cost = scoring.cost / (least or 1e-9)
    by_input, by_output = by_cost * into, by_cost * out
    if not stream:
        return [
            by_input * one + by_output * other + by_time * health.whole[size] + weight * health.failure_rate
            for one, other, health in rivals.trios
        ]
    by_token = by_time * out
    return [
        by_input * one
        + by_output * other
        + by_time * health.first_token[size]
        + by_token * health.per_token[size]
        + weight * health.failure_rate
        for one, other, health in rivals.trios
    ]


def _times(rivals: Rivals, facts: Facts) -> list[float]:
    """Return the seconds until each is expected to have answered as was asked; 0 where that was not measured."""
    size = facts.size
    if not facts.stream:
        return [health.whole[size] for health in rivals.healths]
    tokens = facts.output_tokens
    return [health.first_token[size] + health.per_token[size] * tokens for health in rivals.healths]


def _streamed_for(rivals: Rivals, facts: Facts, times: list[float]) -> list[float]:
    """Return the same times; where no whole reply was measured, those of streams."""
    size, tokens = facts.size, facts.output_tokens
    return [
        time or health.first_token[size] + health.per_token[size] * tokens
        for time, health in zip(times, rivals.healths, strict=True)
    ]


def _known(values: Sequence[float], unknown: float) -> list[float]:
    """Return values with the worst that is known in place of what is not."""
    worst = max((value for value in values if value != unknown), default=1.0)
    return [worst if value == unknown else value for value in values]


def _burden(candidate: Candidate, facts: Facts) -> float:
    return (candidate.health.in_flight + 1) * (candidate.latency(facts) or 1e-6)


def _eager(rivals: Rivals, times: list[float]) -> list[float]:
    """Return times by which what was not measured comes first, or last while that is being done."""
    return [
        time or (0.0 if not health.in_flight else UNMEASURED + health.in_flight)
        for health, time in zip(rivals.healths, times, strict=True)
    ]


def _probing(rivals: Rivals, ranked: Ranked, times: list[float], size: int, now: float) -> Ranked:
    """Return the same order, or now and then with one in front that is to be measured anew; note which one it is."""
    stale = now - STALE
    candidates = rivals.candidates
    if rivals.checked[size] <= stale:
        oldest = rivals.checked[size] = min([candidate.sent[size] for candidate in candidates])
        if oldest <= stale:
            _probe(candidates, ranked, times, size, now)
    candidates[ranked[0]].sent[size] = now
    return ranked


def _probe(candidates: Sequence[Candidate], ranked: Ranked, times: list[float], size: int, now: float) -> None:
    best = times[ranked[0]]
    stale = now - STALE
    for place in range(1, len(ranked)):
        one = candidates[ranked[place]]
        time = times[ranked[place]]
        health = one.health
        if one.sent[size] > stale or not time or health.resting:
            continue
        # What is under way there may be of another size, and says nothing of this one.
        measured = health.first_token[size] + health.per_token[size] + health.whole[size]
        if measured == one.awaited[size] and one.sent[size] > now - PATIENT:
            continue
        # The slower it was, the rarer it is asked: what that may cost is bounded.
        one.passed[size] += 1
        worse = time / best - 1 if best else 0.0
        if one.passed[size] >= min(worse / PROBED, RAREST):
            one.passed[size] = 0
            one.awaited[size] = measured
            ranked.insert(0, ranked.pop(place))
        break


def arm(weights: Sequence[float], point: float) -> int:
    """Return the place of the arm that a point in [0, 1) falls into."""
    left = point * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)


def first_of(first: int, count: int) -> Ranked:
    """Return one of so many in front; the others follow as they stand."""
    ranked = [*range(count)]
    if first:
        del ranked[first]
        ranked.insert(0, first)
    return ranked
