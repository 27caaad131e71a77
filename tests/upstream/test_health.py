"""How targets do: when a breaker opens and closes, and what the times that were measured come to."""

import random

import pytest

from portico.config import schema
from portico.upstream.health import Health, Healths, size_of
from portico.upstream.spread import Spread


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def health(clock: Clock, **rules: float) -> Health:
    return Health("one/model", schema.Breaker(**rules), clock)  # type: ignore[arg-type]  # numbers by name


def fail(one: Health, clock: Clock, times: int) -> list[bool]:
    return [one.failed(clock.now) for _ in range(times)]


def test_failures_one_after_another_open_the_breaker(clock: Clock) -> None:
    one = health(clock, failures=3)
    assert fail(one, clock, 3) == [False, False, True]
    assert one.resting
    assert not one.admits(clock.now)


def test_an_answer_in_between_keeps_it_closed(clock: Clock) -> None:
    one = health(clock, failures=3, calls=1000)
    for _ in range(50):
        assert fail(one, clock, 2) == [False, False]
        one.served(clock.now)
    assert not one.resting


def test_a_share_of_failures_opens_the_breaker_too(clock: Clock) -> None:
    one = health(clock, failures=100, calls=20, rate=0.5)
    opened = []
    for _ in range(10):
        one.served(clock.now)
        opened += fail(one, clock, 1)
    assert opened == [False] * 9 + [True]
    assert one.failure_rate == 0.5


def test_failures_of_long_ago_do_not_count(clock: Clock) -> None:
    one = health(clock, failures=100, calls=4, rate=0.5)
    fail(one, clock, 3)
    clock.now += 25
    assert fail(one, clock, 1) == [False]
    assert one.failure_rate == 1.0


def test_after_its_rest_one_call_finds_out_whether_all_is_well(clock: Clock) -> None:
    one = health(clock, failures=1, rest=0.5)
    fail(one, clock, 1)
    clock.now += 0.5
    assert one.admits(clock.now)
    one.began()
    assert not one.admits(clock.now)  # the others wait for what comes of it
    one.served(clock.now)
    assert one.admits(clock.now)
    assert not one.resting
    assert one.until == 0


def test_a_target_that_fails_again_rests_longer_up_to_a_bound(clock: Clock) -> None:
    one = health(clock, failures=1, rest=0.5, longest=1.5)
    rests = []
    for _ in range(4):
        fail(one, clock, 1)
        rests.append(one.until - clock.now)
        clock.now = one.until
        one.began()
    assert rests == [0.5, 1.0, 1.5, 1.5]


def test_what_was_under_way_when_the_breaker_opened_does_not_make_the_rest_longer(clock: Clock) -> None:
    one = health(clock, failures=2)
    fail(one, clock, 2)
    until = one.until
    clock.now += 0.1
    fail(one, clock, 20)
    assert one.until == until


def test_a_caller_who_leaves_lets_the_next_call_find_out(clock: Clock) -> None:
    one = health(clock, failures=1, rest=0.5)
    fail(one, clock, 1)
    clock.now += 0.5
    one.began()
    one.left()
    assert one.admits(clock.now)


def test_a_slower_time_counts_at_once_and_a_faster_one_by_and_by(clock: Clock) -> None:
    one = health(clock)
    one.answered(clock.now, 0.1, 0, streamed=True)
    one.answered(clock.now, 1.0, 0, streamed=True)
    assert one.first_token[0] == 1.0
    seen = []
    for _ in range(5):
        clock.now += 2.0
        one.answered(clock.now, 0.1, 0, streamed=True)
        seen.append(one.first_token[0])
    assert seen == sorted(seen, reverse=True)
    assert 0.1 < seen[-1] < 0.25
    assert one.sampled == clock.now
    assert list(one.first_token[1:]) == list(one.whole)[1:] == [0.0] * 3


@pytest.mark.parametrize(
    ("length", "size"), [(0, 0), (3_999, 0), (4_000, 1), (31_999, 1), (32_000, 2), (256_000, 3), (10**8, 3)]
)
def test_requests_are_of_four_sizes(length: int, size: int) -> None:
    assert size_of(length) == size


def test_what_most_times_stay_below_is_known_to_a_tenth() -> None:
    draw = random.Random(7)
    times = [draw.lognormvariate(-2, 1) for _ in range(400)]
    spread = Spread()
    assert spread.below(0.95) is None
    for each in times:
        spread.add(each)
    exact = sorted(times)[380]
    found = spread.below(0.95)
    assert found is not None
    assert exact * 0.85 < found < exact * 1.2


def test_older_times_fade() -> None:
    spread = Spread()
    for _ in range(2000):
        spread.add(5.0)
    for _ in range(4000):
        spread.add(0.01)
    found = spread.below(0.95)
    assert found is not None
    assert found < 0.02


def test_health_outlives_a_configuration_unless_its_provider_changes(clock: Clock) -> None:
    healths = Healths(clock)
    one, two = schema.Provider(base_url="http://one"), schema.Provider(base_url="http://two")
    healths.declare(schema.Breaker(), {"one": one, "two": two})
    first, second = healths("one/model"), healths("two/model")
    healths.declare(schema.Breaker(), {"one": one, "two": schema.Provider(base_url="http://elsewhere")})
    assert healths("one/model") is first
    assert healths("two/model") is not second
