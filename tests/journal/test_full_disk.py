"""A disk without room: nothing is lost that was taken, and no call is taken that could not be recorded."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.examples import OWNER, entries, ids, record
from portico.errors import JournalFull
from portico.journal import Journal
from portico.journal import journal as module

pytestmark = pytest.mark.source


class Disk:
    """The `os` that a journal sees, over a disk with `room` bytes left; what is allocated beforehand is not counted."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.allocated: set[int] = set()
        self.short = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        file = os.open(path, flags, mode)
        self.allocated.discard(file)
        return file

    def writev(self, file: int, parts: Sequence[bytes]) -> int:
        return self.write(file, b"".join(parts))

    def write(self, file: int, data: bytes) -> int:
        if file in self.allocated:
            return os.write(file, data)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = os.write(file, data[: self.room])
        self.short += taken != len(data)
        self.room -= taken
        return taken

    def posix_fallocate(self, file: int, begin: int, size: int) -> None:
        if self.room < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= size
        self.allocated.add(file)
        os.posix_fallocate(file, begin, size)

    def ftruncate(self, file: int, size: int) -> None:
        freed = os.fstat(file).st_size - size
        os.ftruncate(file, size)
        self.room += freed

    def statvfs(self, path: str) -> os.statvfs_result:
        return os.statvfs_result((1, 1, self.room, self.room, self.room, 0, 0, 0, 0, 255))


RESERVE = 20_000


def on(disk: Disk, directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Journal, list[float]]:
    monkeypatch.setattr(module, "os", disk)
    now = [0.0]
    return Journal(str(directory), OWNER, reserve_bytes=RESERVE, scarce_bytes=50_000, clock=lambda: now[0]), now


def test_bodies_stop_first_then_comes_the_reserve_then_no_call_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE + 10_000)
    journal, now = on(disk, tmp_path, monkeypatch)
    took = 0
    body = os.urandom(3_000)
    while not journal.full:
        journal.check()
        journal.append(record(took), body, body)
        assert journal.flush()
        took += 1
    with pytest.raises(JournalFull) as refused:
        journal.check()
    assert (refused.value.status, refused.value.code) == (503, "journal_full")
    kept = [entry.body > 0 for entry in entries(tmp_path)]
    assert kept == sorted(kept, reverse=True)
    assert kept.count(False) == journal.bodies_dropped
    assert kept[0]
    # those under way still have room
    for number in range(took, took + 15):
        journal.append(record(number))
    assert journal.flush()
    assert ids(tmp_path) == [record(number).id for number in range(took + 15)]
    # by and by there is room again
    disk.room = 1_000_000
    assert journal.full
    now[0] += 2
    assert not journal.full
    journal.check()
    journal.append(record(1_000), body, body)
    assert journal.flush()
    assert entries(tmp_path)[-1].body
    assert len(ids(tmp_path)) == took + 16
    assert (tmp_path / f"{OWNER}.reserve").stat().st_size == RESERVE


def test_what_has_no_room_at_all_waits_and_is_not_called_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE)
    journal, now = on(disk, tmp_path, monkeypatch)
    count = 0
    while journal.waiting == 0:
        journal.append(record(count))
        count += 1
        done = journal.flush()
        assert done is (journal.waiting == 0)
    assert journal.full
    assert ids(tmp_path) == [record(number).id for number in range(count - 1)]
    disk.room = 100_000
    now[0] += 2
    assert journal.flush()
    assert ids(tmp_path) == [record(number).id for number in range(count)]
    assert journal.dropped == 0


def test_a_start_on_a_full_disk_takes_no_calls_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(0)
    journal, now = on(disk, tmp_path, monkeypatch)
    assert journal.full
    now[0] += 2
    assert journal.full
    disk.room = 100_000
    now[0] += 2
    assert not journal.full


def test_with_little_room_bodies_are_left_out_before_it_comes_to_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE + 100_000)
    journal, now = on(disk, tmp_path, monkeypatch)
    journal.append(record(1), b"q")
    journal.flush()
    disk.room = 49_000
    now[0] += 2
    journal.flush()
    journal.append(record(2), b"q")
    journal.flush()
    journal.append(record(3), b"q")
    journal.flush()
    disk.room = 90_000
    now[0] += 2
    journal.append(record(4), b"q")
    journal.flush()
    journal.append(record(5), b"q")
    journal.flush()
    assert [entry.body > 0 for entry in entries(tmp_path)] == [True, True, False, False, True]
    assert journal.bodies_dropped == 2


@settings(max_examples=150, deadline=None)
@given(room=st.integers(0, 12_000), batches=st.lists(st.integers(1, 8), min_size=1, max_size=8), body=st.booleans())
def test_a_write_cut_short_anywhere_costs_nothing_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, room: int, batches: list[int], body: bool
) -> None:
    directory = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(RESERVE + room)
        journal, _ = on(disk, directory, patch)
        count = 0
        for batch in batches:
            for _ in range(batch):
                journal.append(record(count), b"b" * 300 if body else None)
                count += 1
            assert journal.flush()
            assert ids(directory) == [record(number).id for number in range(count)]


def test_a_real_limit_on_the_size_of_files_costs_nothing(tmp_path: Path) -> None:
    program = """
import sys, signal
sys.path[:0] = sys.argv[2:]
from journal.examples import record
from portico.journal import Journal
journal = Journal(sys.argv[1], "0", reserve_bytes=5_000)
for number in range(100):
    journal.append(record(number), bytes([number]) * 500)
    assert journal.flush()
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), tests], preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "short of room" in done.stderr
    assert ids(tmp_path) == [record(number).id for number in range(100)]


def test_a_real_full_disk_costs_nothing(tmp_path: Path) -> None:
    program = """
import sys, os, shutil
sys.path[:0] = sys.argv[2:]
from journal.examples import ids, record
from portico.journal import Journal
disk = sys.argv[1]
journal = Journal(disk, "0", reserve_bytes=100_000, scarce_bytes=50_000)
number = 0
while not journal.full:
    journal.append(record(number), os.urandom(9_000))
    assert journal.flush()
    number += 1
for number in range(number, number + 50):
    journal.append(record(number))
assert journal.flush()
assert ids(disk) == [record(each).id for each in range(number + 1)]
assert journal.bodies_dropped
print(number)
"""
    mount = 'mount -t tmpfs -o size=600k none "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable]
    if subprocess.run([*command[:2], "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm (a mount of one's own) is not allowed here: no real full disk")
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run([*command, program, tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
