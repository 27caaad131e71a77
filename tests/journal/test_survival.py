"""Killed at any moment, a worker leaves whole entries: all that a flush said were written, and none twice."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from journal.examples import OWNER, ids, record
from portico.journal import Journal

WRITER = """
import os, sys
sys.path[:0] = sys.argv[3:]
from journal.examples import record
from portico.journal import Journal
journal = Journal(sys.argv[1], sys.argv[2], segment_bytes=200_000)
number = 0
while True:
    for _ in range(1 + number % 7):
        journal.append(record(number), b"q" * (number % 900))
        number += 1
    assert journal.flush()
    os.write(1, b"%d\\n" % number)
"""


def rounds(directory: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for turn in range(count):
        owner = f"{turn:016x}"
        path = directory / str(turn)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), owner, str(Path(__file__).parent.parent)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        said = 0
        for _ in range(chance.randrange(1, 400)):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            if line.endswith(b"\n"):
                said = int(line)
        writer.wait()
        writer.stdout.close()
        found = ids(path)
        assert len(found) >= said
        assert found == [record(number).id for number in range(len(found))]


def test_a_killed_writer_leaves_all_that_it_flushed(tmp_path: Path) -> None:
    rounds(tmp_path, 4, seed=1)


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_two_hundred_killed_writers_leave_all_that_they_flushed(tmp_path: Path) -> None:
    rounds(tmp_path, 200, seed=2)


def test_what_is_synced_is_told_in_order_across_segments(tmp_path: Path) -> None:
    import queue

    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    journal = Journal(str(tmp_path), OWNER, fsync="group", segment_bytes=2_000)
    for number in range(50):
        journal.append(record(number))
        assert journal.flush()

        def done(error: OSError | None, number: int = number) -> None:
            assert error is None
            told.put(number)

        journal.synced(done)
    journal.close()
    assert [told.get(timeout=0) for _ in range(50)] == list(range(50))
    assert ids(tmp_path) == [record(number).id for number in range(50)]


@pytest.mark.source
def test_those_who_wait_for_a_failing_disk_are_told_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from portico.journal import syncing

    class Failing:
        def __getattr__(self, name: str) -> object:
            import os

            return getattr(os, name)

        def fsync(self, descriptor: int) -> None:
            raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(syncing, "os", Failing())
    told: list[OSError | None] = []
    journal = Journal(str(tmp_path), OWNER, fsync="group")
    journal.append(record(1))
    journal.flush()
    journal.synced(told.append)
    journal.close()
    (error,) = told
    assert error is not None
    assert error.errno == errno.EIO


def test_without_fsync_nobody_waits(tmp_path: Path) -> None:
    told: list[OSError | None] = []
    journal = Journal(str(tmp_path), OWNER)
    journal.append(record(1))
    journal.flush()
    journal.synced(told.append)
    assert told == [None]
