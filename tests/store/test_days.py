"""Sums of many values at once are those that are kept of each."""

import pytest
from sqlalchemy import Engine

from portico.store import days, rollups
from portico.store.dimensions import BY_DAY, BY_HOUR, Dimension
from portico.store.retention import Keep, prune
from portico.store.sums import DAY
from store.filled import START_MS, fill, piece, some

START = START_MS // 1000 // DAY * DAY
END = START + 5 * DAY


@pytest.fixture
def full(engine: Engine) -> Engine:
    fill(engine, piece(some(600, seed=3, over_ms=4 * 86_400_000)))
    return engine


@pytest.mark.parametrize("dimension", ["team", "key", "tag", "model", "customer", None])
def test_each_value_has_its_own_sums(full: Engine, dimension: Dimension | None) -> None:
    with full.connect() as db:
        found = days.of_values(db, START, END, dimension)
        assert len({row.day for row in found}) == 5 or dimension == "customer"
        for row in found:
            own = rollups.total(db, row.day, row.day + DAY, dimension, row.value or None)
            assert row.amounts["cost_nano_usd"] == own["cost_nano_usd"]
            assert row.amounts["requests"] == own["requests"]
            assert row.amounts["input_tokens"] == own["input"] + own["cache_read"]
        some_of = sorted({row.value for row in found})[:2]
        few = days.of_values(db, START, END, dimension, some_of, daily=False) if dimension else found
        assert {row.value for row in few} == set(some_of) or dimension is None
        assert len(days.of_values(db, START, END, dimension, most=3)) == 3


SCOPES = [(scope, part) for by in (BY_HOUR, BY_DAY) for scope, every in by.items() for part in every if part != "arm"]


@pytest.mark.parametrize("pruned", [False, True], ids=["of now", "of long ago"])
def test_parts_of_many_are_the_parts_of_each(full: Engine, pruned: bool) -> None:
    if pruned:
        prune(full, Keep(calls=None, bodies=None), START + 200 * DAY)
    with full.connect() as db:
        for scope, part in SCOPES:
            every = days.parts(db, START, END, scope, None, part, daily=False)
            values = sorted({row.value for row in every})
            assert values, (scope, part)
            for value in values[:3]:
                mine = {row.part: row.amounts["cost_nano_usd"] for row in every if row.value == value}
                kept = rollups.broken_down(db, scope, value, part, START, END, limit=1000)
                assert mine == {share.value: share.amounts["cost_nano_usd"] for share in kept}, (scope, part)
            daily = days.parts(db, START, END, scope, values[:1], part)
            whole = sum(row.amounts["cost_nano_usd"] for row in every if row.value == values[0])
            assert {row.value for row in daily} == {values[0]}
            assert sum(row.amounts["cost_nano_usd"] for row in daily) == whole


def test_what_is_not_kept_is_said(full: Engine) -> None:
    with full.connect() as db, pytest.raises(KeyError):
        days.parts(db, START, END, "user", None, "key")
