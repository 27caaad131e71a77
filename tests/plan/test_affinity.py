"""A conversation stays where its prompt is cached, unless that is dearer, slower, busier or failing."""

import random
from typing import Any

import pytest

from portico.plan.affinity import KEEPING, SPREADING, home
from portico.plan.branch import Branch, Way
from portico.plan.candidate import LOW, Candidate, mark_of
from portico.plan.conversation import Conversation
from portico.plan.facts import Facts
from portico.plan.health import Untried
from portico.providers.prices_schedule import price

RATES = {"input": 2_000_000, "output": 8_000_000, "cache_read": 200_000}


def candidate(name: str, rates: dict[str, int] | None = None, **health: Any) -> Candidate:
    how = Untried()
    times = {"first_token": [0.5] * 4, "per_token": [0.01] * 4, "whole": [2.0] * 4}
    for field, value in (times | health).items():
        setattr(how, field, value)
    return Candidate(None, f"p/{name}", price(rates if rates is not None else RATES), how)


def turn(conversation: int = 7, *, warm: str | None = None, tokens: int = 10_000, cached: int = 9_000) -> Facts:
    known = Facts("m")
    known.input_tokens, known.output_tokens, known.size = tokens, 200, 2
    known.conversation = Conversation(conversation)
    if warm is not None:
        known.warm = mark_of(f"p/{warm}") & LOW
        known.cached = {known.warm: cached}
    return known


def planned(kids: list[Candidate], strategy: str, known: Facts, draw: float = 0.0, **more: Any) -> tuple[str, Way]:
    way = Way(lambda: draw, 1.0, b"s")
    found = Branch("m", kids, strategy, affinity=True, **more).order(known, way, None)
    assert len(found) == len(kids)
    return found[0].name.removeprefix("p/"), way


@pytest.mark.parametrize("strategy", sorted(KEEPING))
def test_the_target_with_the_prompt_in_its_cache_comes_first(strategy: str) -> None:
    kids = [candidate(name) for name in "abc"]
    for warm in "abc":
        first, way = planned(kids, strategy, turn(warm=warm))
        assert (first, way.kept) == (warm, "warm")


@pytest.mark.parametrize("strategy", ["fallback", "split", "round_robin"])
def test_orders_that_somebody_said_stay_as_they_are_without_affinity_and_where_it_has_no_say(strategy: str) -> None:
    kids = [candidate(name) for name in "ab"]
    way = Way(lambda: 0.0, 1.0, b"s")
    wanted = None if strategy == "round_robin" else True
    branch = Branch("m", kids, strategy, affinity=wanted)
    assert branch.order(turn(warm="b"), way, None) == Branch("m", kids, strategy).order(turn(), way, None)
    assert way.kept is None


WORSE: list[tuple[str, dict[str, Any]]] = [
    ("it rests", {"resting": True}),
    ("it fails", {"failure_rate": 0.2}),
    ("it has far more under way", {"in_flight": 20}),
    ("it is twice as slow", {"whole": [4.0] * 4}),
]


@pytest.mark.parametrize(("why", "health"), WORSE, ids=[why for why, _ in WORSE])
def test_a_warm_cache_does_not_make_up_for_a_bad_target(why: str, health: dict[str, Any]) -> None:
    kids = [candidate("a"), candidate("b", **health)]
    assert planned(kids, "lowest_latency", turn(warm="b"))[0] == "a", why


def test_a_warm_cache_is_worth_what_it_saves_and_no_more() -> None:
    dear = {"input": 6_000_000, "output": 8_000_000, "cache_read": 600_000}
    kids = [candidate("a"), candidate("b", dear)]
    assert planned(kids, "weighted", turn(warm="b", cached=9_000), weights=(1, 1))[0] == "b"
    assert planned(kids, "weighted", turn(warm="b", cached=2_000), weights=(1, 1))[0] == "a"


def test_the_lowest_cost_counts_what_is_cached_where() -> None:
    kids = [candidate("a"), candidate("b", {"input": 3_000_000, "output": 8_000_000, "cache_read": 300_000})]
    for affinity in (None, True):
        branch = Branch("m", kids, "lowest_cost", affinity=affinity)
        assert branch.recalls
        for cached, first in ((9_000, "p/b"), (1_000, "p/a")):
            assert branch.order(turn(warm="b", cached=cached), Way(lambda: 0.0), None)[0].name == first
    assert not Branch("m", kids, "lowest_cost", affinity=False).recalls


def test_a_conversation_has_the_same_home_in_every_worker() -> None:
    one, other = ([candidate(name) for name in "abcde"] for _ in range(2))
    chance = random.Random(4)
    for _ in range(300):
        conversation = chance.getrandbits(64)
        for strategy in SPREADING:
            first, way = planned(one, strategy, turn(conversation), chance.random())
            again, _ = planned(other, strategy, turn(conversation), chance.random())
            assert first == again
            assert way.kept == "home"


def test_homes_are_shared_out_by_weight() -> None:
    kids = [candidate(name) for name in "abcd"]
    weights = (6.0, 3.0, 1.0, 0.0)
    chance = random.Random(5)
    counts = [0] * 4
    for _ in range(20_000):
        counts[home(kids, chance.getrandbits(64), weights)] += 1
    assert counts[3] == 0
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count / 20_000 - weight / 10) < 0.01


def test_a_target_that_leaves_moves_only_its_own_conversations() -> None:
    kids = [candidate(name) for name in "abcde"]
    chance = random.Random(6)
    for _ in range(2_000):
        conversation = chance.getrandbits(64)
        before = kids[home(kids, conversation, [1.0] * 5)]
        after = kids[:4][home(kids[:4], conversation, [1.0] * 4)]
        assert before is kids[4] or after is before


def test_a_home_that_rests_is_left_for_the_choice_of_the_strategy() -> None:
    kids = [candidate(name) for name in "ab"]
    conversation = next(number for number in range(1, 99) if home(kids, number << 40, (1, 1)) == 1)
    kids[1].health.resting = True  # type: ignore[misc]  # it is said here, not measured
    assert planned(kids, "least_busy", turn(conversation << 40))[0] == "a"


def test_a_turn_that_is_kept_warm_measures_nobody_and_the_next_new_conversation_does() -> None:
    slow = {"first_token": [5.0] * 4, "per_token": [0.1] * 4, "whole": [25.0] * 4}
    kids = [candidate("a"), candidate("b", **slow)]
    branch = Branch("m", kids, "lowest_latency", affinity=True)
    for one in kids:
        one.sent = [100.0] * 4
    for number in range(2000):
        way = Way(lambda: 0.0, 101.0 + number / 100, b"s")
        assert branch.order(turn(warm="a"), way, None)[0] is kids[0]
    assert kids[0].sent[2] == 101.0 + 19.99
    assert kids[1].passed == [0] * 4
    firsts = [branch.order(turn(number), Way(lambda: 0.0, 121.0, b"s"), None)[0] for number in range(600)]
    assert 1 <= firsts.count(kids[1]) <= 4
