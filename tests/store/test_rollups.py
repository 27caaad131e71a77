"""Charts add up to the records they are of, over any range."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from portico.record import Record
from portico.store import rollups
from portico.store.histogram import BOUNDS, percentile, slot_of
from portico.store.rollups import Span, spans
from portico.store.sums import DAY, GRAINS, HOUR, MINUTE, MONTH, after, begin_of
from portico.store.tables import FIRSTS, SLOTS, SUMS, TIMES
from store.filled import START_MS, fill, piece, some, start_of

START = START_MS // 1000
RECORDS = some(600, seed=2, over_ms=3 * DAY * 1000)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    fill(engine, piece(RECORDS))
    return engine


def cost(matches: Callable[[Record], bool], start: int = 0, end: int = 1 << 40) -> int:
    return sum(
        each.cost_nano_usd or 0 for each in RECORDS if matches(each) and start * 1000 <= each.time_ms < end * 1000
    )


@given(start=st.integers(0, 99 * DAY), length=st.integers(0, 99 * DAY), finest=st.sampled_from(GRAINS))
def test_spans_cover_a_range_once_with_aligned_buckets(start: int, length: int, finest: int) -> None:
    covered = spans(start, start + length, finest)
    edges: Counter[int] = Counter()
    for span in covered:
        assert span.start < span.end
        assert start_of(span.grain, span.start) == span.start
        assert start_of(span.grain, span.end) == span.end
        edges[span.start] += span.sign
        edges[span.end] -= span.sign
    turns = [(at, by) for at, by in sorted(edges.items()) if by]
    first, last = start_of(finest, start), after(finest, start + length)
    assert turns == ([(first, 1), (last, -1)] if first < last else [])
    assert len(covered) <= 2 * len(GRAINS) - 1


@given(start=st.integers(0, 4_000 * DAY), length=st.integers(0, 800 * DAY))
def test_a_range_is_covered_with_few_buckets_of_each_grain(start: int, length: int) -> None:
    most = {MINUTE: 60, HOUR: 24, DAY: 31}
    for span in spans(start, start + length):
        if span.grain in most and length > 62 * DAY:
            assert (span.end - span.start) / span.grain <= most[span.grain] / 2


@given(second=st.integers(0, 1 << 33), grain=st.sampled_from(GRAINS))
def test_buckets_begin_where_a_calendar_says(second: int, grain: int) -> None:
    assert begin_of(grain, second) == start_of(grain, second)
    assert start_of(grain, after(grain, second)) == after(grain, second)
    assert after(grain, second) - second < (31 * DAY if grain == MONTH else grain)
    assert begin_of(grain, after(grain, second + 1) - 1) == begin_of(grain, second)


@pytest.mark.parametrize(
    ("start", "end"), [(0, 4 * DAY), (500, 90_000), (3_601, 3_700), (70_000, 200_000), (-90 * DAY, 80 * DAY)]
)
def test_a_total_is_that_of_its_records(filled: Engine, start: int, end: int) -> None:
    start, end = (START + start) // 60 * 60, (START + end) // 60 * 60
    with filled.connect() as connection:
        assert rollups.total(connection, start, end)["cost_nano_usd"] == cost(lambda each: True, start, end)
        of_team = rollups.total(connection, start, end, "team", "team-2")
        assert of_team["cost_nano_usd"] == cost(lambda each: each.team == "team-2", start, end)
        assert rollups.total(connection, start, end, "team", "nobody")["requests"] == 0


@pytest.mark.parametrize("grain", GRAINS)
def test_a_series_has_a_point_for_each_bucket_with_calls(filled: Engine, grain: int) -> None:
    span = Span(grain, 0, 1 << 40)
    with filled.connect() as connection:
        points = rollups.series(connection, span, "model", "fast")
        assert rollups.series(connection, span, "model", "no such model") == []
        everything = rollups.series(connection, span, measures=("requests",))
    times = [each.time_ms // 1000 for each in RECORDS if each.model == "fast"]
    assert [point.start for point in points] == sorted({start_of(grain, each) for each in times})
    assert sum(point.amounts["requests"] for point in points) == len(times)
    assert sum(point.amounts["requests"] for point in everything) == len(RECORDS)


def test_the_values_that_cost_most_come_first(filled: Engine) -> None:
    with filled.connect() as connection:
        shares = rollups.by(connection, "customer", START - HOUR, START + 4 * DAY, limit=4)
    customers = {each.customer for each in RECORDS if each.customer}
    wanted = sorted(customers, key=lambda name: -cost(lambda each: each.customer == name))[:4]
    assert [share.value for share in shares] == wanted
    assert shares[0].amounts["cost_nano_usd"] == cost(lambda each: each.customer == wanted[0])


@pytest.mark.parametrize(("start", "end"), [(0, 3 * DAY), (5 * HOUR, 50 * HOUR), (40 * HOUR, 41 * HOUR)])
def test_values_without_a_call_in_the_range_are_left_out(filled: Engine, start: int, end: int) -> None:
    start, end = begin_of(HOUR, START + start), begin_of(HOUR, START + end)
    among = [each for each in RECORDS if start * 1000 <= each.time_ms < end * 1000]
    with filled.connect() as connection:
        shares = rollups.by(connection, "key", start, end, limit=500)
    assert {share.value: share.amounts["requests"] for share in shares} == Counter(each.key for each in among)


def test_the_sides_of_a_split_are_told_apart(filled: Engine) -> None:
    with filled.connect() as connection:
        arms = rollups.by(connection, "arm", START - HOUR, START + 4 * DAY, (*SUMS, *TIMES))
        of_model = rollups.broken_down(connection, "model", "smart", "arm", START - HOUR, START + 4 * DAY)
    assert {share.value for share in arms} == {"the old prompt", "the new prompt"}
    for share in (*arms, *of_model):
        assert share.amounts["cost_nano_usd"] == cost(lambda each: each.arm == share.value)  # noqa: B023  # called at once
    assert len(of_model) == 2
    assert rollups.took(arms[0].amounts, 50) is not None


def test_calls_of_one_team_are_shown_by_others(filled: Engine) -> None:
    with filled.connect() as connection:
        by_model = rollups.broken_down(connection, "team", "team-1", "model", START - HOUR, START + 4 * DAY)
        by_key = rollups.broken_down(connection, "team", "team-1", "key", START - DAY, START + 4 * DAY)
        over_time = rollups.broken_down_series(connection, "team", "team-1", "model", START - HOUR, START + 4 * DAY)
        assert rollups.broken_down(connection, "team", "no such team", "key", START, START + DAY) == []
        assert rollups.broken_down_series(connection, "team", "no such team", "key", START, START + DAY) == {}
        with pytest.raises(KeyError, match="one model are not summed up by team"):
            rollups.broken_down(connection, "model", "fast", "team", START, START + DAY)
    for share in by_model:
        assert share.amounts["cost_nano_usd"] == cost(
            lambda each: each.team == "team-1" and each.model == share.value  # noqa: B023  # called at once
        )
    assert {share.value for share in by_key} == {each.key for each in RECORDS if each.team == "team-1"}
    assert {value: sum(point.amounts["requests"] for point in points) for value, points in over_time.items()} == {
        share.value: share.amounts["requests"] for share in by_model
    }


def test_percentiles_are_right_to_within_a_slot(filled: Engine) -> None:
    with filled.connect() as connection:
        amounts = rollups.total(connection, START - HOUR, START + 4 * DAY, measures=(*TIMES, *FIRSTS))
    whole = sorted(each.total_us for each in RECORDS)
    firsts = sorted(each.first_byte_us for each in RECORDS if each.first_byte_us is not None)
    for percent in (1, 50, 95, 99):
        for first, times in ((False, whole), (True, firsts)):
            found = rollups.took(amounts, percent, first)
            assert found is not None
            assert abs(slot_of(found) - slot_of(times[int(len(times) * percent / 100)])) <= 1


def test_percentiles_of_the_ends() -> None:
    assert percentile([0] * SLOTS, 50) is None
    assert percentile([*[0] * (SLOTS - 1), 5], 50) == BOUNDS[-1]
    assert percentile([4, *[0] * (SLOTS - 1)], 50) == BOUNDS[0] // 2
    assert slot_of(0) == 0
    assert slot_of(10**12) == SLOTS - 1
    assert [slot_of(bound) for bound in BOUNDS] == list(range(SLOTS - 1))


def test_grains_are_whole_multiples() -> None:
    assert (HOUR % MINUTE, DAY % HOUR) == (0, 0)
