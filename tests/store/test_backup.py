"""A backup that was made while everything serves holds every call that was journaled before, once."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from journal.examples import OWNER, record
from portico.control.ingest import Ingest
from portico.errors import ConfigError
from portico.journal import Journal
from portico.state.contract import Owned
from portico.state.objects import Objects
from portico.store.backup import backup, restore
from portico.store.engine import make_engine
from portico.store.retention import Keep
from store.filled import expected, kept, sums_of


def serving(data_dir: Path) -> tuple[Journal, Ingest]:
    owners = data_dir / "state" / "owners"
    owners.mkdir(parents=True)
    (owners / OWNER).touch()
    (data_dir / "secret").write_bytes(b"a secret of the installation")
    return Journal(str(data_dir / "journal"), OWNER, segment_bytes=20_000), Ingest(
        data_dir, keep=Keep(calls=None, minutes=None, hours=None)
    )


def test_a_backup_under_way_loses_nothing_that_was_there_when_it_began(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    journal, reading = serving(data_dir)
    stop = threading.Event()
    written = 0

    def serve() -> None:
        nonlocal written
        while not stop.is_set():
            for _ in range(10):
                journal.append(record(written))
                written += 1
            assert journal.flush()
            reading.turn()
            reading.tidy()

    worker = threading.Thread(target=serve)
    worker.start()
    try:
        while written < 200:
            stop.wait(0.001)
        for number in range(4):
            before = written - 10
            copy, again = tmp_path / f"copy-{number}", tmp_path / f"again-{number}"
            backup(data_dir, copy)
            after = written + 10
            restore(copy, again)
            restored = Ingest(again)
            while restored.turn():
                pass
            restored.stop()
            engine = make_engine(f"sqlite:///{again}/portico.db")
            found = kept(engine)
            assert {record(each).id for each in range(before)} <= found.keys()
            assert found.keys() <= {record(each).id for each in range(after)}
            assert sums_of(engine) == expected(list(found.values()))
            engine.dispose()
            assert (again / "secret").read_bytes() == b"a secret of the installation"
    finally:
        stop.set()
        worker.join()
    reading.stop()


def test_a_backup_goes_into_a_directory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    with pytest.raises(ConfigError, match="not empty"):
        backup(tmp_path, tmp_path / "full")
    with pytest.raises(ConfigError, match="not empty"):
        restore(tmp_path, tmp_path / "full")
    with pytest.raises(ConfigError, match="no backup"):
        restore(tmp_path / "full", tmp_path / "new")


def test_nobody_else_may_read_a_backup(tmp_path: Path) -> None:
    files = list(made(tmp_path).rglob("*"))
    assert len(files) > 3
    assert [path for path in files if path.stat().st_mode & 0o077] == []


def made(tmp_path: Path) -> Path:
    """Return a backup with a call in it."""
    journal, reading = serving(tmp_path / "data")
    journal.append(record(1))
    journal.flush()
    reading.turn()
    reading.stop()
    backup(tmp_path / "data", tmp_path / "copy")
    return tmp_path / "copy"


def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    copy = made(tmp_path)
    (copy / "portico.db").write_bytes(b"SQLite format 3\0" + b"nonsense" * 500)
    with pytest.raises(ConfigError, match="damaged"):
        restore(copy, tmp_path / "new")


def test_a_backup_that_was_broken_off_is_not_restored(tmp_path: Path) -> None:
    def fails() -> None:
        raise OSError("the disk is full")

    serving(tmp_path / "data")[1].stop()
    with pytest.raises(OSError, match="the disk is full"):
        backup(tmp_path / "data", tmp_path / "copy", fails)
    with pytest.raises(ConfigError, match="broken off"):
        restore(tmp_path / "copy", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_segment_that_goes_while_the_store_is_copied_is_in_the_backup(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    journal, reading = serving(data_dir)
    journal.append(record(1))
    journal.flush()
    reading.stop()

    def store() -> None:
        for path in (data_dir / "journal").glob("*.seg"):
            path.unlink()

    backup(data_dir, tmp_path / "copy", store)
    restore(tmp_path / "copy", tmp_path / "again")
    restored = Ingest(tmp_path / "again")
    restored.turn()
    restored.stop()
    engine = make_engine(f"sqlite:///{tmp_path}/again/portico.db")
    assert kept(engine).keys() == {record(1).id}
    engine.dispose()


COPIES = """
import sys
from pathlib import Path
from portico.store import backup
backup.backup(Path(sys.argv[1]), Path(sys.argv[2]))
"""


async def test_whose_the_objects_are_is_in_the_backup_while_they_are_written(tmp_path: Path) -> None:
    thing = Owned("file-1", "file", "a tenant", "first/plain", "first", 1_770_000_000.0)
    command = [sys.executable, "-c", COPIES, tmp_path / "data", tmp_path / "copy"]
    (tmp_path / "data").mkdir()
    objects = Objects(tmp_path / "data" / "state" / "objects")
    await objects.own(thing)
    await asyncio.to_thread(subprocess.run, command, check=True)
    await objects.disown(thing.id)
    objects.close()
    restore(tmp_path / "copy", tmp_path / "again")
    restored = Objects(tmp_path / "again" / "state" / "objects")
    assert restored.owned(thing.id) == thing
    await restored.disown(thing.id)
    restored.close()
