"""Whether a target is tried again, and when."""

import pytest

from portico.config import schema
from portico.upstream.causes import Cause
from portico.upstream.retry import SPARE, Budget, Policy


def policy(draw: float = 1.0, **said: object) -> Policy:
    return Policy(schema.Retries(**said), draw=lambda: draw)  # type: ignore[arg-type]  # settings by name


def test_the_bound_of_a_pause_doubles_and_ends() -> None:
    backoff = schema.Backoff(first=0.25, longest=1.0)
    found = [policy(backoff=backoff).pause("server", failed, None) for failed in range(1, 6)]
    assert found == [0.25, 0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999])
def test_a_pause_is_drawn_from_all_of_it(draw: float) -> None:
    assert policy(draw).pause("connect", 3, None) == pytest.approx(draw * 1.0)


def test_retry_after_is_obeyed_with_a_little_chance_upon_it() -> None:
    found = policy(0.5).pause("rate_limit", 1, 2.0)
    assert found is not None
    assert 2.0 <= found <= 2.2


def test_a_retry_after_that_is_too_long_ends_the_tries() -> None:
    assert policy(retry_after=10.0).pause("rate_limit", 1, 11.0) is None


@pytest.mark.parametrize("cause", ["context_window", "content_policy", "request", "key"])
def test_what_the_caller_or_the_key_is_to_blame_for_is_not_tried_again(cause: Cause) -> None:
    assert not policy(attempts=5).may(cause)
    assert policy(attempts=5).attempts(cause) == 1


def test_each_kind_may_have_tries_of_its_own() -> None:
    one = policy(attempts=2, by={"429": schema.RetriesFor(attempts=5), "timeout": schema.RetriesFor(attempts=1)})
    assert [one.attempts(cause) for cause in ("server", "rate_limit", "timeout", "connect")] == [2, 5, 1, 2]


def test_retries_are_at_most_a_share_of_calls_and_a_few() -> None:
    now = 0.0
    budget = Budget(0.2, lambda: now)
    spent = calls = 0
    for _ in range(100):  # a hundred seconds with a hundred calls in each, all of which would be tried again
        now += 1.0
        for _ in range(100):
            budget.calls += 1
            calls += 1
            spent += budget.spend()
    assert spent <= 0.2 * calls + SPARE * 10
    assert spent >= 0.18 * calls


def test_calls_of_an_hour_ago_give_no_room() -> None:
    now = 0.0
    budget = Budget(0.2, lambda: now)
    budget.calls = 100_000
    now = 3600.0
    assert sum(budget.spend() for _ in range(1000)) <= SPARE + 0.2 * 100_000 * 10 / 3600 + 1


def test_a_caller_may_have_a_nearer_deadline_and_not_a_later_one() -> None:
    one = Policy(schema.Retries(), 60.0)
    assert one.wanted(one.retries, 5.0, ()).deadline == 5.0
    assert one.wanted(one.retries, 500.0, ()).deadline == 60.0
    assert one.wanted(one.retries, None, ()).budget is one.budget
