"""The short way through a plan, beside the loops that it is made after: the same answers, and the same rows."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.state.desk import START, budget, cost, limit, row, tokens

from portico.rules import Bound, Rule
from portico.state import books
from portico.state.contract import Admission, Moment, Permit, Scope, Settled, Used
from portico.state.counting import BUDGET, CAP, CLOSED, Plan, Row, Rules, asks, plain, reserve
from portico.state.straight import straight

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


def fresh(_: bytes, rules: Rules) -> Row:
    return Row(rules.layout, [0] * rules.layout.size)


def planned(scopes: tuple[Scope, ...]) -> Plan:
    return books.Planner().plan(scopes)


def copied(rows: dict[bytes, Row]) -> dict[bytes, Row]:
    return {key: Row(row.layout, list(row.cells)) for key, row in rows.items()}


def cells(rows: dict[bytes, Row]) -> dict[bytes, tuple[tuple[bytes, ...], list[int]]]:
    return {key: (row.layout.slots, row.cells) for key, row in rows.items()}


@settings(max_examples=400)
@given(SCOPES, st.lists(MOVES, min_size=6, max_size=30))
def test_the_short_way_says_and_counts_what_the_loops_do(
    scopes: tuple[Scope, ...], moves: list[tuple[Any, ...]]
) -> None:
    plan = planned(scopes)
    loops = Plan(scopes, plan.rows)
    assert plan.take is not None
    assert plan.put is not None
    assert loops.take is None
    short = {key: fresh(key, rules) for key, _, rules in plan.rows}
    long = {key: fresh(key, rules) for key, _, rules in plan.rows}
    holds: list[tuple[books.Hold, books.Hold]] = []
    boot, wall = 10**12, START * SECOND
    for kind, *what in moves:
        if kind == "admit":
            bound, step, wall_step = what
            boot, wall = boot + step, wall + wall_step
            wanted = asks(bound)
            if any(wanted[op[2]] is None for _, _, rules in plan.rows for op in rules.ops if op[0] < 2):
                continue  # limits count what has a number
            apart = copied(short)
            taken = plan.take(plan.given, apart, apart, fresh, bound, boot, wall) if plain(bound) else None
            assert taken is not None or cells(apart) == cells(short)
            event("taken at once" if taken is not None else "taken in turn")
            at = Moment(boot, wall)
            one = books.admit(short, fresh, plan, Admission("one", scopes, bound, at))
            other = reserve(long, fresh, loops, wanted, boot, wall)
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
            apart = copied(short)
            put = None
            if one_hold.wanted is None:
                put = plan.put(plan.given, apart, apart, fresh, one_hold.bound, one_hold.keys, used)
            assert put or cells(apart) == cells(short)
            event("put at once" if put else "put in turn")
            settled = books.settle(long, fresh, other_hold, books.counted(used), at)
            if put:
                short = apart
                assert settled == books.QUIET
            else:
                assert books.settle(short, fresh, one_hold, books.counted(used), at) == settled
        elif kind == "close":
            for here in (*short.values(), *long.values()):
                slot = here.layout.slots[what[0] % len(here.layout.slots)]
                if slot[-2] == BUDGET:
                    here.cells[here.layout.places[slot] + 5] |= CLOSED
        elif kind == "other rules":
            # Somebody whose rules are older has given a row a slot of his own.
            for rows in (short, long):
                key = plan.rows[what[0] % len(plan.rows)][0]
                Rules((budget(77, id="older"),)).fit(rows[key], boot, wall)
        assert cells(short) == cells(long)


def usual() -> tuple[Scope, ...]:
    key = row(limit(60), limit(10_000, "tokens"), limit(4, "in_flight"), budget(DOLLAR))
    return (key, row(budget(10 * DOLLAR, "month"), name="team:core"))


def opened(plan: Plan, boot: int = 10**12) -> dict[bytes, Row]:
    """Rows in which the windows of this plan have begun."""
    rows: dict[bytes, Row] = {}
    assert isinstance(reserve(rows, fresh, plan, asks(cost(1)), boot, START * SECOND), tuple)
    return rows


def test_a_call_of_every_day_goes_the_short_way() -> None:
    plan = planned(usual())
    rows = opened(plan)
    assert plan.take is not None
    assert plan.put is not None
    bound = Bound(300, 200, 5_000)
    taken = plan.take(plan.given, rows, rows, fresh, bound, 10**12 + 5, START * SECOND + 5)
    assert taken is not None
    keys, room = taken
    assert (len(keys), room) == (2, (58, 9_500, 2, DOLLAR - 5_001, 10 * DOLLAR - 5_001))
    assert plan.put(plan.given, rows, rows, fresh, bound, keys, Used(250, 100, 4_000)) is True
    hold = books.Hold(plan, cost(1), keys, room, Moment(10**12, START * SECOND))
    assert books.settle(rows, fresh, hold, books.counted(Used(0, 0, 1)), hold.at) == Settled()
    held = [row.cells[op[1] + 4] for (_, _, rules), row in zip(plan.rows, rows.values(), strict=True)
            for op in rules.ops if op[0] == 2]  # fmt: skip
    used = [row.cells[op[1] + 3] for (_, _, rules), row in zip(plan.rows, rows.values(), strict=True)
            for op in rules.ops if op[0] == 2]  # fmt: skip
    assert (held, used) == ([0, 0], [4_001, 4_001])


def test_rows_are_looked_for_among_those_that_are_known_and_noted_where_they_change() -> None:
    plan = planned(usual())
    known = opened(plan)
    changed: dict[bytes, Row] = {}
    now = 10**12 + 5, START * SECOND + 5
    assert plan.take is not None
    assert plan.put is not None
    assert plan.take(plan.given, changed, known, fresh, cost(DOLLAR), *now) is None
    assert changed == {}
    taken = plan.take(plan.given, changed, known, fresh, cost(5), *now)
    assert taken is not None
    assert changed == known
    changed.clear()
    assert plan.put(plan.given, changed, known, fresh, cost(5), taken[0], Used(cost=6)) is None
    assert changed == {}
    assert plan.put(plan.given, changed, known, fresh, cost(5), taken[0], Used(cost=4))
    assert changed == known


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
    plan = planned(usual())
    rows = opened(plan)
    before = deepcopy(cells(rows))
    assert plan.take is not None
    assert plan.take(plan.given, rows, rows, fresh, bound, 10**12 + later, START * SECOND + wall_later) is None
    assert cells(rows) == before


def test_what_passes_its_bound_or_raises_an_alert_is_settled_by_the_loops() -> None:
    plan = planned((row(budget(1_000, alerts=(50,))),))
    rows = opened(plan)
    assert plan.take is not None
    assert plan.put is not None
    taken = plan.take(plan.given, rows, rows, fresh, cost(600), 10**12, START * SECOND)
    assert taken is not None
    before = deepcopy(cells(rows))
    assert plan.put(plan.given, rows, rows, fresh, cost(600), taken[0], Used(cost=601)) is None
    assert plan.put(plan.given, rows, rows, fresh, cost(600), taken[0], Used(cost=500)) is None
    assert plan.put(plan.given, rows, rows, fresh, cost(600), (taken[0][0] + 1,), Used(cost=1)) is None
    assert cells(rows) == before
    assert plan.put(plan.given, rows, rows, fresh, cost(600), taken[0], Used(cost=499)) is True


@pytest.mark.parametrize("rules", [(), (budget(1_000, rolling=True),), (limit(5), budget(1_000, rolling=True))])
def test_plans_without_rules_or_with_what_rolls_have_no_short_way(rules: tuple[Rule, ...]) -> None:
    assert straight(planned((row(*rules),)).rows) is None


def test_plans_of_one_shape_share_their_code_and_nothing_else() -> None:
    one, other = planned((row(budget(5), name="key:a"),)), planned((row(budget(7), name="key:b"),))
    assert one.take is not None
    assert other.take is not None
    assert (one.take, one.put) == (other.take, other.put)
    for plan, amount in ((one, 5), (other, 7)):
        rows = opened(plan)
        assert plan.take is not None
        taken = plan.take(plan.given, rows, rows, fresh, cost(2), 10**12, START * SECOND)
        assert taken is not None
        assert taken[1] == (amount - 3,)
