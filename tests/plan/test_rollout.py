"""Whether a canary goes on, waits or is taken back, by what it and the others did."""

import random
from typing import Any

import pytest

from portico.config import schema
from portico.plan.rollout import BUCKETS, KNOWN, Arm, bucket, decide, edge, least


def arm(calls: int, failed: int = 0, took: float = 0.1, slow: int = 0, slowly: float = 10.0) -> Arm:
    times = [0] * BUCKETS
    times[bucket(took)] += calls - failed - slow
    times[bucket(slowly)] += slow
    return Arm(calls, failed, times)


def said(**more: Any) -> schema.Canary:
    return schema.Canary(to="b/m", **more)


OTHERS = arm(1000, 10)


@pytest.mark.parametrize(
    ("canary", "others", "held", "verdict"),
    [
        # it does as well as the others
        (arm(100, 1), OTHERS, 600, "on"),
        (arm(100, 1), OTHERS, 599, "hold"),
        (arm(49), OTHERS, 6000, "hold"),
        (arm(50), OTHERS, 600, "on"),
        # it fails more often
        (arm(3, 3), OTHERS, 1, "back"),
        (arm(2, 2), OTHERS, 1, "hold"),
        (arm(100, 20), OTHERS, 1, "back"),
        (arm(1000, 100), OTHERS, 1, "back"),
        # somewhat more often, and chance may do that: nobody goes on with it, nor is it taken back
        (arm(100, 5), OTHERS, 6000, "hold"),
        # all fail alike: what is wrong is not the canary
        (arm(100, 50), arm(1000, 500), 600, "on"),
        (arm(10, 10), arm(100, 100), 600, "hold"),
        # it is slower
        (arm(100, took=0.14), OTHERS, 600, "on"),
        (arm(100, took=0.3), OTHERS, 1, "back"),
        (arm(3, took=1.0), OTHERS, 1, "back"),
        (arm(2, took=1.0), OTHERS, 1, "hold"),
        (arm(100, slow=5), OTHERS, 600, "on"),
        (arm(100, slow=8), OTHERS, 600, "hold"),
        (arm(100, slow=30), OTHERS, 1, "back"),
        # too little is known of the others to say that it fails more often
        (arm(3, 3), arm(3), 1, "hold"),
        (arm(12, 12), arm(12), 1, "back"),
        (arm(49, 49), Arm(), 600, "hold"),
        (arm(50, 50), Arm(), 600, "back"),
        (arm(50, 0), Arm(), 600, "on"),
        # nobody can say how slow the others are
        (arm(100, took=9.0), arm(KNOWN - 1), 600, "on"),
        (arm(100, took=9.0), Arm(), 600, "on"),
        (arm(0), Arm(), 600, "hold"),
    ],
)
def test_a_canary_goes_on_waits_or_is_taken_back(canary: Arm, others: Arm, held: float, verdict: str) -> None:
    decision = decide(said(), held, canary, others)
    assert decision.verdict == verdict, decision.why
    assert decision.why


@pytest.mark.parametrize(
    ("more", "verdict"),
    [({"error_rate": 0.0}, "hold"), ({"error_rate": 0.5}, "on"), ({"calls": 101}, "hold"), ({"hold": 601.0}, "hold")],
)
def test_bounds_are_those_that_are_declared(more: dict[str, Any], verdict: str) -> None:
    assert decide(said(**more), 600, arm(100, 2), OTHERS).verdict == verdict


def test_a_slow_canary_may_be_as_slow_as_is_declared() -> None:
    assert decide(said(latency=4.0), 600, arm(100, took=0.3), OTHERS).verdict == "on"


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0013, 0.1, 1.0, 59.0, 1e6])
def test_a_time_lies_in_its_class(seconds: float) -> None:
    place = bucket(seconds)
    assert 0 <= place < BUCKETS
    if 0 < place < BUCKETS - 1:
        assert edge(place) <= seconds < edge(place + 1)


def test_what_is_surely_failing_grows_with_what_was_seen() -> None:
    found = [least(count // 10, count) for count in (10, 100, 1000, 10_000)]
    assert found == sorted(found)
    assert found[0] < 0.02
    assert 0.089 < found[-1] < 0.1


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2])
def test_a_canary_like_the_others_is_hardly_ever_taken_back(rate: float) -> None:
    """It is looked at after every call."""
    draw = random.Random(11)
    back = 0
    for _ in range(100):
        canary, others = Arm(times=[0] * BUCKETS), arm(2000, round(2000 * rate))
        for _ in range(600):
            canary.calls += 1
            if draw.random() < rate:
                canary.failed += 1
            else:
                canary.times[bucket(0.1)] += 1  # type: ignore[index]  # it is a list here
            if decide(said(error_rate=0.0 if not rate else 0.02), 1, canary, others).verdict == "back":
                back += 1
                break
    assert back <= 2
