"""What is applied is in the store once, with the sums that belong to it, whatever comes twice, late or cut off."""

import random

import msgspec
import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import DBAPIError

from portico.journal.entries import Entry, Event
from portico.record import Record
from portico.store import ingest
from portico.store import rollups as charts
from portico.store.dimensions import Names
from portico.store.engine import writing
from portico.store.ingest import Moved, Piece, apply
from portico.store.rows import seq_of
from portico.store.tables import call_tags, calls, events, segments
from portico.types import Usage
from store.filled import START_MS, expected, fill, kept, piece, some, sums_of


def agrees(engine: Engine, records: list[Record]) -> None:
    assert kept(engine) == {record.id: record for record in records}
    assert sums_of(engine) == expected(records)
    with engine.connect() as connection:
        tags = connection.execute(select(func.count()).select_from(call_tags)).scalar_one()
    assert tags == sum(len(record.tags) for record in records)


def cut_off(engine: Engine, names: Names, pieces: list[Piece]) -> None:
    """Apply pieces, and lose the transaction."""
    with writing(engine).connect() as connection:
        apply(connection, names, pieces)
        connection.rollback()
    names.rolled_back()


def test_records_become_rows_and_sums(engine: Engine) -> None:
    records = some(300)
    counts = fill(engine, piece(records[:200]), piece(records[200:], "b-000001.seg"))
    assert counts.calls == 300
    agrees(engine, records)


def test_sums_add_up_over_transactions(engine: Engine) -> None:
    records = some(120)
    begin = 0
    names = Names()
    for at in range(0, 120, 17):
        part = piece(records[at : at + 17], begin=begin)
        fill(engine, part, names_=names)
        begin = part.end
    agrees(engine, records)


def test_a_piece_that_was_applied_already_is_refused(engine: Engine) -> None:
    records = some(10)
    first = piece(records)
    fill(engine, first)
    with pytest.raises(Moved):
        fill(engine, first)
    with pytest.raises(Moved):
        fill(engine, piece(some(3, 9), begin=first.end + 1))
    agrees(engine, records)


def test_a_call_that_comes_twice_counts_once(engine: Engine) -> None:
    records = some(40)
    fill(engine, piece(records[:30] + records[10:20]))
    counts = fill(engine, piece(records[20:], "b-000001.seg"))
    assert (counts.calls, counts.repeated) == (10, 10)
    agrees(engine, records)


def test_what_was_assumed_gives_way_to_what_is_known_however_late(engine: Engine) -> None:
    records = some(60)
    assumed = [
        msgspec.structs.replace(
            record, basis="assumed", end="aborted", cost_nano_usd=9 * 10**8, status=500, usage=None,
            time_ms=record.time_ms - 3_700_000, tags=("env:old",), customer="someone else",
        )
        for record in records[:20]
    ]  # fmt: skip
    fill(engine, piece(assumed, "dead-000001.seg"))
    agrees(engine, assumed)
    counts = fill(engine, piece(records))
    assert (counts.calls, counts.replaced) == (60, 20)
    agrees(engine, records)
    # and never the other way round
    counts = fill(engine, piece(assumed, "dead-000002.seg"))
    assert (counts.calls, counts.repeated) == (0, 20)
    agrees(engine, records)


def test_what_was_assumed_gives_way_within_one_transaction_too(engine: Engine) -> None:
    record, other = some(2)
    assumed = msgspec.structs.replace(record, basis="assumed", cost_nano_usd=1)
    fill(engine, piece([assumed, other, record, assumed]))
    agrees(engine, [record, other])


def test_nothing_stays_of_a_transaction_that_is_rolled_back(engine: Engine) -> None:
    records = some(50)
    names = Names()
    cut_off(engine, names, [piece(records)])
    assert kept(engine) == {}
    fill(engine, piece(records), names_=names)
    agrees(engine, records)


def test_calls_of_one_millisecond_that_chance_puts_in_one_place_are_all_kept(engine: Engine) -> None:
    chance = random.Random(3)
    (record,) = some(1)
    by_seq: dict[int, str] = {}
    pair: list[str] = []
    while not pair:
        id_ = f"{chance.getrandbits(64):x}"
        seq = seq_of(START_MS, id_)
        if seq in by_seq:
            pair = [by_seq[seq], id_]
        by_seq[seq] = id_
    following = next(
        id_
        for id_ in (f"{chance.getrandbits(64):x}" for _ in range(50_000_000))
        if seq_of(START_MS, id_) == seq_of(START_MS, pair[0]) + 1
    )
    same = [msgspec.structs.replace(record, id=id_, time_ms=START_MS) for id_ in (*pair, following)]
    fill(engine, piece([same[0], same[2]]))
    fill(engine, piece([same[1]], "b-000001.seg"))
    agrees(engine, same)
    with engine.connect() as connection:
        assert len(set(connection.execute(select(calls.c.seq)).scalars())) == 3


def test_what_no_database_would_take_is_kept_all_the_same(engine: Engine) -> None:
    (record,) = some(1)
    odd = msgspec.structs.replace(
        record,
        customer="nul\0and " + "long" * 500,
        model="\N{SNOWMAN}",
        user="",
        tags=("same", "same"),
        error="\0",
        usage=Usage(input=2**63, output=-5),
        cost_nano_usd=2**63,
        total_us=-1,
        status=-1,
    )
    fill(engine, piece([odd]))
    assert kept(engine) == {odd.id: odd}
    with engine.connect() as connection:
        amounts = charts.total(connection, START_MS // 1000 - 60, START_MS // 1000 + 60)
    assert amounts["requests"] == 1
    assert amounts["output"] == 0


def test_events_are_kept_in_order(engine: Engine) -> None:
    said = [Event("budget.passed", 5, {"row": "team:core", "percent": each}) for each in (50, 80)]
    counts = fill(engine, piece([*said, *some(2)]))
    assert (counts.events, counts.calls) == (2, 2)
    with engine.connect() as connection:
        rows = connection.execute(select(events).order_by(events.c.id)).all()
    assert [(row.name, row.time_ms, msgspec.json.decode(row.about)) for row in rows] == [
        (event.name, 5, event.about) for event in said
    ]


def test_entries_that_cannot_be_read_are_counted_and_passed_over(engine: Engine) -> None:
    records = some(3)
    good = piece(records)
    broken = Entry(1, b"\x81\xa2id", good.end, good.end + 40, 0)
    newer = Entry(99, b"\xc0", good.end + 40, good.end + 60, 0)
    good.entries = [*good.entries, broken, newer]
    good.end += 60
    good.damaged, good.lost = 1, 7
    assert fill(engine, good).unreadable == 1
    agrees(engine, records)
    with engine.connect() as connection:
        row = connection.execute(select(segments)).one()
    assert (row.done_to, row.damaged, row.lost) == (good.end, 2, 47)


def test_a_segment_says_how_many_bodies_it_has_and_how_young_they_are(engine: Engine) -> None:
    records = some(10)
    first = piece(records[:6], body=100)
    fill(engine, first)
    fill(engine, piece(records[6:], begin=first.end, whole=True))
    with engine.connect() as connection:
        row = connection.execute(select(segments)).one()
    assert (row.bodies, row.last_ms, row.whole) == (6, records[-1].time_ms, True)
    assert row.owner == "a"


def test_a_row_that_cannot_be_read_costs_no_record_of_the_part_that_meets_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "PART", 2)
    records = some(4)
    fill(engine, piece(records[:1]))
    with writing(engine).begin() as connection:
        connection.execute(update(calls).values(record=b"\xc1"))
    with pytest.raises(msgspec.MsgspecError), writing(engine).begin() as connection:
        apply(connection, Names(), [piece(records, "b-000001.seg")])
    with engine.connect() as connection:
        assert connection.execute(select(calls.c.id)).scalars().all() == [records[0].id]
        assert connection.execute(select(func.count()).select_from(segments)).scalar_one() == 1


@pytest.mark.parametrize("part", [1, 3, ingest.PART])
@pytest.mark.parametrize("seed", range(4))
def test_any_order_and_any_repetition_ends_in_the_same_store(
    engine: Engine, seed: int, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "PART", part)
    chance = random.Random(seed)
    records = some(80, seed)
    entries = list(records)
    entries += [msgspec.structs.replace(each, basis="assumed", cost_nano_usd=5) for each in chance.sample(records, 30)]
    entries += chance.sample(records, 30)
    chance.shuffle(entries)
    names = Names()
    at = {"a": 0, "b": 0}
    while entries:
        pieces = []
        for owner in chance.sample(sorted(at), chance.randrange(1, 3)):
            size = chance.randrange(1, 25)
            read = piece(entries[:size], f"{owner}-000001.seg", at[owner])
            del entries[:size]
            pieces.append(read)
        if chance.random() < 0.3:
            cut_off(engine, names, pieces)
        fill(engine, *pieces, names_=names)
        at.update((read.owner, read.end) for read in pieces)
    agrees(engine, records)


def test_no_value_of_a_record_stands_in_an_error(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT * FROM no_such_table WHERE a = :a"), {"a": "a private value"})
    assert "a private value" not in str(failed.value)
