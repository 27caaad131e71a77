"""Very many calls: every page and every chart is looked up, not searched for; ten million in the long form, timed."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from msgspec import structs
from sqlalchemy import Connection, Engine, event

from portico.control.observed import MEASURES
from portico.store import calls, rollups
from portico.store.calls import Filter, page
from portico.store.engine import make_engine
from portico.store.migrate import upgrade
from portico.store.rollups import Span
from portico.store.rows import first_seq
from portico.store.sums import DAY, HOUR, MINUTE, MONTH
from portico.store.tables import FIRSTS, SUMS, TIMES
from store.many import DAYS, START, build

END = START + DAYS * DAY
EVERYTHING = (*SUMS, *TIMES, *FIRSTS)
ASKED = MEASURES
"""What the admin API asks for."""
MIDDLE = first_seq((START + 15 * DAY) * 1000)

PAGES: dict[str, tuple[Filter, int | None]] = {
    "the newest": (Filter(), None),
    "from the middle on": (Filter(), MIDDLE),
    "a key": (Filter(key="key-77"), None),
    "a team, from the middle on": (Filter(team="team-7"), MIDDLE),
    "a customer": (Filter(customer="customer-1999"), None),
    "a user and a model": (Filter(user="user-500", model="model-3"), None),
    "a team, a model and what went wrong": (Filter(team="team-7", model="model-3", status_class=5), None),
    "a model and a target that never meet": (Filter(model="model-3", target="target-4", end="cut"), None),
    "an arm": (Filter(arm="arm-1"), None),
    "an arm of a model, from the middle on": (Filter(arm="arm-1", model="model-1"), MIDDLE),
    "an arm of a model that is not split": (Filter(arm="arm-1", model="model-9"), None),
    "a tag": (Filter(tag="tag-3"), None),
    "a tag and a key": (Filter(tag="tag-3", key="key-9"), MIDDLE),
    "a session": (Filter(session="session-44"), None),
    "what was refused": (Filter(status_class=4), None),
    "an end that there is not": (Filter(end="no such end"), None),
    "what nobody paid": (Filter(least_cost=10**12), MIDDLE),
    "one provider's slow streams": (Filter(provider="provider-1", stream=True, least_us=59_000_000), None),
    "one hour, of one org": (
        Filter(org="org-0", since_ms=(START + 9 * DAY) * 1000, until_ms=(START + 9 * DAY + HOUR) * 1000),
        None,
    ),
}

EACH: dict[str, Filter] = {
    "org": Filter(org="org-0"),
    "team": Filter(team="team-7"),
    "user": Filter(user="user-57"),
    "key": Filter(key="key-57"),
    "customer": Filter(customer="customer-281"),
    "model": Filter(model="model-1"),
    "target": Filter(target="target-4"),
    "provider": Filter(provider="provider-1"),
    "operation": Filter(operation="operation-1"),
    "jobs_of": Filter(jobs_of="operation-1"),
    "arm": Filter(arm="arm-1"),
    "tag": Filter(tag="tag-3"),
    "session": Filter(session="session-44"),
    "status": Filter(status=500),
    "status_class": Filter(status_class=4),
    "stream": Filter(stream=True),
    "end": Filter(end="failed"),
    "basis": Filter(basis="none"),
    "pricing": Filter(pricing="table"),
    "error": Filter(error="overloaded"),
    "bodies": Filter(bodies=True),
    "least_cost": Filter(least_cost=8_999_000),
    "least_us": Filter(least_us=59_990_000),
    "since_ms": Filter(since_ms=(START + 20 * DAY) * 1000),
    "until_ms": Filter(until_ms=(START + 11 * DAY) * 1000),
}
"""A filter by each that there is: pages are asked for by each pair of them, from the newest on and far down."""


def pairs() -> Iterator[tuple[str, Filter, int | None]]:
    """Yield each pair of filters, from the newest on, from the middle on, and near the end."""
    for one, other in combinations(EACH, 2):
        both = structs.replace(EACH[one], **{other: getattr(EACH[other], other)})
        for where, before in (("first", None), ("middle", MIDDLE), ("last", first_seq((START + 2 * HOUR) * 1000))):
            yield f"{one} and {other}, {where}", both, before


FEW = 12_000
LONG_AGO = START - 330 * DAY
"""A year before the end, in the middle of a month."""

Chart = Callable[[Connection], Any]
CHARTS: dict[str, Chart] = {
    "all, in total": lambda db: rollups.total(db, START, END, measures=EVERYTHING),
    "all, an odd range": lambda db: rollups.total(db, START + 2 * DAY + 4_321, END - 5 * HOUR, measures=EVERYTHING),
    "all, day by day": lambda db: rollups.series(db, Span(DAY, START, END), measures=EVERYTHING),
    "all, hour by hour": lambda db: rollups.series(db, Span(HOUR, START, END), measures=EVERYTHING),
    "all, the last day by the minute": lambda db: rollups.series(db, Span(MINUTE, END - DAY, END), measures=EVERYTHING),
    "a key, hour by hour": lambda db: rollups.series(db, Span(HOUR, START, END), "key", "key-42", EVERYTHING),
    "a model, hour by hour": lambda db: rollups.series(db, Span(HOUR, START, END), "model", "model-4", EVERYTHING),
    "a team, in total": lambda db: rollups.total(db, START, END, "team", "team-3", EVERYTHING),
    "the dearest keys of the month": lambda db: rollups.by(db, "key", START, END),
    "the dearest customers of the month": lambda db: rollups.by(db, "customer", START, END),
    "the dearest users of a week": lambda db: rollups.by(db, "user", END - 7 * DAY - 5 * HOUR, END - 5 * HOUR),
    "the keys of the last hours": lambda db: rollups.by(db, "key", END - 6 * HOUR, END, largest="requests"),
    "models, all they sum up to": lambda db: rollups.by(db, "model", START, END, EVERYTHING),
    "all of a year, month by month": lambda db: rollups.series(db, Span(MONTH, LONG_AGO, END), measures=EVERYTHING),
    "all of a year, day by day": lambda db: rollups.series(db, Span(DAY, LONG_AGO, END), measures=EVERYTHING),
    "a key of a year, day by day": lambda db: rollups.series(db, Span(DAY, LONG_AGO, END), "key", "key-3", EVERYTHING),
    "all of a year, at an odd time": lambda db: rollups.total(db, LONG_AGO + 4_321, END - 30_011, measures=EVERYTHING),
    "the dearest keys of a year": lambda db: rollups.by(db, "key", LONG_AGO, END, ASKED, limit=500),
    "the dearest keys of a year, from noon to noon": lambda db: rollups.by(
        db, "key", LONG_AGO + 12 * HOUR, END - 12 * HOUR, ASKED
    ),
    "the dearest keys of whole months less half of two": lambda db: rollups.by(
        db, "key", LONG_AGO - LONG_AGO % DAY + 8 * DAY, END - 18 * DAY, ASKED
    ),
    "the dearest keys of thirty days from noon to noon": lambda db: rollups.by(
        db, "key", END - 30 * DAY - 12 * HOUR, END - 12 * HOUR, ASKED
    ),
    "the dearest customers of a year": lambda db: rollups.by(db, "customer", LONG_AGO, END, ASKED),
    "the teams of a year": lambda db: rollups.by(db, "team", LONG_AGO, END, ASKED),
    "the sides of all splits": lambda db: rollups.by(db, "arm", START, END, EVERYTHING),
    "a side of a split, hour by hour": lambda db: rollups.series(
        db, Span(HOUR, START, END), "arm", "arm-0", EVERYTHING
    ),
    "a model by the sides of its split": lambda db: rollups.broken_down(db, "model", "model-1", "arm", START, END),
    "a team of a year by key": lambda db: rollups.broken_down(db, "team", "team-5", "key", LONG_AGO, END),
    "a team of a year by customer": lambda db: rollups.broken_down(db, "team", "team-5", "customer", LONG_AGO, END),
    "a team of a year by model": lambda db: rollups.broken_down(db, "team", "team-5", "model", LONG_AGO, END),
    "an org of a year by key": lambda db: rollups.broken_down(db, "org", "org-0", "key", LONG_AGO, END),
    "a team by model": lambda db: rollups.broken_down(db, "team", "team-5", "model", START, END),
    "a team by key": lambda db: rollups.broken_down(db, "team", "team-5", "key", START, END),
    "a team by customer": lambda db: rollups.broken_down(db, "team", "team-5", "customer", START, END),
    "an org by key": lambda db: rollups.broken_down(db, "org", "org-0", "key", START, END),
    "an org by model": lambda db: rollups.broken_down(db, "org", "org-0", "model", START, END),
    "a key by model, over time": lambda db: rollups.broken_down_series(db, "key", "key-5", "model", START, END),
    "a model by target": lambda db: rollups.broken_down(db, "model", "model-5", "target", START, END),
}


ONE_VALUE = [case for case in CHARTS if case.startswith(("a key,", "a key of", "a model,", "a team, in", "a side"))]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = build(tmp_path_factory.mktemp("few") / "portico.db", FEW)
    yield engine
    engine.dispose()


def statements(engine: Engine, ask: Callable[[Connection], Any]) -> list[tuple[str, Any]]:
    """Return the queries that are made for what is asked, with what is bound to them."""
    said: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            said.append((statement, given))

    event.listen(engine, "before_cursor_execute", heard)
    try:
        with engine.connect() as connection:
            ask(connection)
    finally:
        event.remove(engine, "before_cursor_execute", heard)
    return said


def plans(engine: Engine, ask: Callable[[Connection], Any]) -> list[str]:
    """Return how SQLite goes about what is asked."""
    said = statements(engine, ask)
    with engine.connect() as connection:
        return [
            row[3]
            for statement, given in said
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]


@pytest.mark.parametrize("case", PAGES)
def test_a_page_is_looked_up_in_the_order_in_which_it_is_shown(few: Engine, case: str) -> None:
    asked, before = PAGES[case]
    steps = plans(few, lambda db: page(db, asked, before))
    assert steps
    for step in steps:
        assert "TEMP B-TREE" not in step, steps
        # walking along all calls in their own order is bounded; see LOOK_AT
        assert not step.startswith("SCAN") or step == "SCAN calls", steps


def test_every_pair_of_filters_is_looked_up_in_the_order_in_which_it_is_shown(few: Engine) -> None:
    assert set(EACH) == set(Filter.__struct_fields__)
    walked = 0
    for case, asked, before in pairs():
        for step in plans(few, lambda db: page(db, asked, before)):  # noqa: B023  # called at once
            assert "TEMP B-TREE" not in step, case
            assert not step.startswith("SCAN") or step == "SCAN calls", case
            walked += step == "SCAN calls"
        for statement, _ in statements(few, lambda db: page(db, asked, before)):  # noqa: B023
            # of two bounds SQLite looks up one, and walks all the way to the other
            assert statement.count(".seq >= ?") <= 1, case
            assert statement.count(".seq < ?") <= 1, case
    assert walked, "no pair has to walk along all calls: then say so"


def test_pages_by_every_pair_of_filters_have_what_matches_both(few: Engine) -> None:
    by_one = {}
    with few.connect() as connection:
        for name, asked in EACH.items():
            by_one[name] = {found.seq for chunk in calls.each(few, asked) for found in chunk}
        for one, other in combinations(EACH, 2):
            both = structs.replace(EACH[one], **{other: getattr(EACH[other], other)})
            found: list[int] = []
            before = None
            while True:
                got = page(connection, both, before, 500)
                found += [call.seq for call in got.calls]
                before = got.next
                if before is None or len(found) > 2_000:
                    break
            wanted = sorted(by_one[one] & by_one[other], reverse=True)
            assert found == wanted[: len(found)], (one, other)
            assert before is not None or len(found) == len(wanted), (one, other)


@pytest.mark.parametrize("case", CHARTS)
def test_a_chart_reads_no_call_and_searches_for_no_sum(few: Engine, case: str) -> None:
    steps = plans(few, CHARTS[case])
    assert steps
    for step in steps:
        assert "calls" not in step
        assert not step.startswith("SCAN rollups"), steps
        assert not step.startswith("SCAN breakdowns"), steps
        if "rollups" in step:
            # all columns of a key: nothing is walked along but the buckets that are asked for
            ends = "(dimension=? AND value=? AND grain=? AND bucket>? AND bucket<?)"
            assert step.endswith((ends, "(grain=? AND dimension=? AND bucket>? AND bucket<?)")), steps
            assert step.endswith(ends) or case not in ONE_VALUE, steps


def test_sums_of_many_calls_agree_with_each_other(few: Engine) -> None:
    with few.connect() as connection:
        total = rollups.total(connection, START, END)
        keys = rollups.by(connection, "key", START, END, limit=10_000)
        teams = rollups.by(connection, "team", START, END)
        by_key = rollups.broken_down(connection, "team", "team-3", "key", START, END)
        found = page(connection, Filter(key="key-77"), limit=1_000)
    assert total["requests"] == FEW
    assert total["cost_nano_usd"] == sum(share.amounts["cost_nano_usd"] for share in keys)
    team = next(share for share in teams if share.value == "team-3")
    assert team.amounts["cost_nano_usd"] == sum(share.amounts["cost_nano_usd"] for share in by_key)
    key = next(share for share in keys if share.value == "key-77")
    assert key.amounts["requests"] == len(found.calls)


class Took(NamedTuple):
    """What an asking takes, in milliseconds: of a core at least, and of the clock, in the middle of several."""

    core: float
    clock: float

    @classmethod
    def by(cls, ask: Callable[[], Any], times: int = 5) -> Self:
        core, clock = [], []
        for _ in range(times):
            began, worked = time.perf_counter(), time.thread_time()
            ask()
            core.append((time.thread_time() - worked) * 1_000)
            clock.append((time.perf_counter() - began) * 1_000)
        return cls(min(core), statistics.median(clock))


@pytest.mark.prove
@pytest.mark.timeout(3_600)
def test_with_ten_million_calls_every_page_and_chart_takes_less_than_a_tenth_of_a_second(tmp_path: Path) -> None:
    """By the least of the core's time, as others take of the clock what they like, and of the core's caches; with
    nothing else to do, all are the same."""
    kept = os.environ.get("PORTICO_TEN_MILLION")  # a store that this test has made before
    began = time.perf_counter()
    engine = make_engine(f"sqlite:///{kept}") if kept else build(tmp_path / "portico.db", 10_000_000)
    upgrade(engine)
    print(f"\n{time.perf_counter() - began:.0f} s to make it; load {os.getloadavg()[0]:.1f}")
    gc.collect()
    gc.disable()  # what was collected so far is not the queries'
    took: dict[str, Took] = {}
    with engine.connect() as connection:
        for name, (asked, before) in PAGES.items():
            took[f"page: {name}"] = Took.by(lambda: page(connection, asked, before))  # noqa: B023  # called at once
        for name, asked, before in pairs():
            took[f"page: {name}"] = Took.by(lambda: page(connection, asked, before), 3)  # noqa: B023
        for name, chart in CHARTS.items():
            took[f"chart: {name}"] = Took.by(lambda: chart(connection))  # noqa: B023
    gc.enable()
    engine.dispose()
    if not kept:
        (tmp_path / "portico.db").unlink()  # eleven gigabytes
    for name, one in took.items():
        print(f"{one.core:8.1f} ms of a core {one.clock:8.1f} ms  {name}")
    assert {name: one for name, one in took.items() if one.core >= 100} == {}
    assert calls.LOOK_AT == 10_000
