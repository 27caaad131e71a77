"""The short way through a plan, beside the loops that it is made after: the same answers, and the same rows."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.state.desk import START, budget, cost, limit, row, tokens

from portico.rules import Bound, Rule
from portico.state import books
from portico.state.contract import Admission, Moment, Permit, Scope, Settled, Used
from portico.state.counting import CAP, CLOSED, Rules, asks, plain, reserve
from portico.state.plans import Plan
from portico.state.rows import ABSENT, BUDGET, Row
from portico.state.straight import straight

T = TypeVar("T")

DOLLAR = 10**9
SECOND = 10**9
AMOUNTS = st.sampled_from((10**15, 10**15, 10**14, 10**14, 1 << 62, 5 * DOLLAR, 2_000, 700, 3, 0))
LIMITS = st.builds(
    limit,
    AMOUNTS,
    st.sampled_from(("requests", "tokens", "input_tokens", "output_tokens", "in_flight")),
    st.sampled_from(("minute", "day", 90, "forever")),
    id=st.sampled_from("abc"),
    mode=st.sampled_from(("hard", "hard", "soft")),
)
BUDGETS = st.builds(
    budget,
    AMOUNTS,
    st.sampled_from(("minute", "hour", "day", "week", "month", 600, "forever")),
    counts=st.sampled_from(("cost", "cost", "tokens", "requests", "input_tokens", "output_tokens")),
    id=st.sampled_from("def"),
    mode=st.sampled_from(("hard", "hard", "clamp", "soft")),
    alerts=st.sampled_from(((), (), (50,), (80, 100))),
)
SCOPES = st.lists(st.lists(LIMITS | BUDGETS, min_size=1, max_size=5), min_size=1, max_size=3).map(
    lambda rows: tuple(Scope(f"row:{n}", tuple(rules)) for n, rules in enumerate(rows))
)
SMALL = st.sampled_from((0, 1, 2, 5, 300))
BOUNDS = st.builds(
    Bound,
    SMALL | st.just(CAP),
    SMALL,
    st.one_of(SMALL, SMALL, st.just(DOLLAR), st.sampled_from((CAP + 1, None))),
    st.sampled_from((None, "unpriced")),
)
USES = st.builds(Used, SMALL, SMALL, SMALL | st.just(DOLLAR), st.sampled_from((1, 1, 0)))
STEPS = st.sampled_from((50_000, 0, 1, 300, SECOND, 40 * SECOND, 86_400 * SECOND, -2_000))
ADMIT = st.tuples(st.just("admit"), BOUNDS, STEPS, STEPS)
SETTLE = st.tuples(st.just("settle"), USES, st.integers(0, 9), STEPS)
MOVES = st.one_of(
    *(ADMIT,) * 4,
    *(SETTLE,) * 3,
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(st.just("close"), st.integers(0, 9)),
    st.tuples(st.just("other rules"), st.integers(0, 9)),
)


Cells = list[tuple[tuple[bytes, ...], list[int]]]


def fetch(row: Row, rules: Rules) -> Row:
    if row.layout is ABSENT:
        row.begin(rules)
    return row


def planned(scopes: tuple[Scope, ...]) -> Plan:
    return books.Planner().plan(scopes)


def begun(scopes: tuple[Scope, ...]) -> Plan:
    """A plan whose rows are at hand, with nothing counted in them."""
    plan = planned(scopes)
    for each, _, rules in plan.rows:
        fetch(each, rules)
    return plan


def cells(plan: Plan) -> Cells:
    return [(row.layout.slots, list(row.cells)) for row, _, _ in plan.rows]


def tried(plan: Plan, step: Callable[[], T]) -> tuple[T, Cells]:
    """What a step answers and what it makes of the rows, which are as they were before."""
    before = [(row, row.layout, tuple(row.cells)) for row, _, _ in plan.rows]
    answer, after = step(), cells(plan)
    for each, layout, counters in before:
        each.layout, each.cells = layout, counters
    return answer, after


@settings(max_examples=400)
@given(SCOPES, st.lists(MOVES, min_size=6, max_size=30))
def test_the_short_way_says_and_counts_what_the_loops_do(
    scopes: tuple[Scope, ...], moves: list[tuple[Any, ...]]
) -> None:
    plan, loops = begun(scopes), Plan(scopes, begun(scopes).rows)
    assert plan.short
    assert not loops.short
    holds: list[tuple[books.Hold, books.Hold]] = []
    boot, wall = 10**12, START * SECOND
    for kind, *what in moves:
        if kind == "admit":
            bound, step, wall_step = what
            boot, wall = boot + step, wall + wall_step
            wanted = asks(bound)
            if any(wanted[op[2]] is None for _, _, rules in plan.rows for op in rules.ops if op[0] < 2):
                continue  # limits count what has a number
            if plain(bound):
                taken, after = tried(plan, partial(plan.take, {}, fetch, bound, boot, wall))
                assert taken is not None or after == cells(plan)
                event("taken at once" if taken is not None else "taken in turn")
            at = Moment(boot, wall)
            one = books.admit(fetch, plan, Admission("one", scopes, bound, at))
            other = reserve(fetch, loops, wanted, boot, wall)
            assert isinstance(one, Permit) is isinstance(other, tuple)
            if isinstance(one, Permit) and isinstance(other, tuple):
                assert isinstance(one.token, books.Hold)
                assert (one.token.keys, one.token.room) == other
                holds.append((one.token, books.Hold(loops, bound, *other, at)))
            else:
                assert one == other
        elif kind in ("settle", "release") and holds:
            used = what[0] if kind == "settle" else books.UNUSED
            boot += what[2] if kind == "settle" else 0
            one_hold, other_hold = holds.pop(what[-2 if kind == "settle" else 0] % len(holds))
            at = Moment(boot, wall)
            before = cells(plan)
            at_once = None
            if one_hold.wanted is None:
                at_once = plan.put({}, fetch, one_hold.bound, one_hold.keys, used)
            assert at_once or cells(plan) == before
            event("put at once" if at_once else "put in turn")
            settled = books.settle(fetch, other_hold, books.counted(used), at)
            if at_once:
                assert settled == books.QUIET
            else:
                assert books.settle(fetch, one_hold, books.counted(used), at) == settled
        elif kind == "close":
            for here, _, _ in (*plan.rows, *loops.rows):
                slot = here.layout.slots[what[0] % len(here.layout.slots)]
                if slot[-2] == BUDGET:
                    here.changing()[here.layout.places[slot] + 5] |= CLOSED
        elif kind == "other rules":
            # Somebody whose rules are older has given a row a slot of his own.
            for rows in (plan.rows, loops.rows):
                Rules((budget(77, id="older"),)).fit(rows[what[0] % len(rows)][0], boot, wall)
        assert cells(plan) == cells(loops)


def usual() -> tuple[Scope, ...]:
    key = row(limit(60), limit(10_000, "tokens"), limit(4, "in_flight"), budget(DOLLAR))
    return (key, row(budget(10 * DOLLAR, "month"), name="team:core"))


def opened(scopes: tuple[Scope, ...], boot: int = 10**12) -> Plan:
    """A plan in whose rows its windows have begun."""
    plan = planned(scopes)
    assert isinstance(reserve(fetch, plan, asks(cost(1)), boot, START * SECOND), tuple)
    return plan


def test_a_call_of_every_day_goes_the_short_way() -> None:
    plan = opened(usual())
    assert plan.short
    bound = Bound(300, 200, 5_000)
    taken = plan.take({}, fetch, bound, 10**12 + 5, START * SECOND + 5)
    assert taken is not None
    keys, room = taken
    assert (len(keys), room) == (2, (58, 9_500, 2, DOLLAR - 5_001, 10 * DOLLAR - 5_001))
    assert plan.put({}, fetch, bound, keys, Used(250, 100, 4_000)) is True
    hold = books.Hold(plan, cost(1), keys, room, Moment(10**12, START * SECOND))
    assert books.settle(fetch, hold, books.counted(Used(0, 0, 1)), hold.at) == Settled()
    held = [row.cells[op[1] + 4] for row, _, rules in plan.rows for op in rules.ops if op[0] == 2]
    used = [row.cells[op[1] + 3] for row, _, rules in plan.rows for op in rules.ops if op[0] == 2]
    assert (held, used) == ([0, 0], [4_001, 4_001])


def test_rows_are_noted_where_they_change_and_read_where_they_are_not_at_hand() -> None:
    plan = opened(usual())
    rows = [row for row, _, _ in plan.rows]
    now = 10**12 + 5, START * SECOND + 5
    assert plan.short
    changed: dict[Row, None] = {}
    assert plan.take(changed, fetch, cost(DOLLAR), *now) is None
    assert changed == {}
    taken = plan.take(changed, fetch, cost(5), *now)
    assert taken is not None
    assert list(changed) == rows
    changed.clear()
    assert plan.put(changed, fetch, cost(5), taken[0], Used(cost=6)) is False
    assert changed == {}
    kept = {row: (row.layout, row.cells) for row in rows}
    for each in rows:
        each.layout = ABSENT

    def read(row: Row, _: Rules) -> Row:
        row.layout, row.cells = kept[row]
        return row

    assert plan.put(changed, read, cost(5), taken[0], Used(cost=4))
    assert list(changed) == rows


def test_whoever_counts_by_a_key_has_the_same_row_for_as_long_as_anybody_has_it() -> None:
    planner = books.Planner()
    one = planner.plan(usual())
    other = planner.plan((row(budget(5), name="team:core"),))
    assert other.rows[0][0] is one.rows[1][0] is planner.row(b"team:core")


UNUSUAL: list[tuple[str, Bound, int, int]] = [
    ("it does not fit the budget", cost(DOLLAR), 5, 5),
    ("it does not fit the limit", tokens(10_001, 0), 5, 5),
    ("nobody knows what it may cost", cost(None), 5, 5),
    ("the day is over", cost(1), 5, 86_400 * SECOND),
    ("the day has lasted twice its time", cost(1), 3 * 86_400 * SECOND, 5),
    ("another worker's clock was read later", cost(1), -5, 5),
]


@pytest.mark.parametrize(("bound", "later", "wall_later"), [case[1:] for case in UNUSUAL], ids=[c[0] for c in UNUSUAL])
def test_what_is_unusual_is_left_to_the_loops_untouched(bound: Bound, later: int, wall_later: int) -> None:
    plan = opened(usual())
    before = cells(plan)
    assert plan.short
    assert plan.take({}, fetch, bound, 10**12 + later, START * SECOND + wall_later) is None
    assert cells(plan) == before


def test_what_passes_its_bound_or_raises_an_alert_is_settled_by_the_loops() -> None:
    plan = opened((row(budget(1_000, alerts=(50,))),))
    assert plan.short
    taken = plan.take({}, fetch, cost(600), 10**12, START * SECOND)
    assert taken is not None
    before = cells(plan)
    assert plan.put({}, fetch, cost(600), taken[0], Used(cost=601)) is False
    assert plan.put({}, fetch, cost(600), taken[0], Used(cost=500)) is False
    assert plan.put({}, fetch, cost(600), (taken[0][0] + 1,), Used(cost=1)) is False
    assert cells(plan) == before
    assert plan.put({}, fetch, cost(600), taken[0], Used(cost=499)) is True


@pytest.mark.parametrize("rules", [(), (budget(1_000, rolling=True),), (limit(5), budget(1_000, rolling=True))])
def test_plans_without_rules_or_with_what_rolls_have_no_short_way(rules: tuple[Rule, ...]) -> None:
    assert straight(planned((row(*rules),)).rows) is None


def test_plans_of_one_shape_share_their_code_and_nothing_else() -> None:
    one, other = opened((row(budget(5), name="key:a"),)), opened((row(budget(7), name="key:b"),))
    ways, others = straight(one.rows), straight(other.rows)
    assert ways is not None
    assert others is not None
    assert (ways[0], ways[2]) == (others[0], others[2])
    for plan, amount in ((one, 5), (other, 7)):
        assert plan.short
        taken = plan.take({}, fetch, cost(2), 10**12, START * SECOND)
        assert taken is not None
        assert taken[1] == (amount - 3,)
