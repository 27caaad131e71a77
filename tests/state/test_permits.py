"""What becomes of a permit: settled once, extended, expired with its owner, cancelled while it was asked for."""

import asyncio

import pytest
from tests.state.desk import Desk, budget, cost, limit, row, tokens

from portico.errors import StateUnavailable
from portico.rules import Bound, Rule
from portico.state.asking import ask
from portico.state.contract import Admission, Orphan, Permit, Refusal, Settled, Used

WEB = row(limit(100, "tokens"), limit(9, "in_flight"), budget(1_000), budget(1_000, 60, rolling=True, id="rolling"))
TEAM = row(limit(9), limit(9, "in_flight"), budget(1_000), name="team:core")


async def test_a_call_is_settled_once(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(100))
    await desk.settle(permit, Used(cost=60))
    for _ in range(3):
        assert await desk.settle(permit, Used(cost=90)) == Settled()
        assert await desk.release(permit) == Settled()
    assert desk.counts("key:web")["budget"] == (60, 0)
    assert desk.counts("key:web")["in_flight"] == (0, 0)


async def test_a_released_call_is_not_settled_later(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(100))
    await desk.release(permit)
    await desk.settle(permit, Used(cost=60))
    assert desk.counts("key:web")["budget"] == (0, 0)


async def test_records_are_written_before_their_calls_are_settled(desk: Desk) -> None:
    story: list[str] = []
    permit = await desk.admitted(WEB, bound=cost(100))
    desk.state.before_settling = lambda: story.append(f"written at {desk.counts('key:web')['budget']}")
    settled = asyncio.get_running_loop().create_future()

    def done(_: Settled) -> None:
        story.append(f"told at {desk.counts('key:web')['budget']}")
        settled.set_result(None)

    desk.state.settle(permit, Used(cost=60), desk.clock.now, done)
    await settled
    assert story == ["written at (0, 100)", "told at (60, 0)"]


async def test_an_extension_reserves_more_in_the_same_scopes_and_counts_no_second_call(desk: Desk) -> None:
    permit = await desk.admitted(WEB, TEAM, bound=cost(400))
    assert await desk.state.extend(permit, cost(500), desk.clock.now) is None
    assert desk.counts("team:core") == {"requests": (1, 0), "in_flight": (1, 0), "budget": (0, 900)}
    refusal = await desk.state.extend(permit, cost(101), desk.clock.now)
    assert isinstance(refusal, Refusal)
    assert refusal.left == 100
    settled = await desk.settle(permit, Used(cost=850))
    assert not settled.over_bound
    assert desk.counts("key:web") == {"tokens": (0, 0), "in_flight": (0, 0), "budget": (850, 0), "rolling": (850, 0)}


async def test_more_than_all_that_was_reserved_is_over_the_bound(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(400))
    await desk.state.extend(permit, cost(100), desk.clock.now)
    assert (await desk.settle(permit, Used(cost=501))).over_bound


async def test_an_extension_may_bring_scopes_that_count_the_call_for_the_first_time(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(400))
    assert await desk.state.extend(permit, cost(300), desk.clock.now, (TEAM, WEB)) is None
    assert desk.counts("team:core") == {"requests": (1, 0), "in_flight": (1, 0), "budget": (0, 300)}
    await desk.settle(permit, Used(cost=500))
    assert desk.counts("key:web")["budget"] == (500, 0)
    assert desk.counts("team:core") == {"requests": (1, 0), "in_flight": (0, 0), "budget": (300, 0)}


async def test_what_is_in_hand_is_not_reserved_again_where_new_scopes_come(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(400))
    assert await desk.state.extend(permit, cost(0), desk.clock.now, (TEAM,), cost(400)) is None
    assert desk.counts("key:web")["budget"] == (0, 400)
    assert desk.counts("team:core") == {"requests": (1, 0), "in_flight": (1, 0), "budget": (0, 400)}
    assert await desk.state.extend(permit, cost(100), desk.clock.now, (WEB, TEAM), cost(500)) is None
    assert desk.counts("key:web")["budget"] == desk.counts("team:core")["budget"] == (0, 500)
    settled = await desk.settle(permit, Used(cost=501))
    assert settled.over_bound, "of what was reserved in new scopes nothing is left for others"
    assert desk.counts("key:web")["budget"] == desk.counts("team:core")["budget"] == (501, 0)


async def test_an_extension_that_is_refused_anywhere_reserves_nothing(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(100))
    small = row(budget(50), name="provider:b")
    refusal = await desk.state.extend(permit, cost(60), desk.clock.now, (TEAM, small))
    assert isinstance(refusal, Refusal)
    assert refusal.row == "provider:b"
    assert desk.counts("key:web")["budget"] == (0, 100)
    assert desk.counts("team:core") == {"requests": (0, 0), "in_flight": (0, 0), "budget": (0, 0)}
    await desk.settle(permit, Used(cost=100))
    assert desk.counts("key:web")["budget"] == (100, 0)


@pytest.mark.parametrize(
    "rule", [budget(100), budget(100, "hour", rolling=True), limit(10, "tokens"), limit(1, "in_flight")]
)
async def test_a_rule_that_counts_by_tags_reserves_for_none_of_them_where_one_refuses(desk: Desk, rule: Rule) -> None:
    free, full = row(rule, name="tag:a"), row(rule, name="tag:b")
    held = await desk.admitted(full, bound=Bound(5, 4, 90))
    refusal = await desk.refused(free, full, bound=Bound(5, 4, 50))
    assert refusal.row == "tag:b"
    await desk.admitted(free, bound=Bound(5, 5, 100))
    await desk.release(held)
    await desk.admitted(full, bound=Bound(5, 5, 100))


@pytest.mark.parametrize(("first", "second"), [(100, None), (None, 100)])
@pytest.mark.parametrize("rolling", [False, True])
async def test_of_two_attempts_one_without_a_bound_the_others_is_given_back(
    desk: Desk, first: int | None, second: int | None, rolling: bool
) -> None:
    soft = row(budget(1_000, mode="soft", rolling=rolling))
    permit = await desk.admitted(soft, bound=cost(first))
    assert await desk.state.extend(permit, cost(second), desk.clock.now) is None
    assert desk.counts("key:web") == {"budget": (0, 100)}
    assert await desk.settle(permit, Used(cost=150)) == Settled()
    assert desk.counts("key:web") == {"budget": (150, 0)}


async def test_an_extension_in_a_later_window_is_reserved_and_charged_there(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(1_000))
    desk.clock.pass_by(86_400)
    assert await desk.state.extend(permit, cost(200), desk.clock.now) is not None  # the rolling one still holds it all
    day = row(budget(1_000), name="key:day")
    permit = await desk.admitted(day, bound=cost(1_000))
    desk.clock.pass_by(86_400)
    assert await desk.state.extend(permit, cost(200), desk.clock.now) is None
    assert desk.counts("key:day") == {"budget": (0, 200)}
    await desk.settle(permit, Used(cost=900))
    assert desk.counts("key:day") == {"budget": (200, 0)}


async def test_tokens_of_an_extension_are_corrected_with_the_rest(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=tokens(10, 20))
    await desk.state.extend(permit, tokens(10, 40), desk.clock.now)
    assert desk.counts("key:web")["tokens"] == (80, 0)
    await desk.settle(permit, Used(20, 25))
    assert desk.counts("key:web")["tokens"] == (45, 0)


async def test_permits_of_the_dead_are_settled_at_their_bound(desk: Desk) -> None:
    first = await desk.admitted(WEB, TEAM, bound=cost(100), call="one")
    second = await desk.admitted(WEB, bound=tokens(10, 20), call="two")
    await desk.state.extend(first, cost(50), desk.clock.now, (row(budget(90), name="provider:b"),))
    assert desk.state.expire("0" * 16, desk.clock.now) == []
    orphans = desk.state.expire(desk.state.owner, desk.clock.now)
    assert sorted(orphans, key=lambda orphan: orphan.call_id) == [
        Orphan("one", first.bound, b"one", 150),
        Orphan("two", second.bound, b"two", 0),
    ]
    assert desk.counts("key:web") == {"tokens": (30, 0), "in_flight": (0, 0), "budget": (150, 0), "rolling": (150, 0)}
    assert desk.counts("team:core") == {"requests": (1, 0), "in_flight": (0, 0), "budget": (150, 0)}
    assert desk.counts("provider:b") == {"budget": (50, 0)}
    again = desk.state.expire(desk.state.owner, desk.clock.now)  # by who comes after one that died at this
    assert sorted(again, key=lambda orphan: orphan.call_id) == sorted(orphans, key=lambda orphan: orphan.call_id)
    assert desk.counts("provider:b") == {"budget": (50, 0)}
    await desk.settle(first, Used(cost=1))
    assert [orphan.call_id for orphan in desk.state.expire(desk.state.owner, desk.clock.now)] == ["two"]


@pytest.mark.parametrize("remembered", [True, False], ids=["by its permit", "by its id alone"])
async def test_settling_after_expiry_replaces_what_was_assumed(desk: Desk, remembered: bool) -> None:
    permit = await desk.admitted(WEB, TEAM, bound=cost(100), call="late")
    await desk.state.extend(permit, cost(50), desk.clock.now, (row(budget(90), name="provider:b"),))
    desk.state.expire(desk.state.owner, desk.clock.now)
    if not remembered:
        permit = Permit("late", (), permit.bound)
    await desk.settle(permit, Used(cost=30))
    for _ in range(2):
        await desk.settle(permit, Used(cost=99))
    assert desk.counts("key:web") == {"tokens": (0, 0), "in_flight": (0, 0), "budget": (30, 0), "rolling": (30, 0)}
    assert desk.counts("team:core") == {"requests": (1, 0), "in_flight": (0, 0), "budget": (30, 0)}
    assert desk.counts("provider:b") == {"budget": (30, 0)}


async def test_a_call_that_expired_and_was_never_made_is_taken_back(desk: Desk) -> None:
    permit = await desk.admitted(WEB, TEAM, bound=cost(100), call="never")
    desk.state.expire(desk.state.owner, desk.clock.now)
    await desk.release(permit)
    assert desk.counts("key:web")["budget"] == (0, 0)
    assert desk.counts("team:core") == {"requests": (0, 0), "in_flight": (0, 0), "budget": (0, 0)}


async def test_a_window_that_began_since_is_not_charged_for_what_expired(desk: Desk) -> None:
    day = row(budget(1_000))
    permit = await desk.admitted(day, bound=cost(100), call="old")
    desk.clock.pass_by(86_400)
    await desk.admitted(day, bound=cost(1))
    desk.state.expire(desk.state.owner, desk.clock.now)
    assert desk.counts("key:web") == {"budget": (1, 0)}
    await desk.settle(permit, Used(cost=500))
    assert desk.counts("key:web") == {"budget": (1, 0)}


async def test_a_call_that_nobody_knows_changes_nothing(desk: Desk) -> None:
    assert await desk.settle(Permit("stranger", (), cost(1)), Used(cost=1)) == Settled()


async def test_a_call_that_is_over_is_not_extended(desk: Desk) -> None:
    permit = await desk.admitted(WEB, bound=cost(1))
    await desk.settle(permit, Used(cost=1))
    with pytest.raises(StateUnavailable, match="no permit"):
        await desk.state.extend(permit, cost(1), desk.clock.now)
    assert desk.counts("key:web")["budget"] == (1, 0)


async def test_who_is_cancelled_while_asking_leaves_nothing_reserved(desk: Desk) -> None:
    for steps in range(4):
        asked = Admission(f"gone-{steps}", (WEB,), cost(100), desk.clock.now)
        task = asyncio.ensure_future(ask(desk.state, asked))
        for _ in range(steps):
            await asyncio.sleep(0)
        done = task.done()
        task.cancel()
        await asyncio.wait([task])
        if done:
            await desk.release(task.result())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert desk.counts("key:web").get("budget", (0, 0)) == (0, 0)


async def test_a_row_with_nothing_in_it_is_forgotten(desk: Desk) -> None:
    permit = await desk.admitted(WEB, TEAM, bound=cost(100))
    desk.state.tidy(desk.clock.now)
    assert desk.counts("key:web") != {}
    await desk.settle(permit, Used(cost=10))
    desk.clock.pass_by(3 * 86_400)
    await desk.admit(row(limit(1), name="key:other"), bound=cost(0))
    await desk.release(await desk.admitted(TEAM))
    desk.state.tidy(desk.clock.now)
    assert desk.counts("key:web") == {}
    await desk.admitted(WEB, bound=cost(1_000))
