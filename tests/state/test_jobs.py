"""Jobs that outlive the calls that started them: what one reserves stays so, whoever dies, and is settled once."""

import pytest
from tests.state.desk import Desk, budget, cost, limit, row, tokens

from portico.rules import Bound
from portico.state.contract import Permit, Settled, Used

WEB = row(
    limit(100, "tokens"),
    limit(9),
    limit(9, "in_flight"),
    budget(1_000),
    budget(500, counts="tokens", id="tokens-budget"),
    budget(1_000, 60, rolling=True, id="rolling"),
)


async def started(desk: Desk, bound: Bound) -> Permit:
    """Return the permit of a call that has started the job `job`, and is settled."""
    permit = await desk.admitted(WEB, bound=bound)
    permit.onward = "job"
    await desk.settle(permit, Used())
    return permit


async def test_a_job_keeps_what_its_call_had_reserved_in_budgets_and_limits_count_it_at_once(desk: Desk) -> None:
    await started(desk, Bound(30, 20, 400))
    assert desk.counts("key:web") == {
        "tokens": (50, 0),
        "requests": (1, 0),
        "in_flight": (0, 0),
        "budget": (0, 400),
        "tokens-budget": (0, 50),
        "rolling": (0, 400),
    }
    assert desk.state.jobs() == ["job"]
    assert desk.state.finish("job", Used(10, 5, 90, 0), desk.clock.now) == Settled()
    assert desk.counts("key:web") == {
        "tokens": (50, 0),
        "requests": (1, 0),
        "in_flight": (0, 0),
        "budget": (90, 0),
        "tokens-budget": (15, 0),
        "rolling": (90, 0),
    }
    assert desk.state.jobs() == []


@pytest.mark.parametrize(("bound", "elsewhere"), [(None, 100), (100, None), (None, None), (100, 40)])
async def test_a_job_of_a_call_that_fell_back_gives_everything_back(
    desk: Desk, bound: int | None, elsewhere: int | None
) -> None:
    here, there = (row(budget(1_000, mode="soft"), name=f"provider:{name}") for name in "ab")
    permit = await desk.admitted(here, bound=cost(bound))
    assert await desk.state.extend(permit, cost(0), desk.clock.now, (there,), cost(elsewhere)) is None
    permit.onward = "job"
    await desk.settle(permit, Used())
    assert desk.state.finish("job", Used(cost=30, requests=0), desk.clock.now) == Settled()
    assert {row: desk.counts(row)["budget"][1] for row in ("provider:a", "provider:b")} == {
        "provider:a": 0,
        "provider:b": 0,
    }


async def test_who_lost_a_race_to_where_a_job_runs_is_charged_its_bound_and_not_closed(desk: Desk) -> None:
    here, there = (row(budget(1_000), name=f"provider:{name}") for name in "ab")
    permit = await desk.admitted(here, bound=cost(100))
    permit.rows = {"a": ("provider:a",), "b": ("provider:b",)}
    assert await desk.state.extend(permit, cost(100), desk.clock.now, (there,), cost(100)) is None
    permit.onward = "job"
    lost = Used(cost=100, parts=(("b", Used(cost=100)), ("a", Used())))
    assert await desk.settle(permit, lost) == Settled()
    assert [desk.counts(name)["budget"] for name in ("provider:a", "provider:b")] == [(0, 100), (100, 0)]
    ran = Used(cost=30, requests=0, parts=(("a", Used(cost=30, requests=0)),))
    assert desk.state.finish("job", ran, desk.clock.now) == Settled()
    assert [desk.counts(name)["budget"] for name in ("provider:a", "provider:b")] == [(30, 0), (100, 0)]
    await desk.admitted(there, bound=cost(900))


async def test_a_job_is_settled_once(desk: Desk) -> None:
    await started(desk, cost(400))
    for _ in range(3):
        desk.state.finish("job", Used(cost=90), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (90, 0)
    assert desk.state.finish("never was", Used(cost=90), desk.clock.now) == Settled()


async def test_what_its_call_may_have_used_besides_is_charged_with_the_call(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(300))
    assert await desk.state.extend(permit, cost(300), desk.clock.now) is None
    permit.onward = "job"
    await desk.settle(permit, Used(cost=300))
    assert desk.counts("key:web")["budget"] == (300, 300)
    desk.state.finish("job", Used(cost=10), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (310, 0)


async def test_a_job_that_used_more_than_its_bound_closes_the_budget(desk: Desk) -> None:
    await started(desk, cost(400))
    settled = desk.state.finish("job", Used(cost=401), desk.clock.now)
    assert settled.over_bound
    assert [passed.closed for passed in settled.passed] == [True, True]
    assert desk.counts("key:web")["budget"] == (401, 0)


async def test_a_job_without_a_bound_reserves_nothing_and_is_charged_when_it_ends(desk: Desk) -> None:
    soft = row(budget(1_000, mode="soft"))
    permit = await desk.admitted(soft, bound=Bound(0, 0, None, "stored"))
    permit.onward = "job"
    await desk.settle(permit, Used())
    assert desk.counts("key:web")["budget"] == (0, 0)
    assert not desk.state.finish("job", Used(cost=700), desk.clock.now).over_bound
    assert desk.counts("key:web")["budget"] == (700, 0)


async def test_a_worker_that_dies_does_not_end_its_jobs(desk: Desk) -> None:
    await started(desk, cost(400))
    assert desk.state.expire(desk.state.owner, desk.clock.now) == []
    assert desk.counts("key:web")["budget"] == (0, 400)


async def test_a_call_that_died_after_it_had_started_a_job_hands_over_what_it_was_charged(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=Bound(30, 20, 400))
    (orphan,) = desk.state.expire(desk.state.owner, desk.clock.now)
    assert desk.counts("key:web")["budget"] == (400, 0)
    for _ in range(2):
        desk.state.adopt(orphan.call_id, "job", desk.clock.now)
    assert desk.state.expire(desk.state.owner, desk.clock.now) == []
    assert desk.counts("key:web") == {
        "tokens": (50, 0),
        "requests": (1, 0),
        "in_flight": (0, 0),
        "budget": (0, 400),
        "tokens-budget": (0, 50),
        "rolling": (0, 400),
    }
    await desk.settle(permit, Used(cost=1))  # nobody has it any more
    desk.state.finish("job", Used(1, 1, 90, 0), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (90, 0)
    assert desk.counts("key:web")["tokens-budget"] == (2, 0)
    assert desk.counts("key:web")["rolling"] == (90, 0)


async def test_a_job_is_held_again_in_a_state_that_was_lost(desk: Desk) -> None:
    wall = desk.clock.now.wall_ns
    for _ in range(2):
        desk.state.carry("job", (WEB,), cost(400), wall, desk.clock.now)
    assert desk.counts("key:web")["budget"] == (0, 400)
    assert desk.counts("key:web")["rolling"] == (0, 400)
    desk.state.finish("job", Used(cost=90), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (90, 0)
    assert desk.counts("key:web")["rolling"] == (90, 0)


async def test_a_job_of_a_window_that_is_over_counts_in_no_later_one(desk: Desk) -> None:
    daily = row(budget(1_000, "day"))
    permit = await desk.admitted(daily, bound=cost(400))
    permit.onward = "job"
    await desk.settle(permit, Used())
    desk.clock.pass_by(2 * 86_400)
    await desk.settle(await desk.admitted(daily, bound=cost(10)), Used(cost=10))
    desk.state.finish("job", Used(cost=90), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (10, 0)
    desk.state.carry("old", (daily,), cost(400), desk.clock.now.wall_ns - 2 * 86_400 * 10**9, desk.clock.now)
    assert desk.counts("key:web")["budget"] == (10, 0)
    desk.state.finish("old", Used(cost=90), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (10, 0)


async def test_limits_on_tokens_are_looked_at_when_a_job_is_started(desk: Desk) -> None:
    await started(desk, tokens(60, 0))
    assert desk.counts("key:web")["tokens"] == (60, 0)
