"""What a call is charged, and each of its targets."""

import pytest

from portico.record import AttemptRecord, Basis
from portico.rules import Bound
from portico.shares import used_by
from portico.state.contract import Used
from portico.types import Usage

BOUND = Bound(100, 200, 1_000)
USAGE = Usage(input=10, output=20)
LOST = AttemptRecord("one/m", error="upstream_timeout", assumed_nano_usd=1_000)
FAILED = AttemptRecord("one/m", status=500)
SERVED = AttemptRecord("two/m", status=200)
SLOWER = AttemptRecord("three/m", error="hedge_lost", assumed_nano_usd=1_000)

Part = tuple[int, int, int]

CASES: dict[str, tuple[list[AttemptRecord], Usage | None, int | None, Basis, Part, dict[str, Part]]] = {
    "one target": ([SERVED], USAGE, 70, "reported", (10, 20, 70), {}),
    "one target, tried again": ([LOST, AttemptRecord("one/m")], None, None, "none", (100, 200, 1_000), {}),
    "a first that was refused": (
        [FAILED, SERVED],
        USAGE,
        70,
        "reported",
        (10, 20, 70),
        {"one/m": (0, 0, 0), "two/m": (10, 20, 70)},
    ),
    "a first that was lost": (
        [LOST, LOST, SERVED],
        USAGE,
        70,
        "reported",
        (210, 420, 2_070),
        {"one/m": (200, 400, 2_000), "two/m": (10, 20, 70)},
    ),
    "a race": (
        [SERVED, SLOWER],
        USAGE,
        70,
        "reported",
        (110, 220, 1_070),
        {"three/m": (100, 200, 1_000), "two/m": (10, 20, 70)},
    ),
    "an answer of which nothing is known": (
        [FAILED, SERVED],
        None,
        None,
        "unknown",
        (100, 200, 1_000),
        {"one/m": (0, 0, 0), "two/m": (100, 200, 1_000)},
    ),
    "an answer without a price": (
        [FAILED, SERVED],
        USAGE,
        None,
        "reported",
        (10, 20, 1_000),
        {"one/m": (0, 0, 0), "two/m": (10, 20, 1_000)},
    ),
    "nothing served": (
        [LOST, AttemptRecord("two/m", status=500)],
        None,
        None,
        "none",
        (100, 200, 1_000),
        {"one/m": (100, 200, 1_000), "two/m": (0, 0, 0)},
    ),
    "an answer in two pieces": (
        [
            AttemptRecord("two/m", error="cut", assumed_nano_usd=5, usage=Usage(input=4, output=5), cost_nano_usd=30),
            AttemptRecord("one/m", usage=Usage(input=6, output=15), cost_nano_usd=40),
        ],
        USAGE,
        70,
        "counted",
        (10, 20, 75),
        {"one/m": (6, 15, 40), "two/m": (4, 5, 35)},
    ),
    "an answer in two pieces of which one has no price": (
        [
            AttemptRecord("two/m", error="cut", usage=Usage(input=4, output=5), cost_nano_usd=30),
            AttemptRecord("one/m", usage=Usage(input=6, output=15)),
        ],
        USAGE,
        None,
        "counted",
        (10, 20, 1_000),
        {"one/m": (6, 15, 1_000), "two/m": (4, 5, 1_000)},
    ),
}
"""Attempts, what was served at `two/m`, its cost and basis; what all of it is charged, and each target."""


@pytest.mark.parametrize("case", CASES)
def test_each_target_is_charged_what_its_attempts_came_to(case: str) -> None:
    attempts, usage, cost, basis, whole, parts = CASES[case]
    target = "two/m" if basis != "none" else None
    used = used_by(attempts, target, usage, cost, basis, BOUND)
    assert (used.input_tokens, used.output_tokens, used.cost, used.requests) == (*whole, 1)
    assert dict(used.parts) == {name: Used(*amounts) for name, amounts in parts.items()}
    if parts and target is not None:
        assert used.parts[-1][0] == target, "that which has answered is the last"


def test_tries_that_were_lost_may_each_have_had_another_bound() -> None:
    lost = {"one/m": Bound(7, 8, 1_000), "three/m": Bound(5, 6, 1_000)}
    used = used_by([SERVED, LOST, SLOWER], "two/m", USAGE, 70, "reported", BOUND, lost)
    assert used == Used(
        22,
        34,
        2_070,
        parts=(("one/m", Used(7, 8, 1_000)), ("three/m", Used(5, 6, 1_000)), ("two/m", Used(10, 20, 70))),
    )


def test_what_was_used_at_some_targets_is_a_request_where_one_of_them_was_asked() -> None:
    used = used_by([LOST, SERVED], "two/m", USAGE, 70, "reported", BOUND)
    assert used.at(["one/m"]) == Used(100, 200, 1_000)
    assert used.at(["three/m"]) == Used(0, 0, 0, 0)
    assert used.at(["one/m", "two/m"]) is used
    assert used_by([SERVED], "two/m", USAGE, 70, "reported", BOUND).at(()) == Used(10, 20, 70)


def test_a_call_that_asked_nobody_is_no_request() -> None:
    assert used_by([], None, None, None, "none", BOUND) == Used(requests=0)
