"""Budgets: what is reserved and used, windows that begin and end, alerts, and scopes that close."""

import asyncio
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from tests.state.desk import Desk, budget, cost, limit, row

from portico.rules import Bound, Rule
from portico.state.contract import Used


async def test_a_budget_is_used_to_the_last_nano_dollar_and_not_beyond(desk: Desk) -> None:
    web = row(budget(1_000))
    first = await desk.admitted(web, bound=cost(600))
    refusal = await desk.refused(web, bound=cost(401))
    assert (refusal.asked, refusal.left, refusal.retry_after) == (401, 400, 1.0)
    second = await desk.admitted(web, bound=cost(400))
    await desk.settle(first, Used(cost=600))
    await desk.settle(second, Used(cost=399))
    await desk.settle(await desk.admitted(web, bound=cost(1)), Used(cost=1))
    refusal = await desk.refused(web, bound=cost(1))
    assert refusal.left == 0
    assert refusal.retry_after == pytest.approx(86_400 - desk.clock.now.wall_ns / 1e9 % 86_400)
    assert desk.counts("key:web") == {"budget": (1_000, 0)}


@pytest.mark.parametrize(("counts", "bound"), [("tokens", Bound(6, 5, 0)), ("input_tokens", Bound(11, 0, 0))])
async def test_a_budget_may_count_tokens(desk: Desk, counts: str, bound: Bound) -> None:
    refusal = await desk.refused(row(budget(10, counts=counts)), bound=bound)
    assert (refusal.asked, refusal.retry_after) == (11, None)


@pytest.mark.parametrize("before", ["hard", "clamp", "soft"])
@pytest.mark.parametrize("after", ["hard", "clamp"])
@pytest.mark.parametrize("rolling", [False, True])
async def test_a_budget_goes_on_with_what_it_has_counted_when_its_mode_changes(
    desk: Desk, before: str, after: str, rolling: bool
) -> None:
    old, new = (row(budget(100, mode=mode, rolling=rolling)) for mode in (before, after))
    await desk.settle(await desk.admitted(old, bound=cost(70)), Used(cost=70))
    under_way = await desk.admitted(old, bound=cost(20))
    assert (await desk.refused(new, bound=cost(11))).left == 10
    await desk.settle(under_way, Used(cost=15))
    await desk.settle(await desk.admitted(new, bound=cost(15)), Used(cost=15))
    assert desk.counts("key:web") == {"budget": (100, 0)}


async def test_a_budget_that_was_closed_refuses_nothing_once_it_is_soft(desk: Desk) -> None:
    hard, soft = (row(budget(100, mode=mode)) for mode in ("hard", "soft"))
    assert (await desk.settle(await desk.admitted(hard, bound=cost(100)), Used(cost=200))).over_bound
    assert (await desk.refused(hard, bound=cost(1))).closed
    await desk.settle(await desk.admitted(soft, bound=cost(10)), Used(cost=10))
    assert (await desk.refused(hard, bound=cost(1))).closed


async def test_a_budget_may_count_calls(desk: Desk) -> None:
    web = row(budget(2, counts="requests"))
    await desk.settle(await desk.admitted(web), Used())
    await desk.release(await desk.admitted(web))
    await desk.settle(await desk.admitted(web), Used())
    await desk.refused(web)


@pytest.mark.parametrize("mode", ["hard", "clamp"])
@pytest.mark.parametrize("rolling", [False, True])
async def test_a_call_without_a_bound_is_refused_where_there_is_a_budget(desk: Desk, mode: str, rolling: bool) -> None:
    refusal = await desk.refused(row(budget(10**12, mode=mode, rolling=rolling)), bound=Bound(1, 1, None, "tools"))
    assert (refusal.asked, refusal.left, refusal.retry_after) == (None, 10**12, None)


async def test_tokens_that_are_a_guess_do_not_do_for_a_budget(desk: Desk) -> None:
    web = row(budget(1_000, counts="tokens"))
    assert (await desk.refused(web, bound=Bound(1, 1, None, "tools"))).asked is None
    await desk.admitted(web, bound=Bound(1, 1, None, "unpriced"))
    assert (await desk.refused(web, bound=Bound(1, 1, 0, "tools"))).asked is None  # a model that costs nothing
    await desk.admitted(web, bound=Bound(1, 1, 50))  # an allowance


async def test_a_call_without_a_bound_goes_on_where_a_budget_is_soft(desk: Desk) -> None:
    web = row(budget(10, mode="soft"))
    permit = await desk.admitted(web, bound=Bound(1, 1, None, "tools"))
    settled = await desk.settle(permit, Used(cost=50))
    assert [(passed.percent, passed.used) for passed in settled.passed] == [(100, 50)]
    assert not settled.over_bound


@pytest.mark.parametrize("further", [False, True])
@pytest.mark.parametrize("every", ["minute", "day", "forever"])
@pytest.mark.parametrize("rolling", [False, True])
async def test_what_reserved_nothing_is_counted_though_its_row_seemed_empty_meanwhile(
    desk: Desk, every: str, rolling: bool, further: bool
) -> None:
    soft, free = budget(100, every, mode="soft", rolling=rolling), Bound(9, 9, None, "no max_tokens")
    permit = await desk.admitted(row(soft), bound=free)
    if further:
        assert await desk.state.extend(permit, free, desk.clock.now, (row(limit(9), name="team:core"),)) is None
    desk.clock.pass_by(2)
    desk.state.tidy(desk.clock.now)
    other = await desk.admitted(row(limit(10)))
    await desk.settle(permit, Used(cost=50))
    await desk.settle(other, Used())
    await desk.settle(await desk.admitted(row(soft), bound=cost(20)), Used(cost=20))
    assert desk.counts("key:web")["budget"] == (70, 0)


async def test_what_is_passed_is_told_before_who_waits_for_the_settlement(desk: Desk) -> None:
    web = row(budget(100, alerts=(50, 80)))
    story: list[object] = []
    desk.state.when_passed = lambda passed: story.append([each.percent for each in passed])
    for spent in (40, 45):
        permit = await desk.admitted(web, bound=cost(50))
        desk.state.settle(permit, Used(cost=spent), desk.clock.now, lambda settled: story.append(len(settled.passed)))
        desk.state.flush()
    assert story == [0, [50, 80], 2]


async def test_a_bound_beyond_all_measure_is_none(desk: Desk) -> None:
    assert (await desk.refused(row(budget(10**18)), bound=cost(10**30))).asked is None
    for scope in (row(budget(5, mode="soft")), row(limit(5, "tokens", mode="soft"))):
        permit = await desk.admitted(scope, bound=Bound(10**30, 10**30, 10**30))
        assert (await desk.settle(permit, Used(10**30, 10**30, 10**30))).over_bound is False


async def test_what_costs_nothing_goes_on_when_all_is_spent(desk: Desk) -> None:
    web = row(budget(0))
    await desk.refused(web, bound=cost(1))
    await desk.admitted(web, bound=cost(0))


async def test_a_new_window_begins_with_nothing_used(desk: Desk) -> None:
    web = row(budget(100))
    await desk.settle(await desk.admitted(web, bound=cost(100)), Used(cost=100))
    refusal = await desk.refused(web, bound=cost(100))
    assert refusal.retry_after is not None
    desk.clock.pass_by(refusal.retry_after - 1e-6)
    await desk.refused(web, bound=cost(100))
    desk.clock.pass_by(2e-6)
    assert desk.counts("key:web") == {"budget": (0, 0)}
    await desk.admitted(web, bound=cost(100))


async def test_a_call_is_charged_in_the_window_in_which_it_was_admitted(desk: Desk) -> None:
    web = row(budget(100))
    long = await desk.admitted(web, bound=cost(100))
    desk.clock.pass_by(86_400)
    new = await desk.admitted(web, bound=cost(100))
    await desk.settle(long, Used(cost=100))
    assert desk.counts("key:web") == {"budget": (0, 100)}
    await desk.settle(new, Used(cost=40))
    assert desk.counts("key:web") == {"budget": (40, 0)}


@pytest.mark.parametrize(
    ("every", "zone", "at", "until"),
    [
        ("day", "Europe/Berlin", "2025-03-30T00:30", "2025-03-31T00:00"),  # 23 hours
        ("day", "Europe/Berlin", "2025-10-26T02:30", "2025-10-27T00:00"),  # 25 hours
        ("week", "America/New_York", "2025-11-01T12:00", "2025-11-03T00:00"),
        ("month", "Asia/Tokyo", "2025-02-28T23:59", "2025-03-01T00:00"),
        ("month", "UTC", "2024-02-29T10:00", "2024-03-01T00:00"),
        ("month", "UTC", "2025-12-31T10:00", "2026-01-01T00:00"),
        ("day", "Asia/Kathmandu", "2025-06-15T23:59", "2025-06-16T00:00"),
    ],
)
async def test_windows_follow_the_calendar_of_their_zone(
    desk: Desk, every: str, zone: str, at: str, until: str
) -> None:
    here = ZoneInfo(zone)
    began, ends = (datetime.fromisoformat(text).replace(tzinfo=here).timestamp() for text in (at, until))
    desk.clock.wall_ns = int(began) * 10**9
    web = row(budget(10, every, zone=zone))
    await desk.admitted(web, bound=cost(10))
    (counter,) = desk.state.counters(["key:web"], desk.clock.now)
    assert counter.resets == ends
    desk.clock.pass_by(ends - began - 1)
    await desk.refused(web, bound=cost(1))
    desk.clock.pass_by(1)
    await desk.admitted(web, bound=cost(10))


@pytest.mark.parametrize("every", ["minute", "hour", "day", "week", "month", 600])
async def test_setting_the_clock_back_renews_no_budget(desk: Desk, every: str | int) -> None:
    web = row(budget(10, every))
    await desk.settle(await desk.admitted(web, bound=cost(10)), Used(cost=10))
    for back in (60, 3_600, 40 * 86_400):
        desk.clock.set_wall(-back)
        await desk.refused(web, bound=cost(1))


@pytest.mark.parametrize(("every", "length"), [("minute", 60), ("hour", 3_600), (600, 600)])
async def test_setting_the_clock_back_an_hour_refuses_for_no_longer_than_the_window(
    desk: Desk, every: str | int, length: int
) -> None:
    web = row(budget(10, every))
    for _ in range(5):
        await desk.settle(await desk.admitted(web, bound=cost(10)), Used(cost=10))
        desk.clock.set_wall(-3_600)
        wait = (await desk.refused(web, bound=cost(1))).retry_after
        assert wait is not None
        assert wait <= length
        desk.clock.pass_by(wait)


async def test_a_call_with_budget_left_goes_on_when_the_clock_is_set_back(desk: Desk) -> None:
    web = row(budget(10), budget(10, "month", id="month"), budget(10, "hour", id="hour"))
    await desk.admitted(web, bound=cost(5))
    desk.clock.set_wall(-3_600)
    await desk.admitted(web, bound=cost(5))
    await desk.refused(web, bound=cost(1))


async def test_a_day_that_began_before_the_clock_was_set_back_over_midnight_goes_on(desk: Desk) -> None:
    desk.clock.wall_ns -= desk.clock.wall_ns % (86_400 * 10**9) - 60 * 10**9  # a minute past midnight
    web = row(budget(10))
    await desk.admitted(web, bound=cost(10))
    desk.clock.set_wall(-3_600)
    desk.state.tidy(desk.clock.now)
    await desk.refused(web, bound=cost(1))
    desk.clock.pass_by(3_600)
    await desk.refused(web, bound=cost(1))  # still the day that began once already
    desk.clock.pass_by(86_400)
    await desk.admitted(web, bound=cost(10))


async def test_no_window_outlives_twice_its_length(desk: Desk) -> None:
    web = row(budget(10))
    await desk.admitted(web, bound=cost(10))
    desk.clock.set_wall(-365 * 86_400)
    desk.clock.pass_by(2 * 86_400)
    await desk.admitted(web, bound=cost(10))


async def test_a_rolling_budget_forgets_what_has_left_its_window_and_nothing_else(desk: Desk) -> None:
    web = row(budget(100, "day", rolling=True))
    for spent in (40, 30, 30):
        await desk.settle(await desk.admitted(web, bound=cost(spent)), Used(cost=spent))
        desk.clock.pass_by(3 * 3_600)
    refusal = await desk.refused(web, bound=cost(40))
    assert refusal.retry_after is not None
    assert 15 * 3_600 <= refusal.retry_after <= 16 * 3_600
    desk.clock.pass_by(refusal.retry_after - 1)
    await desk.refused(web, bound=cost(40))
    desk.clock.pass_by(1)
    await desk.admitted(web, bound=cost(40))
    await desk.refused(web, bound=cost(1))


async def test_a_rolling_budget_that_was_long_unused_has_forgotten_everything(desk: Desk) -> None:
    web = row(budget(31, 60, rolling=True))
    for _ in range(31):  # one in every granule, the one that is leaving too
        await desk.settle(await desk.admitted(web, bound=cost(1)), Used(cost=1))
        desk.clock.pass_by(2)
    desk.clock.pass_by(1_000)
    await desk.admitted(web, bound=cost(31))
    await desk.refused(web, bound=cost(1))


async def test_a_rolling_budget_holds_what_is_reserved_however_long_a_call_takes(desk: Desk) -> None:
    web = row(budget(100, 60, rolling=True))
    long = await desk.admitted(web, bound=cost(100))
    desk.clock.pass_by(1_000)
    await desk.refused(web, bound=cost(1))
    await desk.settle(long, Used(cost=100))
    await desk.admitted(web, bound=cost(100))  # what it used was admitted a thousand seconds ago


async def test_an_alert_is_raised_once_in_a_window(desk: Desk) -> None:
    web = row(budget(100, alerts=(80, 50)))
    raised = []
    for _ in range(2):
        for spent in (49, 1, 10, 35, 5):
            settled = await desk.settle(await desk.admitted(web, bound=cost(spent)), Used(cost=spent))
            raised.append([(passed.percent, passed.used) for passed in settled.passed])
        desk.clock.pass_by(86_400)
    assert raised == [[], [(50, 50)], [], [(80, 95)], []] * 2


@pytest.mark.parametrize("rolling", [False, True])
async def test_alerts_are_raised_again_where_the_amount_was(desk: Desk, rolling: bool) -> None:
    raised = []
    for amount, steps in ((100, (60, 40)), (200, (10, 60, 10)), (1_000, (300, 100, 300))):
        for spent in steps:
            web = row(budget(amount, "forever" if not rolling else "month", rolling=rolling, alerts=(50, 80)))
            settled = await desk.settle(await desk.admitted(web, bound=cost(spent)), Used(cost=spent))
            raised += [(amount, passed.percent) for passed in settled.passed]
    assert raised == [(100, 50), (100, 80), (200, 80), (1_000, 50), (1_000, 80)]


async def test_a_call_that_uses_more_than_its_bound_closes_its_scopes(desk: Desk) -> None:
    web = row(budget(1_000), budget(1_000, id="ever", every="forever"), budget(9, id="soft", mode="soft"))
    other = row(budget(1_000), name="key:other")
    permit = await desk.admitted(web, bound=cost(10))
    settled = await desk.settle(permit, Used(cost=11))
    assert settled.over_bound
    assert {(passed.rule.id, passed.closed) for passed in settled.passed} == {
        ("budget", True),
        ("ever", True),
        ("soft", False),
    }
    refusal = await desk.refused(web, bound=cost(1))
    assert (refusal.rule.id, refusal.closed) == ("budget", True)
    await desk.admitted(other, bound=cost(1))
    desk.clock.pass_by(86_400)
    refusal = await desk.refused(web, bound=cost(1))
    assert (refusal.rule.id, refusal.closed, refusal.retry_after) == ("ever", True, None)
    desk.state.reopen("key:web", "ever")
    await desk.admitted(web, bound=cost(1))


async def test_a_closed_rolling_budget_opens_when_the_call_has_left_its_window(desk: Desk) -> None:
    web = row(budget(1_000, 60, rolling=True))
    await desk.settle(await desk.admitted(web, bound=cost(10)), Used(cost=11))
    refusal = await desk.refused(web, bound=cost(1))
    assert refusal.closed
    assert refusal.retry_after is not None
    desk.clock.pass_by(refusal.retry_after - 0.01)
    await desk.refused(web, bound=cost(1))
    desk.clock.pass_by(0.02)
    await desk.admitted(web, bound=cost(1_000))


async def test_tokens_beyond_their_bound_close_the_budgets_that_count_them(desk: Desk) -> None:
    web = row(budget(1_000), budget(1_000, id="tokens", counts="tokens"))
    permit = await desk.admitted(web, bound=Bound(5, 5, 10))
    settled = await desk.settle(permit, Used(5, 6, 10))
    assert settled.over_bound
    assert [passed.rule.id for passed in settled.passed] == ["tokens"]
    assert (await desk.refused(web, bound=Bound(1, 1, 1))).rule.id == "tokens"


async def test_changed_amounts_go_on_with_what_was_counted(desk: Desk) -> None:
    await desk.settle(await desk.admitted(row(budget(100)), bound=cost(100)), Used(cost=100))
    await desk.refused(row(budget(100)), bound=cost(1))
    await desk.admitted(row(budget(150)), bound=cost(50))
    await desk.refused(row(budget(150)), bound=cost(1))


async def test_a_rule_that_is_new_to_a_row_is_known_where_its_call_comes_as_one_under_older_rules_ends(
    desk: Desk,
) -> None:
    """Who counts, tidies up or charges the calls of the dead knows rules by what is kept of them."""
    old, new = row(budget(100)), row(budget(70, "month", id="more"))
    before = await desk.admitted(old, bound=cost(10))
    after, _ = await asyncio.gather(desk.admitted(new, bound=cost(5)), desk.settle(before, Used(cost=10)))
    desk.state.tidy(desk.clock.now)
    assert desk.counts("key:web") == {"budget": (10, 0), "more": (0, 5)}
    assert [orphan.call_id for orphan in desk.state.expire(desk.state.owner, desk.clock.now)] == [after.call_id]
    assert desk.counts("key:web")["more"] == (5, 0)


async def test_rules_that_change_while_calls_are_under_way_lose_nothing(desk: Desk) -> None:
    old: tuple[Rule, ...] = (limit(10), limit(5, "in_flight"), budget(100))
    new: tuple[Rule, ...] = (budget(100), limit(5, "in_flight"), budget(500, "month", id="month"), limit(10))
    before = await desk.admitted(row(*old), bound=cost(30))
    after = await desk.admitted(row(*new), bound=cost(20))
    between = await desk.admitted(row(*old), bound=cost(10))
    assert desk.counts("key:web") == {
        "requests": (3, 0),
        "in_flight": (3, 0),
        "budget": (0, 60),
        "month": (0, 20),
    }
    for permit in (before, after, between):
        await desk.settle(permit, Used(cost=7))
    assert desk.counts("key:web") == {
        "requests": (3, 0),
        "in_flight": (0, 0),
        "budget": (21, 0),
        "month": (7, 0),
    }


async def test_what_was_used_before_is_put_back_where_its_window_still_runs(desk: Desk) -> None:
    web = row(limit(5), budget(100), budget(100, "hour", rolling=True, id="rolling"), budget(100, "forever", id="ever"))
    now = desk.clock.now.wall_ns
    desk.state.charge(
        [
            (web, Used(cost=10), now),
            (web, Used(cost=5), now - 1_900 * 10**9),
            (web, Used(cost=1), now - 90_000 * 10**9),
        ],
        desk.clock.now,
    )
    assert desk.counts("key:web") == {"requests": (0, 0), "budget": (15, 0), "rolling": (15, 0), "ever": (16, 0)}
    desk.clock.pass_by(1_900)
    assert desk.counts("key:web")["rolling"] == (10, 0)
