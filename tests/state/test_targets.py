"""Of a call that went to several targets, each row is charged what those used that it is of."""

import random

import pytest
from tests.state.desk import Desk, budget, cost, limit, row, tokens

from portico.rules import Bound
from portico.state.contract import Permit, Scope, Used

LONG = "model:" + "long" * 100
KEY = row(limit(100, "tokens"), limit(9, "in_flight"), budget(1_000), budget(1_000, 60, rolling=True, id="rolling"))
ONE = row(limit(9), limit(100, "tokens"), limit(9, "in_flight"), budget(1_000), name="provider:one")
TWO = row(limit(9), budget(1_000), budget(1_000, 60, rolling=True, id="rolling"), name=LONG)
NAMES: dict[str, tuple[str, ...]] = {"one/m": ("key:web", "provider:one"), "two/m": ("key:web", LONG)}
"""The rows of a call at each of two targets: what is of both is the caller's."""


def used(one: int, two: int) -> Used:
    return Used(cost=one + two, parts=(("one/m", Used(cost=one)), ("two/m", Used(cost=two))))


async def fallen_back(desk: Desk, further: int = 400, bound: int = 400, call: str = "call") -> Permit:
    """Return the permit of a call that went to both targets, and reserved so much again."""
    permit = await desk.admitted(KEY, ONE, bound=cost(bound), call=call)
    permit.rows = NAMES
    assert await desk.state.extend(permit, cost(further), desk.clock.now, (TWO,), cost(bound)) is None
    return permit


def counted(desk: Desk, name: str) -> dict[str, int]:
    found = desk.counts(name)
    assert all(reserved == 0 for _, reserved in found.values())
    return {rule: count for rule, (count, _) in found.items()}


@pytest.mark.parametrize("further", [400, 0], ids=["the first was billed", "the first was not"])
async def test_a_row_is_charged_what_was_used_where_it_is_of(desk: Desk, further: int) -> None:
    permit = await fallen_back(desk, further)
    settled = await desk.settle(permit, used(further, 150))
    assert not settled.over_bound
    assert counted(desk, "key:web") == {"tokens": 0, "in_flight": 0, "budget": further + 150, "rolling": further + 150}
    assert counted(desk, "provider:one") == {"requests": 1, "tokens": 0, "in_flight": 0, "budget": further}
    assert counted(desk, LONG) == {"requests": 1, "budget": 150, "rolling": 150}


async def test_tokens_count_where_they_were_used(desk: Desk) -> None:
    permit = await desk.admitted(KEY, ONE, bound=tokens(10, 20))
    permit.rows = NAMES
    assert await desk.state.extend(permit, tokens(0, 0), desk.clock.now) is None, "no rule is of the second alone"
    parts = (("one/m", Used(0, 0)), ("two/m", Used(10, 15)))
    await desk.settle(permit, Used(10, 15, parts=parts))
    assert counted(desk, "key:web")["tokens"] == 25
    assert counted(desk, "provider:one")["tokens"] == 0


async def test_a_target_that_was_not_asked_has_nothing_charged_and_counts_no_request(desk: Desk) -> None:
    """A call may be admitted for one target and find it at rest; all that it used is of the other."""
    permit = await desk.admitted(KEY, ONE, bound=cost(400))
    permit.rows = {"two/m": NAMES["two/m"]}
    assert await desk.state.extend(permit, cost(0), desk.clock.now, (TWO,), cost(400)) is None
    await desk.settle(permit, Used(cost=150))
    assert counted(desk, "key:web")["budget"] == 150
    assert counted(desk, "provider:one") == {"requests": 0, "tokens": 0, "in_flight": 0, "budget": 0}
    assert counted(desk, LONG) == {"requests": 1, "budget": 150, "rolling": 150}


async def test_what_was_never_told_apart_is_of_the_first_target(desk: Desk) -> None:
    """Room may be taken for a second attempt that is then not made."""
    permit = await fallen_back(desk)
    await desk.settle(permit, Used(cost=150))
    assert counted(desk, "key:web")["budget"] == counted(desk, "provider:one")["budget"] == 150
    assert counted(desk, LONG) == {"requests": 0, "budget": 0, "rolling": 0}


async def test_a_target_of_which_no_rows_are_known_counts_everywhere(desk: Desk) -> None:
    permit = await fallen_back(desk)
    await desk.settle(permit, Used(cost=170, parts=(*used(100, 50).parts, ("three/m", Used(cost=20)))))
    assert counted(desk, "key:web")["budget"] == 170
    assert counted(desk, "provider:one")["budget"] == 120
    assert counted(desk, LONG)["budget"] == 70


async def test_a_call_that_is_released_leaves_nothing_anywhere(desk: Desk) -> None:
    await desk.release(await fallen_back(desk))
    assert set(counted(desk, "provider:one").values()) | set(counted(desk, LONG).values()) == {0}


async def test_a_target_that_used_more_than_its_bound_closes_its_own_budgets_and_the_callers(desk: Desk) -> None:
    permit = await fallen_back(desk)
    assert (await desk.settle(permit, used(400, 401))).over_bound
    assert (await desk.refused(KEY, bound=cost(1))).closed
    assert (await desk.refused(TWO, bound=cost(1))).closed
    await desk.admitted(ONE, bound=cost(1))


async def test_a_first_attempt_that_no_rule_counted_closes_nothing_of_the_second(desk: Desk) -> None:
    permit = await desk.admitted(call="free")
    permit.rows = {"one/m": (), "two/m": (LONG,)}
    assert await desk.state.extend(permit, cost(0), desk.clock.now, (TWO,), cost(400)) is None
    permit.scopes = (TWO,)
    await desk.settle(permit, used(400, 150))
    assert counted(desk, LONG) == {"requests": 1, "budget": 150, "rolling": 150}
    await desk.admitted(TWO, bound=cost(1))


async def test_a_call_without_rules_that_falls_back_under_one_is_told_apart_after_a_crash_too(desk: Desk) -> None:
    permit = await desk.admitted(call="free")
    permit.rows = {"one/m": (), "two/m": (LONG,)}
    assert await desk.state.extend(permit, cost(0), desk.clock.now, (TWO,), cost(400)) is None
    desk.state.expire(desk.state.owner, desk.clock.now)
    await desk.settle(Permit("free", (), permit.bound), used(400, 150))
    assert counted(desk, LONG) == {"requests": 1, "budget": 150, "rolling": 150}


@pytest.mark.parametrize("remembered", [True, False], ids=["by its permit", "by its id alone"])
@pytest.mark.parametrize("further", [400, 0], ids=["the first was billed", "the first was not"])
async def test_a_call_of_the_dead_is_charged_at_its_bound_and_then_at_what_its_record_says(
    desk: Desk, remembered: bool, further: int
) -> None:
    permit = await fallen_back(desk, further)
    desk.state.expire(desk.state.owner, desk.clock.now)
    assert counted(desk, "key:web")["budget"] == counted(desk, "provider:one")["budget"] == 400 + further
    assert counted(desk, LONG)["budget"] == 400
    await desk.settle(permit if remembered else Permit("call", (), permit.bound), used(further, 150))
    assert counted(desk, "key:web") == {"tokens": 0, "in_flight": 0, "budget": further + 150, "rolling": further + 150}
    assert counted(desk, "provider:one") == {"requests": 1, "tokens": 0, "in_flight": 0, "budget": further}
    assert counted(desk, LONG) == {"requests": 1, "budget": 150, "rolling": 150}


async def test_a_second_target_that_is_billed_twice_is_charged_for_both_after_a_crash(desk: Desk) -> None:
    permit = await fallen_back(desk, bound=300, further=300)
    assert await desk.state.extend(permit, cost(300), desk.clock.now) is None
    desk.state.expire(desk.state.owner, desk.clock.now)
    assert counted(desk, LONG)["budget"] == 600
    await desk.settle(Permit("call", (), permit.bound), used(300, 450))
    assert counted(desk, "key:web")["budget"] == 750
    assert counted(desk, "provider:one")["budget"] == 300
    assert counted(desk, LONG)["budget"] == 450


@pytest.mark.parametrize("dies", [False, True])
async def test_a_job_is_paid_for_where_its_target_is(desk: Desk, dies: bool) -> None:
    """One that a second target has started: while it goes on its bound is reserved there, and not at the first."""
    permit = await fallen_back(desk, further=0)
    if dies:
        desk.state.expire(desk.state.owner, desk.clock.now)
        desk.state.adopt("call", "job", desk.clock.now)
        assert desk.counts(LONG)["budget"] == (0, 400)
    else:
        permit.onward = "job"
        await desk.settle(permit, used(0, 0))
        assert desk.counts(LONG) == {"requests": (1, 0), "budget": (0, 400), "rolling": (0, 400)}
    assert desk.counts("key:web")["budget"] == (0, 400)
    desk.state.finish("job", Used(cost=350, requests=0, parts=(("two/m", Used(cost=350, requests=0)),)), desk.clock.now)
    assert counted(desk, "key:web")["budget"] == 350
    assert counted(desk, "provider:one")["budget"] == 0
    assert counted(desk, LONG) == {"requests": 1, "budget": 350, "rolling": 350}


async def test_limits_count_a_job_at_once_where_it_was_started(desk: Desk) -> None:
    one = row(limit(100, "tokens"), name="provider:one")
    two = row(limit(100, "tokens"), name=LONG)
    permit = await desk.admitted(KEY, one, bound=tokens(10, 20))
    permit.rows = NAMES
    assert await desk.state.extend(permit, tokens(0, 0), desk.clock.now, (two,), permit.bound) is None
    permit.onward = "job"
    await desk.settle(permit, used(0, 0))
    counts = [counted(desk, name)["tokens"] for name in ("key:web", "provider:one", LONG)]
    assert counts == [30, 0, 30]


async def test_an_extension_of_a_later_window_charges_a_target_there(desk: Desk) -> None:
    """What is of the window that is over is in no counter any more."""
    day = Scope("provider:two", (budget(1_000),))
    permit = await desk.admitted(KEY, ONE, bound=cost(100))
    permit.rows = {"one/m": NAMES["one/m"], "two/m": ("key:web", "provider:two")}
    assert await desk.state.extend(permit, cost(100), desk.clock.now, (day,)) is None
    desk.clock.pass_by(86_400)
    assert await desk.state.extend(permit, cost(100), desk.clock.now) is None
    await desk.settle(permit, used(100, 150))
    assert counted(desk, "provider:two") == {"budget": 100}
    assert counted(desk, "provider:one")["budget"] == 100


SHARED = ("key:web", "provider:one", "provider:two", "model:m")
AT = {"one/m": SHARED[:2] + SHARED[3:], "one/n": SHARED[:2], "two/m": (SHARED[0], *SHARED[2:]), "three/n": SHARED[:1]}


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_targets_calls_go_to_each_row_holds_what_is_its_own(desk: Desk, seed: int, dies: bool) -> None:
    draw = random.Random(seed)
    rules = (
        limit(10**6),
        limit(10**9, "tokens"),
        limit(99, "in_flight"),
        budget(10**9),
        budget(10**6, counts="requests", id="calls"),
    )
    scopes = {name: row(*rules, name=name) for name in SHARED}
    expected = {name: [0, 0, 0] for name in SHARED}
    for number in range(12):
        bound = Bound(draw.randrange(100), draw.randrange(100), draw.randrange(1_000))
        route = draw.choices(list(AT), k=draw.randrange(1, 6))
        permit = await desk.admitted(*(scopes[name] for name in AT[route[0]]), bound=bound, call=str(number))
        known = set(AT[route[0]])
        spent: dict[str, list[Used]] = {}
        for place, target in enumerate(route):
            if place and (permit.rows or target != route[0]):
                permit.rows = {**(permit.rows or {route[0]: AT[route[0]]}), target: AT[target]}
            if place:
                new = tuple(scopes[name] for name in AT[target] if name not in known)
                known.update(AT[target])
                assert await desk.state.extend(permit, bound, desk.clock.now, new) is None
            part = [draw.randrange(most + 1) for most in (bound.input_tokens, bound.output_tokens, bound.cost or 0)]
            spent.setdefault(target, []).append(Used(part[0], part[1], part[2]))
        parts = tuple((target, total(each)) for target, each in spent.items())
        whole = total([part for _, part in parts])
        used = Used(whole.input_tokens, whole.output_tokens, whole.cost, parts=parts if len(parts) > 1 else ())
        if dies:
            desk.state.expire(desk.state.owner, desk.clock.now)
            permit = Permit(str(number), (), bound)
        assert not (await desk.settle(permit, used)).over_bound
        for name in SHARED:
            mine = [part for target, part in parts if name in AT[target]]
            if mine:
                sums = total(mine)
                expected[name][0] += 1
                expected[name][1] += sums.input_tokens + sums.output_tokens
                expected[name][2] += sums.cost
    for name, (calls, tokens_, cost_) in expected.items():
        found = counted(desk, name) or dict.fromkeys(("requests", "tokens", "in_flight", "budget", "calls"), 0)
        assert found == {"requests": calls, "tokens": tokens_, "in_flight": 0, "budget": cost_, "calls": calls}, name


def total(parts: list[Used]) -> Used:
    return Used(
        sum(part.input_tokens for part in parts),
        sum(part.output_tokens for part in parts),
        sum(part.cost for part in parts),
    )
