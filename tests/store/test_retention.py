"""What is old goes, and nothing else."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, func, select

from portico.journal.entries import Event
from portico.store import carried, retention, rollups
from portico.store.carried import Amounts, Place
from portico.store.engine import writing
from portico.store.retention import Keep, prune, remove_segments
from portico.store.rows import seq_of
from portico.store.sums import DAY, HOUR, MINUTE
from portico.store.tables import breakdowns, call_tags, events, segments
from store.filled import START_MS, expected, fill, kept, piece, some, sums_of

START = START_MS // 1000
RECORDS = some(300, seed=8, over_ms=6 * DAY * 1000)
FOREVER = Keep(calls=None, bodies=None, minutes=None, hours=None, days=None, events=None)


def test_nothing_goes_that_is_kept_for_ever(engine: Engine) -> None:
    fill(engine, piece(RECORDS))
    assert prune(engine, FOREVER, START + 10_000 * DAY) == 0
    assert kept(engine) == {each.id: each for each in RECORDS}
    assert sums_of(engine) == expected(RECORDS)


def test_calls_go_with_their_tags_and_leave_their_sums(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 37)
    fill(engine, piece(RECORDS))
    now = START + 9 * DAY
    left = {each.id: each for each in RECORDS if each.time_ms >= (now - 5 * DAY) * 1000}
    assert 0 < len(left) < len(RECORDS)
    gone = prune(engine, Keep(calls=5 * DAY, minutes=None, hours=None), now)
    assert gone == len(RECORDS) - len(left)
    assert kept(engine) == left
    assert sums_of(engine) == expected(RECORDS)
    with engine.connect() as connection:
        seqs = set(connection.execute(select(call_tags.c.seq)).scalars())
    assert seqs == {seq_of(each.time_ms, each.id) for each in left.values() if each.tags}


def test_sums_go_by_their_grain(engine: Engine) -> None:
    fill(engine, piece(RECORDS))
    now = START + 6 * DAY
    keep = Keep(calls=None, minutes=1 * DAY, hours=2 * DAY, days=4 * DAY)
    prune(engine, keep, now)
    oldest = {MINUTE: now - DAY, HOUR: now - 2 * DAY, DAY: now - 4 * DAY}
    whole, parts = expected(RECORDS)
    folded = oldest[HOUR] // DAY * DAY
    wanted: dict[tuple[Any, ...], list[int]] = {}
    for key, sums in parts.items():
        if key[0] == HOUR and key[4] < folded:
            key = (DAY, *key[1:4], key[4] // DAY * DAY, key[5])  # the same sums, by the day
        if key[4] >= {**oldest, HOUR: folded}.get(key[0], 0):
            wanted[key] = [a + b for a, b in zip(wanted.get(key, [0] * len(sums)), sums, strict=True)]
    assert sums_of(engine) == (
        {key: sums for key, sums in whole.items() if key[2] >= oldest.get(key[0], 0)},
        wanted,
    )


def test_what_a_team_sums_up_to_is_told_by_model_however_long_ago_it_was(engine: Engine) -> None:
    fill(engine, piece(RECORDS))
    with engine.connect() as connection:
        before = rollups.broken_down(connection, "team", "team-1", "model", START - DAY, START + 7 * DAY)
    for now in (START + 103 * DAY, START + 104 * DAY, START + 400 * DAY):
        prune(engine, Keep(calls=None), now)
        fill(engine, piece([msgspec.structs.replace(RECORDS[0], id=f"late {now}")], f"{now}-000001.seg"))
    prune(engine, Keep(calls=None), START + 400 * DAY)
    with engine.connect() as connection:
        after = rollups.broken_down(connection, "team", "team-1", "model", START - DAY, START + 7 * DAY)
        late = 3 * (RECORDS[0].team == "team-1")
        assert sum(each.amounts["requests"] for each in after) == late + sum(
            each.amounts["requests"] for each in before
        )
        hours = select(func.count()).where(breakdowns.c.grain == HOUR)
        assert connection.execute(hours).scalar() == 0


def test_events_go(engine: Engine) -> None:
    fill(engine, piece([Event("old", 1_000), Event("young", 9_000_000)]))
    prune(engine, Keep(events=5_000), 10_000)
    with engine.connect() as connection:
        assert connection.execute(select(events.c.name)).scalars().all() == ["young"]


def test_segments_go_when_they_are_whole_and_their_bodies_too_old(engine: Engine, tmp_path: Path) -> None:
    old = [each for each in RECORDS if each.time_ms < START_MS + DAY * 1000]
    young = RECORDS[-5:]
    fill(
        engine,
        piece(old, "a-000001.seg", body=5, whole=True),
        piece(young, "a-000002.seg", body=5, whole=True),
        piece([], "b-000001.seg", whole=True),
        piece([], "c-000001.seg", whole=False),
        piece([], "d-000001.seg", whole=True),
    )
    for name in "abcd":
        (tmp_path / f"{name}-000001.seg").touch()
    (tmp_path / "a-000002.seg").touch()
    (tmp_path / "b.reserve").touch()
    now = START + 8 * DAY
    assert remove_segments(engine, str(tmp_path), FOREVER, now, {"d"}) == ["b-000001.seg"]
    assert remove_segments(engine, str(tmp_path), Keep(bodies=4 * DAY), now, {"d"}) == ["a-000001.seg"]
    left = sorted(path.name for path in tmp_path.iterdir() if "portico.db" not in path.name)
    assert left == ["a-000002.seg", "b.reserve", "c-000001.seg", "d-000001.seg"]
    # one that could not be removed goes the next time
    (tmp_path / "a-000001.seg").touch()
    assert remove_segments(engine, str(tmp_path), Keep(bodies=4 * DAY), now, {"d"}) == []
    assert not (tmp_path / "a-000001.seg").exists()
    with engine.connect() as connection:
        gone = select(func.count()).where(segments.c.removed.is_(True))
        assert connection.execute(gone).scalar() == 2


def test_what_calls_leave_behind_is_added_up_and_read_in_slices(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "AT_ONCE", 2)
    places = [Place(row, rule, day) for row in ("key:é", "team:a") for rule in ("x", "y") for day in (0, DAY, 2 * DAY)]
    for _ in range(2):
        with writing(engine).begin() as connection:
            carried.add(connection, {place: Amounts(1, 2, 3, 1 << 50) for place in places})
    with engine.connect() as connection:
        assert sorted(carried.every(connection)) == sorted((place, Amounts(2, 4, 6, 1 << 51)) for place in places)
    with writing(engine).begin() as connection:
        carried.drop(connection, "x", 2 * DAY)
        left = [place for place, _ in carried.every(connection)]
    assert sorted(left) == sorted(place for place in places if (place.rule, place.day) != ("x", DAY))
