"""The order of one line: fair over flows by their weights, by priority within a flow."""

from collections import Counter

import pytest

from portico.errors import LimitExceeded
from portico.queueing.line import SPARED, Line, Waiter

REFUSED = LimitExceeded("the limit is used up")


def waiters(line: Line, flow: str, count: int, *, start: int = 0, **more: float) -> list[Waiter]:
    found = []
    for number in range(start, start + count):
        waiter = Waiter(flow, 60.0, REFUSED, **more)  # type: ignore[arg-type]  # weights, costs and priorities
        waiter.number = number
        line.join(waiter)
        found.append(waiter)
    return found


def served(line: Line, count: int) -> list[Waiter]:
    found = []
    for _ in range(count):
        waiter = line.head()
        assert waiter is not None
        line.granted(waiter)
        found.append(waiter)
    return found


def test_flows_are_served_in_turn_however_many_calls_one_of_them_has() -> None:
    line = Line()
    waiters(line, "hog", 100)
    waiters(line, "other", 5, start=100)
    assert Counter(waiter.flow for waiter in served(line, 10)) == {"hog": 5, "other": 5}


def test_a_call_of_a_flow_that_was_quiet_waits_for_one_other_at_most() -> None:
    line = Line()
    waiters(line, "hog", 100)
    served(line, 50)
    waiters(line, "quiet", 1, start=200)
    assert "quiet" in [waiter.flow for waiter in served(line, 2)]


@pytest.mark.parametrize("long", [20, 40, 400])
def test_a_flow_saves_up_a_few_turns_while_it_has_no_calls_and_no_more(long: int) -> None:
    line = Line()
    waiters(line, "hog", 1000)
    waiters(line, "other", 1, start=1000)
    served(line, long)
    waiters(line, "other", 100, start=2000)
    assert [waiter.flow for waiter in served(line, int(SPARED))] == ["other"] * int(SPARED)
    assert Counter(waiter.flow for waiter in served(line, 100))["other"] == pytest.approx(50, abs=1)


def test_what_a_flow_has_saved_up_it_has_once() -> None:
    line = Line()
    waiters(line, "hog", 1000)
    served(line, 100)
    for start in range(2000, 2000 + 5 * int(SPARED), 5):
        waiters(line, "other", 5, start=start)
        served(line, 5)
    # Five of every five at first, and then what it is due: half.
    assert Counter(waiter.flow for waiter in served(line, 20))["hog"] >= 5
    assert len(line) == 1000 - 100 + 5 * int(SPARED) - 5 * int(SPARED) - 20


def test_a_flow_that_leaves_and_comes_back_goes_on_where_it_was() -> None:
    line = Line()
    waiters(line, "hog", 100)
    (big,) = waiters(line, "other", 1, start=100, cost=30.0)
    while served(line, 1) != [big]:
        pass
    waiters(line, "other", 5, start=200)
    assert [waiter.flow for waiter in served(line, 20)] == ["hog"] * 20


@pytest.mark.parametrize("weight", [2.0, 3.0, 0.5])
def test_turns_follow_weights(weight: float) -> None:
    line = Line()
    waiters(line, "one", 300)
    waiters(line, "weighty", 300, start=300, weight=weight)
    found = Counter(waiter.flow for waiter in served(line, 120))
    assert found["weighty"] / found["one"] == pytest.approx(weight, rel=0.05)


def test_turns_follow_what_calls_cost() -> None:
    line = Line()
    waiters(line, "small", 300, cost=100.0)
    waiters(line, "large", 300, start=300, cost=400.0)
    found = Counter(waiter.flow for waiter in served(line, 100))
    assert found["small"] == pytest.approx(80, abs=1)


def test_within_a_flow_priority_counts_and_then_who_came_first() -> None:
    line = Line()
    low = waiters(line, "team", 2, priority=0)
    high = waiters(line, "team", 2, start=2, priority=2)
    usual = waiters(line, "team", 2, start=4, priority=1)
    assert served(line, 6) == [*high, *usual, *low]


def test_priority_takes_nothing_from_another_flow() -> None:
    line = Line()
    waiters(line, "pushy", 50, priority=2)
    waiters(line, "modest", 50, start=50, priority=0)
    assert Counter(waiter.flow for waiter in served(line, 20)) == {"pushy": 10, "modest": 10}


def test_who_leaves_is_not_served_and_costs_its_flow_nothing() -> None:
    line = Line()
    first, second = waiters(line, "one", 2)
    (other,) = waiters(line, "other", 1, start=2)
    line.leave(first)
    line.leave(first)
    assert len(line) == 2
    assert set(served(line, 2)) == {second, other}
    assert line.head() is None


def test_what_is_ahead_of_a_call_is_what_is_served_before_it() -> None:
    line = Line()
    waiters(line, "hog", 30)
    waiters(line, "weighty", 10, start=30, weight=2.0)
    (last,) = waiters(line, "other", 1, start=40)
    assert 0 < line.ahead(last) <= 3
    (later,) = waiters(line, "other", 1, start=41)
    ahead = line.ahead(later)
    order = served(line, 42)
    assert order.index(later) == pytest.approx(ahead, abs=2)


def test_flows_that_have_left_are_forgotten_once_they_owe_nothing() -> None:
    line = Line()
    waiters(line, "steady", 2000)
    for number in range(1000):
        waiters(line, f"passer-{number}", 1, start=5000 + number)
        served(line, 2)
    assert len(line._behind) < 200
