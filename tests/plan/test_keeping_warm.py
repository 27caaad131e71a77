"""Conversations over simulated providers with prompt caches: how often the cache is hit, and what all of it costs.

Each provider keeps a prompt as long as it says, each call goes through one of two workers at random, and both know only
what the calls that they served told them, or share it as workers of a machine do. Time and chance are simulated.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from portico.plan.branch import Branch, Way
from portico.plan.candidate import Candidate
from portico.plan.conversation import Conversation
from portico.plan.facts import Facts
from portico.plan.health import Untried, size_class
from portico.providers.prices_schedule import price
from portico.providers.prompt_caches import PROMPT_CACHES
from portico.types import Usage
from portico.upstream.caches import Caches, Kept

HOSTS = {
    "openai": (2_000_000, 500_000),
    "azure": (2_000_000, 500_000),
    "deepseek": (2_200_000, 220_000),
    "groq": (2_400_000, 1_200_000),
}
TURNS = 8
STEM = 3_000
GROWTH = 900


@dataclass
class Outcome:
    """What became of all calls: those that a cache could have served, those it did serve, and the whole cost."""

    could: int = 0
    hit: int = 0
    cost: int = 0
    firsts: dict[str, int] = field(default_factory=dict)


def simulate(strategy: str, affinity: bool | None, *, shared: bool, seed: int, outage: bool = False) -> Outcome:
    chance = random.Random(seed)
    clock = [0.0]
    one = Caches(clock=lambda: clock[0])
    workers = [one, one if shared else Caches(clock=lambda: clock[0])]
    health = {name: Untried() for name in HOSTS}
    branches = []
    for _ in workers:
        kids = [
            Candidate(name, f"{name}/m", price({"input": rate, "output": 8_000_000, "cache_read": read}), health[name])
            for name, (rate, read) in HOSTS.items()
        ]
        branches.append(Branch("m", kids, strategy, affinity=affinity))
    turns = []
    for number in range(400):
        at = chance.uniform(0, 3000)
        for turn in range(TURNS):
            turns.append((at, number, turn))
            at += chance.expovariate(1 / 40)
    kept_at: dict[tuple[str, int], float] = {}
    outcome = Outcome()
    kinds = {name: name for name in HOSTS}
    for at, number, turn in sorted(turns):
        clock[0] = at
        if outage:
            health["azure"].resting = 1000 < at < 2000
        worker = chance.randrange(2)
        tokens = STEM + GROWTH * turn
        known = Facts("m", stream=True)
        known.input_tokens, known.output_tokens, known.size = tokens, 200, size_class(tokens)
        caches = workers[worker]
        if branches[worker].recalls:
            known.conversation = Conversation(number + 1)
            known.warm, known.cached = caches.expected(known.conversation)
        order = branches[worker].order(known, Way(chance.random, at), None)
        first = next(each for each in order if not each.health.resting)
        name = first.target
        warm = kept_at.get((name, number), -1.0) >= at
        cached = tokens - GROWTH if warm else 0
        outcome.could += turn > 0
        outcome.hit += warm
        outcome.firsts[name] = outcome.firsts.get(name, 0) + 1
        used = Usage(input=tokens - cached, cache_read=cached, output=200)
        rate, read = HOSTS[name]
        outcome.cost += used.input * rate + used.cache_read * read + used.output * 8_000_000
        kept_at[name, number] = at + PROMPT_CACHES[name].seconds
        if known.conversation is not None:
            Kept(caches, known.conversation, known.cached, kinds).served(f"{name}/m", used)
    return outcome


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("strategy", ["weighted", "round_robin", "power_of_two"])
def test_affinity_hits_the_cache_on_nearly_every_turn_and_saves_a_fifth(strategy: str, seed: int, shared: bool) -> None:
    plain = simulate(strategy, None, shared=shared, seed=seed)
    kept = simulate(strategy, True, shared=shared, seed=seed)
    assert plain.hit <= 0.65 * plain.could
    assert kept.hit >= 0.97 * kept.could
    assert kept.cost <= 0.80 * plain.cost
    assert all(abs(count / (400 * TURNS) - 1 / 4) < 0.08 for count in kept.firsts.values())


def test_what_workers_share_outlasts_an_outage() -> None:
    alone = simulate("round_robin", True, shared=False, seed=3, outage=True)
    together = simulate("round_robin", True, shared=True, seed=3, outage=True)
    assert together.hit >= 0.95 * together.could
    assert together.hit >= alone.hit


@pytest.mark.parametrize("seed", [1, 2])
def test_the_lowest_cost_is_lower_where_what_is_cached_counts(seed: int) -> None:
    # By the list openai is cheapest; a conversation that once went elsewhere is cheaper there, and stays.
    counted: dict[Any, int] = {}
    for affinity in (False, None):
        chance = random.Random(seed)
        spent = 0
        caches = Caches(clock=lambda: 0.0)
        kids = [
            Candidate(name, f"{name}/m", price({"input": rate, "output": 8_000_000, "cache_read": read}), Untried())
            for name, (rate, read) in HOSTS.items()
        ]
        branch = Branch("m", kids, "lowest_cost", affinity=affinity)
        for number in range(300):
            began = chance.choice(("openai", "azure", "deepseek"))  # where its first turn was served: others were down
            kept = began
            for turn in range(TURNS):
                known = Facts("m")
                known.input_tokens, known.output_tokens, known.size = STEM + GROWTH * turn, 200, 1
                conversation = Conversation(number + 1)
                if branch.recalls:
                    known.conversation = conversation
                    known.warm, known.cached = caches.expected(conversation)
                name = began if turn == 0 else branch.order(known, Way(chance.random), None)[0].target
                cached = known.input_tokens - GROWTH if turn and name == kept else 0
                rate, read = HOSTS[name]
                used = Usage(input=known.input_tokens - cached, cache_read=cached, output=200)
                spent += used.input * rate + used.cache_read * read
                caches.note(conversation, f"{name}/m", name, used, 0)
                kept = name
        counted[affinity] = spent
    assert counted[None] < 0.93 * counted[False], counted
