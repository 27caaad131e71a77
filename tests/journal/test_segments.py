"""What is written can be read: whole, while it is written, and with everything that can happen to a file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.examples import OWNER, entries, ids, record
from portico.journal import Event, Journal, Kind
from portico.journal.bodies import Damaged
from portico.journal.entries import decode_event, decode_record
from portico.journal.frames import HEADER, NotASegment, parse_header
from portico.journal.reader import Tally, bodies, call_ids, header, read, records_of
from portico.journal.segments import discard_reserve, reserve_of, segments


def written(directory: Path, count: int = 20, body: int = 0) -> Path:
    """Write a segment; return where it is."""
    journal = Journal(str(directory), OWNER)
    for number in range(count):
        journal.append(record(number), b"q" * body or None, b"a" * body or None)
        assert journal.flush()
    assert journal.close()
    (segment,) = segments(str(directory))
    return Path(segment.path)


def test_what_is_flushed_can_be_read(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER)
    said = [record(number, tags=("feature:search",), usage=None, error="x" * number) for number in range(50)]
    for each in said:
        journal.append(each)
    assert ids(tmp_path) == []
    assert journal.flush()
    assert [decode_record(entry.payload) for entry in entries(tmp_path)] == said


def test_a_segment_says_whose_it_is_and_in_which_life_of_the_machine_it_was_written(tmp_path: Path) -> None:
    found = header(str(written(tmp_path)))
    assert found.owner == OWNER
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER)
    seen: list[str] = []
    offset = 0
    for number in range(30):
        journal.append(record(number), b"body" * number)
        journal.flush()
        (segment,) = segments(str(tmp_path))
        for after, entry in read(segment.path, offset):
            offset = after
            seen.append(decode_record(entry.payload).id)
    assert seen == [record(number).id for number in range(30)]


def test_events_stand_beside_records(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER)
    event = Event("budget.passed", 5, {"row": "team:core", "percent": 80})
    journal.append(record(1))
    journal.note(event)
    journal.append_entry(77, event)
    journal.flush()
    found = entries(tmp_path)
    assert [entry.kind for entry in found] == [Kind.RECORD, Kind.EVENT, 77]
    assert decode_event(found[1].payload) == event


def test_bodies_are_found_by_segment_and_offset(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER, body_limit=1000)
    journal.append(record(1), b'{"model": "smart"}', None)
    journal.append(record(2))
    journal.append(record(3), b"", b"a" * 5000)
    journal.flush()
    (segment,) = segments(str(tmp_path))
    first, second, third = (bodies(segment.path, entry.start) for entry in entries(tmp_path))
    assert first is not None
    assert (first.request, first.reply) == (b'{"model": "smart"}', None)
    assert second is None
    assert third is not None
    assert third.request == b""
    assert third.reply == b"a" * 1000
    assert third.reply_size == 5000


def test_damaged_bodies_are_told_and_cost_no_record(tmp_path: Path) -> None:
    path = written(tmp_path, 3, body=4000)
    first = entries(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[first.end - 3] ^= 0xFF
    path.write_bytes(data)
    assert len(ids(tmp_path)) == 3
    with pytest.raises(Damaged):
        bodies(str(path), first.start)
    with pytest.raises(Damaged):
        bodies(str(path), first.start + 1)


def test_another_file_is_no_segment(tmp_path: Path) -> None:
    for content in (b"", b"short", b"x" * 500):
        path = tmp_path / f"{OWNER}-000001.seg"
        path.write_bytes(content)
        with pytest.raises(NotASegment):
            list(read(str(path)))
        assert call_ids(str(tmp_path), OWNER) == set()


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    from zlib import crc32

    data = bytearray(written(tmp_path, 1).read_bytes()[: HEADER.size])
    data[8] = 9
    data[-4:] = crc32(data[:-4]).to_bytes(4, "little")
    with pytest.raises(NotASegment, match="version 9"):
        parse_header(bytes(data))


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1), body=st.sampled_from([0, 700]))
def test_a_torn_tail_costs_what_was_torn(tmp_path_factory: pytest.TempPathFactory, cut: float, body: int) -> None:
    path = written(tmp_path_factory.mktemp("torn"), body=body)
    whole = [entry for _, entry in read(str(path))]
    size = HEADER.size + int(cut * (path.stat().st_size - HEADER.size))
    with path.open("r+b") as file:
        file.truncate(size)
    tally = Tally()
    left = [entry for _, entry in read(str(path), 0, tally)]
    assert left == [entry for entry in whole if entry.end <= size]
    assert tally.rest == size - (left[-1].end if left else HEADER.size)
    assert tally.damaged == 0


@settings(max_examples=100, deadline=None)
@given(
    hits=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(1, 255)), min_size=1, max_size=5),
    zeros=st.integers(0, 900),
    body=st.sampled_from([0, 700]),
)
def test_damage_costs_the_entries_that_it_touches_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, hits: list[tuple[float, int]], zeros: int, body: int
) -> None:
    path = written(tmp_path_factory.mktemp("damage"), body=body)
    whole = [entry for _, entry in read(str(path))]
    clean = path.read_bytes()
    data = bytearray(clean)
    for where, mask in hits:
        data[HEADER.size + int(where * (len(data) - HEADER.size))] ^= mask
    begin = HEADER.size + int(hits[0][0] * (len(data) - HEADER.size))
    data[begin : begin + zeros] = bytes(len(data[begin : begin + zeros]))
    path.write_bytes(data)
    tally = Tally()
    left = [entry for _, entry in read(str(path), 0, tally)]
    # bodies have a checksum of their own: damage there leaves the entry good
    touched = [
        entry
        for entry in whole
        if data[entry.start : entry.end - entry.body] != clean[entry.start : entry.end - entry.body]
    ]
    assert left == [entry for entry in whole if entry not in touched]
    assert tally.lost + tally.rest == sum(entry.end - entry.start for entry in touched)


def test_what_a_caller_sent_does_not_pass_for_an_entry(tmp_path: Path) -> None:
    forged = written(tmp_path / "other", 3).read_bytes()[HEADER.size :]
    journal = Journal(str(tmp_path / "own"), OWNER)
    journal.append(record(1), forged)
    journal.append(record(2))
    journal.flush()
    (segment,) = segments(str(tmp_path / "own"))
    path = Path(segment.path)
    data = bytearray(path.read_bytes())
    data[HEADER.size + 20] ^= 1
    path.write_bytes(data)
    assert ids(tmp_path / "own") == [record(2).id]


def test_segments_are_left_when_they_are_large_or_old(tmp_path: Path) -> None:
    now = [0.0]
    journal = Journal(str(tmp_path), OWNER, segment_bytes=2_000, segment_seconds=60, clock=lambda: now[0])
    for number in range(20):
        journal.append(record(number))
        journal.flush()
    large = segments(str(tmp_path))
    assert len(large) == 3
    assert all(Path(segment.path).stat().st_size <= 2_000 for segment in large)
    now[0] = 61
    journal.append(record(20))
    journal.flush()
    assert len(segments(str(tmp_path))) == len(large) + 1
    assert ids(tmp_path) == [record(number).id for number in range(21)]


def test_one_flush_may_be_larger_than_a_segment_and_than_one_write(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER, segment_bytes=2_000)
    for number in range(3_000):
        journal.append(record(number), b"x")
    assert journal.flush()
    assert ids(tmp_path) == [record(number).id for number in range(3_000)]


def test_a_dead_owners_calls_are_found_by_id(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER, segment_bytes=2_000)
    other = Journal(str(tmp_path), "another")
    other.append(record(99))
    other.flush()
    for number in range(6):
        journal.append(record(number))
        journal.flush()
    assert call_ids(str(tmp_path), OWNER) == {record(number).id for number in range(6)}
    assert records_of(str(tmp_path), OWNER, [record(4).id, record(99).id]) == {record(4).id: record(4)}
    assert records_of(str(tmp_path), OWNER, []) == {}


def test_an_idle_journal_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), OWNER)
    assert Path(reserve_of(str(tmp_path), OWNER)).exists()
    assert journal.flush()
    assert journal.close()
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_of_a_dead_owner_is_discarded(tmp_path: Path) -> None:
    Journal(str(tmp_path), OWNER)
    discard_reserve(str(tmp_path), OWNER)
    discard_reserve(str(tmp_path), OWNER)
    assert list(tmp_path.iterdir()) == []


def test_an_owner_that_comes_back_begins_a_new_segment(tmp_path: Path) -> None:
    for number in range(3):
        journal = Journal(str(tmp_path), OWNER)
        journal.append(record(number))
        journal.close()
    assert [segment.number for segment in segments(str(tmp_path))] == [1, 2, 3]
    assert ids(tmp_path) == [record(number).id for number in range(3)]


def test_records_without_bodies_load_no_compression(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = """
import sys
from portico.journal import Journal
Journal(sys.argv[1], "a").close()
print(sorted({name.partition(".")[0] for name in sys.modules} & {"zstandard", "sqlalchemy", "asyncio", "ssl"}))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
