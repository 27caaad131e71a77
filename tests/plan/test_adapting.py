"""Latency and cost against simulated providers: as good as the best of them in hindsight, and quick to see a change.

Time is simulated: calls come at random moments, each takes as long as its provider says, and is measured at its end.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.plan.routing import KEY, facts, routes

from portico.plan.branch import Branch, Way
from portico.plan.candidate import Candidate
from portico.plan.facts import Facts
from portico.plan.health import size_class
from portico.providers.prices_schedule import price
from portico.testing.clock import FakeClock
from portico.upstream.health import Health


class Provider:
    """A simulated provider: what a call takes there, by the time that it comes."""

    def __init__(self, name: str, first: Callable[[float], float], per_token: float, jitter: float = 0.1) -> None:
        self.name = name
        self.first = first
        self.per_token = per_token
        self.jitter = jitter
        self.health = Health(name)

    def takes(self, now: float, tokens: int, chance: random.Random) -> tuple[float, float]:
        """Return the seconds to the first token and per token of a call that comes now."""
        factor = chance.lognormvariate(0, self.jitter)
        return self.first(now) * factor, self.per_token * factor


async def simulate(
    providers: list[Provider], strategy: str, *, seconds: float, rate: float = 20.0, seed: int = 1
) -> tuple[list[tuple[float, str, float]], dict[str, float]]:
    """Return each call (when it came, where it went, how long it took), and what all would have taken at each."""
    chance = random.Random(seed)
    clock = FakeClock()
    by_name = {f"p/{one.name}": one for one in providers}
    branch = Branch("m", [Candidate(one, name, None, one.health) for name, one in by_name.items()], strategy)
    calls: list[tuple[float, str, float]] = []
    fixed = dict.fromkeys(by_name, 0.0)
    under_way: list[tuple[float, int, Provider, float, float, int]] = []
    order = itertools.count()
    while clock.now() < seconds:
        await clock.advance(chance.expovariate(rate))
        now = clock.now()
        while under_way and under_way[0][0] <= now:
            ended, _, provider, first, per_token, size = heapq.heappop(under_way)
            provider.health.in_flight -= 1
            provider.health.answered(ended, first, size, streamed=True)
            provider.health.spoke(ended, per_token, size)
        known = Facts("m", stream=True)
        known.input_tokens = chance.choice((200, 200, 200, 3000))
        known.output_tokens = chance.choice((50, 100, 200))
        size = known.size = size_class(known.input_tokens)
        took = {name: one.takes(now, known.output_tokens, chance) for name, one in by_name.items()}
        chosen = branch.order(known, Way(chance.random, now), None)[0]
        for name, (first, per_token) in took.items():
            fixed[name] += first + per_token * known.output_tokens
        provider = chosen.target
        first, per_token = took[chosen.name]
        length = first + per_token * known.output_tokens
        provider.health.in_flight += 1
        heapq.heappush(under_way, (now + length, next(order), provider, first, per_token, size))
        calls.append((now, provider.name, length))
    return calls, fixed


def steady(seconds: float) -> Callable[[float], float]:
    return lambda _: seconds


def changing(before: float, after: float, at: float) -> Callable[[float], float]:
    return lambda now: before if now < at else after


MIXES: list[tuple[str, list[Any]]] = [
    ("one is clearly better", [("a", 0.3, 0.005), ("b", 0.9, 0.008), ("c", 1.5, 0.010)]),
    ("two are close", [("a", 0.40, 0.006), ("b", 0.45, 0.006), ("c", 1.0, 0.010)]),
    ("one is ten times slower", [("a", 3.0, 0.050), ("b", 0.3, 0.005), ("c", 0.5, 0.006)]),
    ("fast to begin against fast to write", [("a", 0.1, 0.020), ("b", 0.8, 0.004)]),
]


@pytest.mark.parametrize(("what", "mix"), MIXES, ids=[mix[0] for mix in MIXES])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_lowest_latency_is_within_a_twentieth_of_the_best_fixed_choice(
    what: str, mix: list[Any], seed: int
) -> None:
    providers = [Provider(name, steady(first), per_token) for name, first, per_token in mix]
    calls, fixed = await simulate(providers, "lowest_latency", seconds=300, seed=seed)
    assert sum(length for _, _, length in calls) <= 1.05 * min(fixed.values()), what


CHANGES: list[tuple[str, Callable[[float], float], Callable[[float], float], str]] = [
    ("the best slows tenfold", changing(0.3, 3.0, 100), steady(0.6), "b"),
    ("the best becomes a little worse", changing(0.3, 1.2, 100), steady(0.6), "b"),
    ("another becomes the best", steady(0.6), changing(2.0, 0.2, 100), "b"),
    ("another becomes half as slow", steady(0.8), changing(1.2, 0.1, 100), "b"),
]


@pytest.mark.parametrize(("what", "one", "other", "best"), CHANGES, ids=[change[0] for change in CHANGES])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_change_is_followed_within_half_a_minute(
    what: str, one: Callable[[float], float], other: Callable[[float], float], best: str, seed: int
) -> None:
    providers = [Provider("a", one, 0.005), Provider("b", other, 0.005), Provider("c", steady(2.5), 0.01)]
    calls, _ = await simulate(providers, "lowest_latency", seconds=200, seed=seed)
    before = [name for now, name, _ in calls if 70 < now < 100]
    after = [name for now, name, _ in calls if now > 130]
    assert before.count("a") > 0.85 * len(before), what
    assert after.count(best) > 0.85 * len(after), what


async def test_the_highest_throughput_is_found_and_kept() -> None:
    providers = [Provider("a", steady(0.2), 0.02), Provider("b", steady(0.9), 0.004), Provider("c", steady(0.5), 0.01)]
    calls, _ = await simulate(providers, "highest_throughput", seconds=120)
    assert [name for _, name, _ in calls].count("b") > 0.9 * len(calls)


def test_the_lowest_cost_is_within_a_twentieth_of_the_best_fixed_choice_and_mostly_below_it() -> None:
    chance = random.Random(5)
    rates = {"long": (1.0, 12.0), "short": (4.0, 3.0), "dear": (6.0, 20.0)}
    kids = [
        Candidate(None, f"p/{name}", price({"input": int(into * 1e6), "output": int(out * 1e6)}))
        for name, (into, out) in rates.items()
    ]
    branch = Branch("m", kids, "lowest_cost")
    spent, fixed = 0, dict.fromkeys(rates, 0)
    for _ in range(20_000):
        known = Facts("m")
        known.input_tokens = int(chance.lognormvariate(6, 1.5))
        known.output_tokens = min(int(chance.lognormvariate(5, 1)), 300)
        # The answer is as long as it is; only its limit is known beforehand.
        output = int(known.output_tokens * chance.uniform(0.4, 1.0))
        first = branch.order(known, Way(chance.random), None)[0].name.removeprefix("p/")
        for name, (into, out) in rates.items():
            cost = int(known.input_tokens * into * 1e6 + output * out * 1e6)
            fixed[name] += cost
            spent += cost if name == first else 0
    assert spent <= 1.05 * min(fixed.values())
    assert spent < min(fixed.values())


MIDNIGHT = 1_796_083_200  # of 2026-12-01, in seconds since the epoch


def test_the_lowest_cost_follows_a_price_from_the_second_on_that_it_changes() -> None:
    config = {
        "providers": {"openai": KEY, "groq": KEY},
        "models": {
            "cheap": {"strategy": "lowest_cost", "targets": ["openai/a", "groq/b"]},
            "outer": {"strategy": "lowest_cost", "targets": ["cheap", "openai/c"]},
        },
        "prices": {
            "openai/a": {"input": 1, "output": 1, "changes": [{"from": "2026-12-01", "input": 5}]},
            "groq/b": {"input": 2, "output": 2},
            "openai/c": {"input": 3, "output": 3, "changes": [{"from": "2026-11-01", "input": 1, "output": 1}]},
        },
    }
    clock = [MIDNIGHT - 60.0]
    with routes(config, wall=lambda: clock[0]) as made:
        went: dict[str, list[str]] = {"cheap": [], "outer": []}
        spent = dict.fromkeys(("openai/a", "groq/b", "chosen"), 0)
        for _ in range(120):
            for model, names in went.items():
                known = facts(model, input_tokens=1000, output_tokens=100, arrived=clock[0])
                names.append(made.plan(known, lambda: 0.5).candidates[0].name)
            rate = {"openai/a": 5 if clock[0] >= MIDNIGHT else 1, "groq/b": 2}
            for name in ("openai/a", "groq/b"):
                spent[name] += rate[name]
            spent["chosen"] += rate[went["cheap"][-1]]
            clock[0] += 1
    assert went["cheap"] == ["openai/a"] * 60 + ["groq/b"] * 60
    assert went["outer"] == ["openai/a"] * 60 + ["openai/c"] * 60
    assert spent["chosen"] < min(spent["openai/a"], spent["groq/b"])
