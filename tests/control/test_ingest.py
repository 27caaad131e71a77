"""The journal comes into the store exactly once: while it is written, through restarts, and whatever the store does."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from journal.examples import record
from portico.control import ingest as module
from portico.control.ingest import AT_ONCE, FEW, PATIENCE, YIELD_AT_MOST, Ingest, as_many, stand_back
from portico.journal import Event, Journal
from portico.journal.segments import segments
from portico.record import Record
from portico.store.engine import make_engine
from portico.store.retention import Keep
from portico.store.tables import events
from portico.store.tables import segments as known
from postgresql import Cluster
from postgresql import postgres as postgres
from store.filled import expected, kept, some, sums_of

OWNER = "00c0ffee00c0ffee"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/portico.db"
    cluster = request.getfixturevalue("postgres")
    made: str = cluster.migrated()
    return made


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let go of the stores that a test has opened."""
    made: list[Ingest] = []
    initialise = Ingest.__init__

    def remembered(self: Ingest, *given: Any, **named: Any) -> None:
        made.append(self)
        initialise(self, *given, **named)

    monkeypatch.setattr(Ingest, "__init__", remembered)
    yield
    for each in made:
        each.stop()


def journal(data_dir: Path, owner: str = OWNER, **options: Any) -> Journal:
    """Return the journal of an owner that holds its lock file."""
    owners = data_dir / "state" / "owners"
    owners.mkdir(parents=True, exist_ok=True)
    (owners / owner).touch()
    return Journal(str(data_dir / "journal"), owner, **options)


def cleared_up(data_dir: Path, owner: str = OWNER) -> None:
    """Say that an owner is gone, and that recovery is done with it."""
    (data_dir / "state" / "owners" / owner).unlink()


def much_later() -> float:
    import time

    return time.time() + 1_000


def drain(reading: Ingest) -> None:
    while reading.turn():
        pass


def in_store(url: str) -> dict[str, Record]:
    engine = make_engine(url)
    try:
        return kept(engine)
    finally:
        engine.dispose()


def agrees(url: str, records: list[Record]) -> None:
    engine = make_engine(url)
    try:
        assert kept(engine) == {each.id: each for each in records}
        assert sums_of(engine) == expected(records)
    finally:
        engine.dispose()


def rows(url: str) -> list[Any]:
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return list(connection.execute(select(known).order_by(known.c.name)).all())
    finally:
        engine.dispose()


def test_what_is_journaled_comes_into_the_store(tmp_path: Path, url: str) -> None:
    reading = Ingest(tmp_path, url)
    records = some(300)
    first, second = journal(tmp_path), journal(tmp_path, "other", segment_bytes=20_000)
    for at in range(0, 300, 10):
        for each in records[at : at + 10]:
            (first if at % 20 else second).append(each, b"body" if at % 30 else None)
        first.note(Event("budget.passed", at))
        assert first.flush()
        assert second.flush()
        drain(reading)
        assert in_store(url) == {each.id: each for each in records[: at + 10]}
    agrees(url, records)
    assert reading.lag.size == 0
    engine = make_engine(url)
    with engine.connect() as connection:
        assert len(connection.execute(select(events)).all()) == 30
    engine.dispose()


def test_at_rest_nothing_of_the_store_is_loaded(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from portico.control.ingest import PATIENCE, YIELD_AT_MOST, Ingest, stand_back
reading = Ingest(Path(sys.argv[1]))
assert reading.turn() is False
print(sorted({name.partition(".")[0] for name in sys.modules} & {"sqlalchemy", "alembic", "sqlite3", "zstandard"}))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_the_journal_reads_it_too_unless_another_is_at_it(tmp_path: Path) -> None:
    reading = Ingest(tmp_path)
    records = some(3)
    writer = journal(tmp_path)
    for each in records:
        writer.append(each)
    assert writer.close()
    began = reading.now()
    with reading._turning:
        reading.help()
    assert not reading.reads_since(began)
    reading.help()
    assert reading.reads_since(began)
    agrees(f"sqlite:///{tmp_path}/portico.db", records)
    reading.stop()
    later = reading.now()
    reading.help()
    assert not reading.reads_since(later), "it has stopped"


def test_another_start_goes_on_where_the_last_one_was(tmp_path: Path, url: str) -> None:
    records = some(90)
    writing = journal(tmp_path, segment_bytes=9_000)
    for at in range(0, 90, 15):
        for each in records[at : at + 15]:
            writing.append(each)
        writing.flush()
        drain(Ingest(tmp_path, url))
    agrees(url, records)


def test_more_than_one_transaction_takes_is_read_in_several(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAREFUL", (7, 2, 1))
    records = some(100)
    for owner in "abc":
        writing = journal(tmp_path, owner)
        for each in records[ord(owner) - 97 :: 3]:
            writing.append(each)
        writing.flush()
    reading = Ingest(tmp_path, url)
    assert reading.turn()
    assert 0 < len(in_store(url)) <= 7
    assert reading.lag.size > 0
    drain(reading)
    agrees(url, records)


def test_a_segment_is_whole_once_it_has_a_successor_or_its_owner_is_cleared_up(tmp_path: Path, url: str) -> None:
    writing = journal(tmp_path, segment_bytes=2_000)
    for number in range(10):
        writing.append(record(number))
        writing.flush()
    reading = Ingest(tmp_path, url, wall=much_later)
    drain(reading)
    assert [row.whole for row in rows(url)] == [True, False]
    cleared_up(tmp_path)
    drain(reading)
    assert [row.whole for row in rows(url)] == [True, True]
    assert [row.lost for row in rows(url)] == [0, 0]


def test_a_torn_tail_is_counted_once_its_owner_is_gone(tmp_path: Path, url: str) -> None:
    writing = journal(tmp_path)
    for number in range(10):
        writing.append(record(number))
    writing.flush()
    (segment,) = segments(str(tmp_path / "journal"))
    path = Path(segment.path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 20)
    reading = Ingest(tmp_path, url, wall=much_later)
    drain(reading)
    assert len(in_store(url)) == 9
    assert rows(url)[0].lost == 0
    cleared_up(tmp_path)
    drain(reading)
    drain(reading)
    (row,) = rows(url)
    assert (row.damaged, row.whole) == (1, True)
    assert row.lost > 0
    assert len(in_store(url)) == 9


def test_a_reserve_that_was_not_filled_is_not_torn(tmp_path: Path, url: str) -> None:
    writing = journal(tmp_path, reserve_bytes=50_000)
    writing._take_reserve()
    writing._look_at = float("inf")  # it does not see that there is room
    for number in range(10):
        writing.append(record(number))
        writing.flush()
    cleared_up(tmp_path)
    drain(Ingest(tmp_path, url, wall=much_later))
    assert len(in_store(url)) == 10
    (row,) = rows(url)
    assert (row.damaged, row.lost, row.whole) == (0, 0, True)


def test_a_segment_without_a_header_is_lost_and_stops_nothing(tmp_path: Path, url: str) -> None:
    writing = journal(tmp_path)
    writing.append(record(1))
    writing.flush()
    (tmp_path / "journal" / "dead-000001.seg").write_bytes(b"nothing that we know")
    (tmp_path / "journal" / "empty-000001.seg").touch()
    reading = Ingest(tmp_path, url, wall=much_later)
    drain(reading)
    assert len(in_store(url)) == 1
    _, lost, empty = rows(url)
    assert (lost.name, lost.lost, lost.damaged, lost.whole) == ("dead-000001.seg", 20, 1, True)
    assert (empty.name, empty.lost, empty.damaged, empty.whole) == ("empty-000001.seg", 0, 0, True)


def test_a_writer_that_was_taken_for_dead_is_read_on(tmp_path: Path, url: str) -> None:
    writing = journal(tmp_path)
    writing.append(record(1))
    writing.flush()
    cleared_up(tmp_path)
    reading = Ingest(tmp_path, url, wall=much_later)
    drain(reading)
    writing.append(record(2))
    writing.flush()
    drain(reading)
    assert len(in_store(url)) == 2


def test_an_entry_that_the_store_refuses_is_passed_over_and_counted(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portico.store import ingest as applying

    facts = applying.facts

    def refusing(each: Record) -> Any:
        if each.id.endswith(("33", "77")):
            raise ValueError("not this one")
        return facts(each)

    monkeypatch.setattr(applying, "facts", refusing)
    monkeypatch.setattr(module, "CAREFUL", (1_000, 10, 1))
    writing = journal(tmp_path)
    for number in range(100):
        writing.append(record(number))
    writing.flush()
    reading = Ingest(tmp_path, url)
    for _ in range(200):
        reading.turn()
    assert sorted(in_store(url)) == [record(each).id for each in range(100) if each not in (33, 77)]
    assert rows(url)[0].damaged == 2
    assert reading.lag.size == 0


def test_two_that_read_at_once_count_nothing_twice(tmp_path: Path, url: str) -> None:
    records = some(60)
    writing = journal(tmp_path)
    one, other = Ingest(tmp_path, url), Ingest(tmp_path, url)
    for at in range(0, 60, 10):
        for each in records[at : at + 10]:
            writing.append(each)
        writing.flush()
        chosen = (one, other)[at // 10 % 2]
        for _ in range(3):  # the first look finds that the other has moved on
            chosen.turn()
    agrees(url, records)


def test_segments_go_when_they_are_in_the_store_and_their_bodies_too_old(tmp_path: Path, url: str) -> None:
    day = 86_400
    start = 1_770_000_000
    now = [float(start + 10 * day)]
    reading = Ingest(tmp_path, url, keep=Keep(bodies=20 * day, calls=100 * day), wall=lambda: now[0])
    bare, full = journal(tmp_path, "bare"), journal(tmp_path, "full")
    for number, each in enumerate((bare, full)):
        each.append(record(number), b"body" if each is full else None)
        each.flush()
    drain(reading)
    assert reading.tidy() == []
    cleared_up(tmp_path, "bare")
    cleared_up(tmp_path, "full")
    now[0] = much_later()
    drain(reading)
    now[0] = start + 10 * day
    assert reading.tidy() == ["bare-000001.seg"]
    now[0] = start + 21 * day
    assert reading.tidy() == ["full-000001.seg"]
    assert segments(str(tmp_path / "journal")) == []
    drain(reading)
    assert len(in_store(url)) == 2
    assert all(row.removed for row in rows(url))


def test_what_a_living_owner_may_be_asked_for_stays(tmp_path: Path, url: str) -> None:
    writing = journal(tmp_path, segment_bytes=1_000)
    for number in range(20):
        writing.append(record(number))
        writing.flush()
    before = [segment.name for segment in segments(str(tmp_path / "journal"))]
    reading = Ingest(tmp_path, url)
    drain(reading)
    reading.tidy()
    assert [segment.name for segment in segments(str(tmp_path / "journal"))] == before[-4:]


@pytest.fixture
def own_cluster(postgres: Cluster) -> Iterator[Cluster]:
    """The cluster, for a test that stops it."""
    yield postgres
    if postgres.stopped:
        postgres.start()


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread."""
    done = threading.Event()
    while not true():
        done.wait(0.01)


def test_while_postgresql_is_stopped_nothing_is_lost_and_the_lag_is_seen(
    tmp_path: Path, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_AT_MOST", 0.5)
    url = own_cluster.database()
    records = some(200)
    writing = journal(tmp_path)
    reading = Ingest(tmp_path, url)
    reading.start()
    for each in records[:50]:
        writing.append(each)
    writing.flush()
    until(lambda: reading.lag.size == 0 and reading._done_to != {})
    own_cluster.stop()
    for each in records[50:]:
        writing.append(each)
        writing.flush()
    until(lambda: reading.lag.trouble is not None)
    assert reading.lag.size > 0
    assert "password" not in str(reading.lag.trouble)
    own_cluster.start()
    until(lambda: reading.lag == (0, 0.0, None))
    reading.stop()
    agrees(url, records)


def test_a_store_that_is_down_from_the_start_is_waited_for(tmp_path: Path, own_cluster: Cluster) -> None:
    url = own_cluster.database()
    own_cluster.stop()
    writing = journal(tmp_path)
    writing.append(record(1))
    writing.flush()
    reading = Ingest(tmp_path, url)
    with pytest.raises(OperationalError):
        reading.turn()
    assert reading.lag.size > 0
    own_cluster.start()
    drain(reading)
    assert len(in_store(url)) == 1


READER = """
import sys
from pathlib import Path
from portico.control import ingest
ingest.CAREFUL = (60, 10, 1)
reading = ingest.Ingest(Path(sys.argv[1]), sys.argv[2])
while True:
    reading.turn()
    print(flush=True)
"""
WRITER = """
import os, sys
sys.path[:0] = sys.argv[2:3]
from control.test_ingest import journal
from store.filled import some
from pathlib import Path
writing = journal(Path(sys.argv[1]), sys.argv[3], segment_bytes=30_000)
for each in some(4_000, int(sys.argv[4])):
    writing.append(each, b"q" * 50)
    writing.flush()
    os.write(1, b".")
sys.stdin.read()
"""


def killing(tmp_path: Path, url: str, rounds: int, seed: int) -> None:
    """Kill readers and writers at random moments; then all that was flushed must be in the store, once."""
    chance = random.Random(seed)
    tests = str(Path(__file__).parent.parent)
    written: list[Record] = []
    for turn in range(rounds):
        owner = f"{turn:016x}"
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), tests, owner, str(turn)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdin is not None
        said = len(writer.stdout.read(chance.randrange(50, 800)))
        reader = subprocess.Popen([sys.executable, "-c", READER, str(tmp_path), url], stdout=subprocess.PIPE)
        assert reader.stdout is not None
        for _ in range(chance.randrange(1, 12)):
            reader.stdout.readline()
        threading.Event().wait(chance.random() * 0.05)  # so that it is killed anywhere in a transaction
        first, second = chance.sample((reader, writer), 2)
        first.send_signal(signal.SIGKILL)
        said += len(writer.stdout.read()) if first is writer else 0
        second.send_signal(signal.SIGKILL)
        said += len(writer.stdout.read())
        for process in (reader, writer):
            process.wait()
        for stream in (reader.stdout, writer.stdout, writer.stdin):
            stream.close()
        in_journal = len(written)
        written += some(4_000, turn)[:said]
        cleared_up(tmp_path, owner)
        assert len(written) >= in_journal
    reading = Ingest(tmp_path, url, wall=much_later)
    drain(reading)
    found = in_store(url)
    # one more may have been flushed than was said before the kill, in each round
    assert {each.id for each in written} <= found.keys()
    assert len(found) <= len(written) + rounds
    agrees(url, list(found.values()))


def test_killed_readers_and_writers_cost_nothing(tmp_path: Path, url: str) -> None:
    killing(tmp_path, url, 2, seed=1)


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_a_hundred_killed_readers_and_writers_cost_nothing(tmp_path: Path, url: str) -> None:
    killing(tmp_path, url, 100, seed=2)


@pytest.mark.parametrize(
    ("took", "worked", "behind", "left"),
    [
        pytest.param(0.3, 0.3, 0.0, 0.0, id="a core of its own"),
        pytest.param(0.5, 0.1, 1.0, YIELD_AT_MOST, id="most of the core is taken"),
        pytest.param(0.05, 0.01, 1.0, 5.0, id="a short turn"),
        pytest.param(3.0, 0.3, PATIENCE, 0.0, id="too far behind to wait any longer"),
    ],
)
def test_records_stand_back_where_calls_want_the_core(took: float, worked: float, behind: float, left: float) -> None:
    assert stand_back(took, worked, behind) == left


@pytest.mark.parametrize(
    ("at_once", "took", "alone", "then"),
    [
        pytest.param(500, 0.04, 0.1, FEW, id="just begun"),
        pytest.param(500, 0.04, 1.0, 1_250, id="a tenth of a second after one"),
        pytest.param(1_250, 0.1, 1.0, 1_250, id="no longer than that"),
        pytest.param(5_000, 0.2, 60.0, AT_ONCE, id="nobody comes"),
        pytest.param(5_000, 0.2, -3.0, FEW, id="somebody is in the way"),
    ],
)
def test_a_transaction_is_as_long_as_a_tenth_of_the_time_in_which_nobody_came(
    at_once: int, took: float, alone: float, then: int
) -> None:
    assert as_many(at_once, took, alone) == then


def test_the_store_is_opened_once_calls_leave_the_core(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = journal(tmp_path)
    for each in some(10):
        writer.append(each)
    assert writer.flush()
    waits = iter([0.001] * 3)
    open_at: list[tuple[float, bool]] = []
    through = threading.Event()
    reading = Ingest(tmp_path, url)

    def wanted(_took: float, _worked: float, _behind: float) -> float:
        back = next(waits, 0.0)
        open_at.append((back, reading.lag.size == 0))
        if reading.lag.size == 0:
            through.set()
        return back

    monkeypatch.setattr(module, "stand_back", wanted)
    reading.start()
    assert through.wait(30)
    reading.stop()
    writer.close()
    assert open_at[:4] == [(0.001, False)] * 3 + [(0.0, False)]
    assert len(in_store(url)) == 10
