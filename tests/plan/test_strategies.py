"""Strategies put the right target first, splits are exact and sticky, and what rests comes last."""

import random
from typing import Any

import pytest
from tests.plan.routing import KEY, Healths, facts, routes

from portico.plan.branch import Branch, Way
from portico.plan.candidate import LOW, Candidate, mark_of
from portico.plan.facts import Facts
from portico.plan.health import Untried
from portico.providers.prices_schedule import price
from portico.types import Usage

RATES = {"a": {"input": 3_000_000, "output": 15_000_000}, "b": {"input": 5_000_000, "output": 6_000_000}}


def candidate(name: str, **health: Any) -> Candidate:
    how = Untried()
    how.sampled = 100.0
    for field, value in health.items():
        setattr(how, field, value)
    rates = RATES.get(name)
    return Candidate(None, f"p/{name}", price(rates) if rates else None, how)


def order(branch: Branch, known: Facts | None = None, draw: float = 0.99) -> list[str]:
    found = branch.order(known or Facts("m", body=b"x" * 400), Way(lambda: draw, 100.0, b"secret"), None)
    return [one.name.removeprefix("p/") for one in found]


def timed(first: float, per_token: float, whole: float = 0.0) -> dict[str, Any]:
    return {"first_token": [first] * 4, "per_token": [per_token] * 4, "whole": [whole] * 4}


KIDS = (
    candidate("a", in_flight=3, failure_rate=0.0, **timed(0.2, 0.050, 9.0)),
    candidate("b", in_flight=1, failure_rate=0.2, **timed(0.9, 0.001, 2.0)),
    candidate("c", in_flight=2, failure_rate=0.0, **timed(0.5, 0.010, 5.0)),
)
ORDERS = [
    ("fallback", "a b c"),
    ("least_busy", "b c a"),
    ("lowest_latency", "b c a"),
    ("highest_throughput", "b c a"),
    ("lowest_cost", "b a c"),
    ("score", "b c a"),
]


@pytest.mark.parametrize(("strategy", "expected"), ORDERS)
def test_a_strategy_puts_the_best_first_and_the_others_behind_it(strategy: str, expected: str) -> None:
    assert order(Branch("m", KIDS, strategy)) == expected.split()


def test_round_robin_takes_turns() -> None:
    branch = Branch("m", KIDS, "round_robin")
    assert [order(branch)[0] for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert order(branch) == ["a", "b", "c"]


def test_a_short_answer_is_wanted_where_the_first_token_comes_first_and_a_long_one_where_tokens_are_fast() -> None:
    branch = Branch("m", KIDS, "lowest_latency")
    assert order(branch, facts("m", {"stream": True, "max_tokens": 2}))[0] == "a"
    assert order(branch, facts("m", {"stream": True, "max_tokens": 300}))[0] == "b"


def test_power_of_two_takes_the_better_of_the_two_that_are_drawn() -> None:
    kids = [candidate(str(n), in_flight=n, **timed(0.1, 0.001)) for n in range(10)]
    branch = Branch("m", kids, "power_of_two")
    chance = random.Random(7)
    firsts = []
    for _ in range(2000):
        found = branch.order(Facts("m"), Way(chance.random, 100.0), None)
        assert len({one.name for one in found}) == 10
        assert int(found[0].name[2:]) < int(found[1].name[2:])
        firsts.append(int(found[0].name[2:]))
    assert 9 not in firsts
    assert firsts.count(0) > firsts.count(4) > firsts.count(8)


def test_the_cheapest_target_depends_on_what_the_call_is_and_on_what_is_cached() -> None:
    branch = Branch("m", KIDS[:2], "lowest_cost")
    long_answer = facts("m", input_tokens=100, output_tokens=5000)
    long_prompt = facts("m", input_tokens=100_000, output_tokens=10)
    assert order(branch, long_answer)[0] == "b"
    assert order(branch, long_prompt)[0] == "a"
    cached = {"input": 9_000_000, "output": 9_000_000, "cache_read": 100_000}
    warm = Candidate(None, "p/w", price(cached), Untried())
    branch = Branch("m", [KIDS[0], warm], "lowest_cost")
    assert order(branch, facts("m", input_tokens=10_000, output_tokens=10))[0] == "a"
    assert (
        order(branch, facts("m", input_tokens=10_000, cached={mark_of("p/w") & LOW: 9_900}, output_tokens=10))[0] == "w"
    )


def test_what_a_call_is_said_to_cost_is_what_it_will_be_charged() -> None:
    from portico.providers.prices import cost

    tiered = price({"input": 3_000_000, "output": 15_000_000, "input>200000": 6_000_000, "cache_read": 300_000})
    one = Candidate(None, "p/m", tiered)
    for size, cached in ((1000, 0), (1000, 800), (300_000, 100_000)):
        known = facts("m", input_tokens=size, cached={mark_of("p/m") & LOW: cached}, output_tokens=50)
        used = Usage(input=size - cached, cache_read=cached, output=50)
        assert one.cost(known) // 1000 == cost(tiered, used)


def test_a_score_is_the_same_whether_prices_are_at_hand_or_depend_on_the_size_of_the_call() -> None:
    chance = random.Random(11)
    for _ in range(50):
        kids, tiered = [], []
        for number in range(6):
            rates = {"input": chance.randrange(1, 9) * 10**6, "output": chance.randrange(1, 9) * 10**6}
            how = {"in_flight": chance.randrange(3), "failure_rate": chance.choice((0.0, 0.3))}
            times = timed(chance.uniform(0.1, 2), chance.uniform(0.001, 0.02), chance.uniform(1, 9))
            one = candidate(str(number), **how, **times)
            kids.append(Candidate(None, one.name, price(rates), one.health))
            same = price({**rates, "input>1000000": rates["input"]})
            tiered.append(Candidate(None, one.name, same, one.health))
            assert kids[-1].flat
            assert not tiered[-1].flat
        known = facts("m", {"stream": chance.random() < 0.5}, input_tokens=chance.randrange(1, 90_000))
        assert order(Branch("m", kids, "score"), known) == order(Branch("m", tiered, "score"), known)


def test_a_target_without_a_price_is_dearer_than_any() -> None:
    assert order(Branch("m", [KIDS[2], KIDS[0]], "lowest_cost")) == ["a", "c"]


@pytest.mark.parametrize("who", ["key", "user", "session", "customer"])
def test_a_split_is_exact_to_half_a_percent_and_everyone_keeps_an_arm(who: str) -> None:
    branch = Branch("trial", KIDS, "split", weights=(90, 9, 1), arms=("old", "new", "wild"), sticky=who)
    counts = dict.fromkeys(("old", "new", "wild"), 0)
    for number in range(100_000):
        known = Facts("trial")
        setattr(known, who, f"someone-{number}")
        way = Way(random.random, 100.0, b"secret")
        first = branch.order(known, way, None)[0].name
        assert way.arm is not None
        counts[way.arm] += 1
        if number % 1000 == 0:
            again = Way(random.random, 200.0, b"secret")
            assert branch.order(known, again, None)[0].name == first
            assert again.arm == way.arm
    assert abs(counts["old"] / 100_000 - 0.90) < 0.005
    assert abs(counts["new"] / 100_000 - 0.09) < 0.005
    assert abs(counts["wild"] / 100_000 - 0.01) < 0.005


def test_a_draw_by_weight_is_exact_to_half_a_percent() -> None:
    branch = Branch("m", KIDS, "weighted", weights=(7, 2, 1))
    chance = random.Random(3)
    firsts = [branch.order(Facts("m"), Way(chance.random), None)[0].name for _ in range(100_000)]
    for name, share in (("p/a", 0.7), ("p/b", 0.2), ("p/c", 0.1)):
        assert abs(firsts.count(name) / 100_000 - share) < 0.005


def test_another_secret_and_another_name_split_otherwise() -> None:
    def arms(name: str, secret: bytes) -> list[str | None]:
        branch = Branch(name, KIDS[:2], "split", arms=("old", "new"))
        found = []
        for number in range(200):
            known, way = facts(name, key=f"k{number}"), Way(random.random, 1.0, secret)
            branch.order(known, way, None)
            found.append(way.arm)
        return found

    assert arms("one", b"a") != arms("one", b"b")
    assert arms("one", b"a") != arms("two", b"a")


def test_an_arm_is_kept_though_its_target_cannot_serve_a_call_now_and_then() -> None:
    branch = Branch("m", KIDS, "split", weights=(1, 1, 1), arms=("x", "y", "z"))
    known, way = facts("m", key="somebody"), Way(lambda: 0.0, 1.0, b"s")
    own = branch.order(known, way, None)[0]
    other = Way(lambda: 0.0, 1.0, b"s")
    found = branch.order(known, other, lambda one: one is not own)
    assert len(found) == 2
    assert other.arm != way.arm
    back = Way(lambda: 0.0, 1.0, b"s")
    assert branch.order(known, back, None)[0] is own


CONFIG: dict[str, Any] = {
    "providers": {"openai": KEY, "anthropic": KEY, "groq": KEY},
    "models": {
        "cheap": {"strategy": "round_robin", "targets": ["groq/x", "groq/y"]},
        "smart": {"targets": ["openai/gpt-4.1", "cheap"]},
        "best": {"strategy": "lowest_latency", "targets": ["cheap", "anthropic/claude-sonnet-4-5", "groq/x"]},
        "trial": {
            "strategy": "split",
            "sticky": "user",
            "targets": [{"model": "smart", "weight": 1, "arm": "now"}, {"model": "cheap", "weight": 1, "arm": "then"}],
        },
    },
}


def test_names_nest_each_with_its_own_strategy() -> None:
    with routes(CONFIG) as made:
        first = [one.name for one in made.plan(facts("smart"), lambda: 0.0).candidates]
        second = [one.name for one in made.plan(facts("smart"), lambda: 0.0).candidates]
    assert first == ["openai/gpt-4.1", "groq/x", "groq/y"]
    assert second == ["openai/gpt-4.1", "groq/y", "groq/x"]


def test_a_nested_name_is_as_good_as_the_one_it_would_take_and_no_target_stands_twice() -> None:
    healths = Healths()
    healths.say("groq/x", first=0.5)
    healths.say("groq/y", first=0.1)
    healths.say("anthropic/claude-sonnet-4-5", first=0.3)
    with routes(CONFIG, healths) as made:
        plan = made.plan(facts("best"), lambda: 0.99)
    assert [one.name for one in plan.candidates] == ["anthropic/claude-sonnet-4-5", "groq/x", "groq/y"]


def test_the_arm_of_a_split_is_told() -> None:
    with routes(CONFIG) as made:
        arms = {made.plan(facts("trial", user=f"u{n}"), lambda: 0.0).arm for n in range(50)}
    assert arms == {"now", "then"}


def test_what_rests_comes_last_and_where_all_rest_the_order_stands() -> None:
    healths = Healths()
    healths.say("openai/gpt-4.1", resting=True)
    with routes(CONFIG, healths) as made:
        assert [one.name for one in made.plan(facts("smart"), lambda: 0.0).candidates][-1] == "openai/gpt-4.1"
        for name in ("groq/x", "groq/y"):
            healths.say(name, resting=True)
        assert made.plan(facts("smart"), lambda: 0.0).candidates[0].name == "openai/gpt-4.1"
