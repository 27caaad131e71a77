"""Buckets and calls in flight: exactly what fits is admitted, and a refusal says when to come back."""

import pytest
from tests.state.desk import Desk, budget, cost, limit, row, tokens

from portico.rules import Bound
from portico.state.contract import Used


async def test_a_minute_takes_exactly_its_requests(desk: Desk) -> None:
    web = row(limit(7))
    for _ in range(7):
        await desk.admitted(web)
    refusal = await desk.refused(web)
    assert (refusal.rule, refusal.asked, refusal.left) == (web.rules[0], 1, 0)
    assert refusal.retry_after == pytest.approx(60 / 7, abs=1e-6)


async def test_who_comes_back_when_told_is_admitted_and_not_a_moment_before(desk: Desk) -> None:
    web = row(limit(7))
    for _ in range(7):
        await desk.admitted(web)
    for _ in range(20):
        wait = (await desk.refused(web)).retry_after
        assert wait is not None
        desk.clock.pass_by(wait - 2e-9)
        await desk.refused(web)
        desk.clock.pass_by(3e-9)
        await desk.admitted(web)


async def test_tokens_are_reserved_and_corrected(desk: Desk) -> None:
    web = row(limit(1_000, "tokens"), limit(600, "output_tokens"), limit(700, "input_tokens"))
    permit = await desk.admitted(web, bound=tokens(400, 500))
    assert [left.left for left in permit.left] == [100, 100, 300]
    refusal = await desk.refused(web, bound=tokens(50, 101))
    assert refusal.rule.counts == "tokens"
    assert refusal.left == 100
    await desk.settle(permit, Used(input_tokens=400, output_tokens=20))
    second = await desk.admitted(web, bound=tokens(180, 400))
    assert [left.left for left in second.left] == [0, 180, 120]


async def test_a_refused_call_takes_nothing_anywhere(desk: Desk) -> None:
    key = row(limit(10), limit(100, "tokens"), limit(3, "in_flight"), budget(1_000))
    team = row(limit(1), name="team:core")
    await desk.admitted(team)
    await desk.refused(key, team, bound=Bound(5, 5, 100))
    assert desk.counts("key:web") == {"requests": (0, 0), "tokens": (0, 0), "in_flight": (0, 0), "budget": (0, 0)}


async def test_a_call_larger_than_the_bucket_is_not_told_to_wait(desk: Desk) -> None:
    refusal = await desk.refused(row(limit(100, "tokens")), bound=tokens(1, 100))
    assert (refusal.asked, refusal.retry_after) == (101, None)


async def test_calls_in_flight_are_counted_until_they_end(desk: Desk) -> None:
    web = row(limit(2, "in_flight"))
    first, second = await desk.admitted(web), await desk.admitted(web)
    assert (await desk.refused(web)).rule.counts == "in_flight"
    await desk.settle(first, Used())
    third = await desk.admitted(web)
    await desk.release(second)
    await desk.release(third)
    assert desk.counts("key:web") == {"in_flight": (0, 0)}


async def test_a_released_call_was_no_request(desk: Desk) -> None:
    web = row(limit(1))
    await desk.release(await desk.admitted(web))
    await desk.admitted(web)


async def test_a_call_that_reached_nobody_was_no_request(desk: Desk) -> None:
    web = row(limit(1))
    await desk.settle(await desk.admitted(web), Used(requests=0))
    await desk.admitted(web)


async def test_use_beyond_what_was_reserved_is_owed(desk: Desk) -> None:
    web = row(limit(60, "tokens"))
    permit = await desk.admitted(web, bound=tokens(5, 5))
    await desk.settle(permit, Used(input_tokens=5, output_tokens=85))
    refusal = await desk.refused(web, bound=tokens(0, 1))
    assert refusal.left == 0
    assert refusal.retry_after == pytest.approx(31, abs=1e-6)
    desk.clock.pass_by(31)
    await desk.admitted(web, bound=tokens(0, 1))


async def test_a_bucket_gives_no_credit_for_what_was_reserved_too_much(desk: Desk) -> None:
    web = row(limit(100, "tokens"))
    one = await desk.admitted(web, bound=tokens(0, 50))
    other = await desk.admitted(web, bound=tokens(0, 10))
    desk.clock.pass_by(30)  # fifty have leaked
    await desk.settle(one, Used())
    await desk.settle(other, Used(output_tokens=40))
    assert desk.counts("key:web") == {"tokens": (30, 0)}


async def test_a_limit_of_another_size_begins_anew_and_keeps_calls_in_flight(desk: Desk) -> None:
    for _ in range(5):
        await desk.admitted(row(limit(5), limit(9, "in_flight")))
    await desk.refused(row(limit(5), limit(9, "in_flight")))
    permit = await desk.admitted(row(limit(6), limit(9, "in_flight")))
    assert [left.left for left in permit.left] == [5, 3]


async def test_a_soft_limit_refuses_nobody(desk: Desk) -> None:
    web = row(limit(1, mode="soft"), limit(1, "in_flight", mode="soft"))
    for _ in range(3):
        await desk.admitted(web)
    assert desk.counts("key:web") == {"requests": (3, 0), "in_flight": (3, 0)}


async def test_rows_of_the_same_name_in_one_call_are_one(desk: Desk) -> None:
    permit = await desk.admitted(row(limit(2)), row(limit(5, "in_flight")), row(limit(2)))
    assert [left.left for left in permit.left] == [1, 4]


async def test_workers_whose_clocks_were_read_in_another_order_lose_no_request(desk: Desk) -> None:
    web = row(limit(2))
    await desk.admitted(web)
    desk.clock.boot_ns -= 50_000
    await desk.admitted(web)
    await desk.refused(web)


async def test_what_a_permit_has_left_says_when_all_of_it_is_back(desk: Desk) -> None:
    web = row(limit(6), limit(3, "in_flight"), budget(100), budget(100, "forever", id="ever"))
    await desk.admitted(web, bound=cost(1))
    permit = await desk.admitted(web, bound=cost(10))
    assert [(left.rule.id, left.left) for left in permit.left] == [
        ("requests", 4),
        ("in_flight", 1),
        ("budget", 89),
        ("ever", 89),
    ]
    requests, in_flight, day, ever = (left.resets for left in permit.left)
    assert requests == pytest.approx(20)
    assert in_flight is None
    assert day == pytest.approx(86_400 - desk.clock.now.wall_ns / 1e9 % 86_400)
    assert ever is None


async def test_a_row_may_have_a_long_or_odd_name(desk: Desk) -> None:
    for name in ("customer:" + "ü" * 5_000, "customer:\ud800", "customer:"):
        await desk.admitted(row(limit(1), name=name))
        await desk.refused(row(limit(1), name=name))
        assert desk.counts(name) == {"requests": (1, 0)}
