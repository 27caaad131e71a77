"""Very many calls: every page and every chart is looked up, not searched for; ten million in the long form, timed."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from portico.store import calls, rollups
from portico.store.calls import Filter, page
from portico.store.engine import make_engine
from portico.store.rollups import Span
from portico.store.rows import first_seq
from portico.store.sums import DAY, HOUR, MINUTE
from portico.store.tables import FIRSTS, SUMS, TIMES
from store.many import DAYS, START, build

END = START + DAYS * DAY
EVERYTHING = (*SUMS, *TIMES, *FIRSTS)
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
    "a team by model": lambda db: rollups.broken_down(db, "team", "team-5", "model", START, END),
    "a team by key": lambda db: rollups.broken_down(db, "team", "team-5", "key", START, END),
    "a team by customer": lambda db: rollups.broken_down(db, "team", "team-5", "customer", START, END),
    "an org by key": lambda db: rollups.broken_down(db, "org", "org-0", "key", START, END),
    "an org by model": lambda db: rollups.broken_down(db, "org", "org-0", "model", START, END),
    "a key by model, over time": lambda db: rollups.broken_down_series(db, "key", "key-5", "model", START, END),
    "a model by target": lambda db: rollups.broken_down(db, "model", "model-5", "target", START, END),
}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = build(tmp_path_factory.mktemp("few") / "portico.db", 50_000)
    yield engine
    engine.dispose()


def plans(engine: Engine, ask: Callable[[Connection], Any]) -> list[str]:
    """Return how SQLite goes about what is asked."""
    said: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        said.append((statement, given))

    event.listen(engine, "before_cursor_execute", heard)
    try:
        with engine.connect() as connection:
            ask(connection)
    finally:
        event.remove(engine, "before_cursor_execute", heard)
    with engine.connect() as connection:
        return [
            row[3]
            for statement, given in said
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]


@pytest.mark.parametrize("case", PAGES)
def test_a_page_is_looked_up_in_the_order_in_which_it_is_shown(few: Engine, case: str) -> None:
    asked, before = PAGES[case]
    steps = plans(few, lambda db: page(db, asked, before))
    for step in steps:
        assert "TEMP B-TREE" not in step, steps
        # walking along all calls in their own order is bounded; see LOOK_AT
        assert not step.startswith("SCAN") or step == "SCAN calls", steps


@pytest.mark.parametrize("case", CHARTS)
def test_a_chart_reads_no_call_and_searches_for_no_sum(few: Engine, case: str) -> None:
    steps = plans(few, CHARTS[case])
    assert steps
    for step in steps:
        assert "calls" not in step
        assert not step.startswith("SCAN rollups"), steps
        assert not step.startswith("SCAN breakdowns"), steps


def test_sums_of_many_calls_agree_with_each_other(few: Engine) -> None:
    with few.connect() as connection:
        total = rollups.total(connection, START, END)
        keys = rollups.by(connection, "key", START, END, limit=10_000)
        teams = rollups.by(connection, "team", START, END)
        by_key = rollups.broken_down(connection, "team", "team-3", "key", START, END)
        found = page(connection, Filter(key="key-77"), limit=1_000)
    assert total["requests"] == 50_000
    assert total["cost_nano_usd"] == sum(share.amounts["cost_nano_usd"] for share in keys)
    team = next(share for share in teams if share.value == "team-3")
    assert team.amounts["cost_nano_usd"] == sum(share.amounts["cost_nano_usd"] for share in by_key)
    key = next(share for share in keys if share.value == "key-77")
    assert key.amounts["requests"] == len(found.calls)


def milliseconds(ask: Callable[[], Any]) -> float:
    """Return what one asking takes, in the middle of five."""
    taken = []
    for _ in range(5):
        gc.collect()
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1_000)
    return statistics.median(taken)


@pytest.mark.prove
@pytest.mark.timeout(3_600)
def test_with_ten_million_calls_every_page_and_chart_takes_less_than_a_tenth_of_a_second(tmp_path: Path) -> None:
    kept = os.environ.get("PORTICO_TEN_MILLION")  # a store that this test has made before
    engine = make_engine(f"sqlite:///{kept}") if kept else build(tmp_path / "portico.db", 10_000_000)
    slow: dict[str, float] = {}
    with engine.connect() as connection:
        for name, (asked, before) in PAGES.items():
            slow[f"page: {name}"] = milliseconds(lambda: page(connection, asked, before))  # noqa: B023  # called at once
        for name, chart in CHARTS.items():
            slow[f"chart: {name}"] = milliseconds(lambda: chart(connection))  # noqa: B023
    engine.dispose()
    for name, taken in slow.items():
        print(f"{taken:8.1f} ms  {name}")
    assert {name: taken for name, taken in slow.items() if taken >= 100} == {}
    assert calls.LOOK_AT == 10_000
