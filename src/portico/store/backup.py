"""A copy of the data directory while everything serves: store, journal, objects at providers, the secret and the key.

A copy holds every call that was journaled when the store was copied: its segments go at least as far as its store has
read. Counters are in neither: they are put together from store and journal where the copy is restored.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from portico.errors import ConfigError

KEPT = ("secret", "master_key")
"""Files of the data directory that are copied as they are."""
MANIFEST = "backup.json"


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is; written last. `store` is whether the store is in it, as a file of SQLite."""

    portico: str
    store: bool
    segments: int


def backup(data_dir: Path, to: Path, store: "Path | Callable[[], None] | None" = None) -> Manifest:
    """Copy the data directory into an empty one. Raises ConfigError where that is not empty, OSError.

    `store` is a file of SQLite that stands elsewhere, or what backs up a store that is none; what it raises is raised.
    The store's own locks keep the copy whole. Segments are held open before the store is copied, so that none that it
    had not read yet is gone when they are.
    """
    from portico import __version__

    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(to.iterdir()):
        raise ConfigError(f"{str(to)!r} is not empty: a backup goes into a directory of its own")
    if not data_dir.is_dir():
        raise ConfigError(f"there is no data directory {str(data_dir)!r}")
    journal = data_dir / "journal"
    file = store if isinstance(store, Path) else data_dir / "portico.db"
    within = not callable(store) and file.exists()
    held = _held(journal, {})
    try:
        if held and not within and not callable(store):
            raise ConfigError(
                f"there is a journal in {str(data_dir)!r} and no store at {str(file)!r}: where it is on PostgreSQL, "
                "PORTICO_STORE_URL says so, and --store-with how it is backed up"
            )
        if callable(store):
            store()
        elif within:
            copy_sqlite(file, to / "portico.db")
        _held(journal, held)
        (to / "journal").mkdir(mode=0o700)
        for name, source in held.items():
            _copy(source, to / "journal" / name)
    finally:
        for source in held.values():
            source.close()
    _copy_objects(data_dir / "state" / "objects", to / "state" / "objects")
    for name in KEPT:
        if (data_dir / name).exists():
            with (data_dir / name).open("rb") as source:
                _copy(source, to / name)
    made = Manifest(__version__, within, len(held))
    with _create(to / MANIFEST) as manifest:
        manifest.write(msgspec.json.encode(made))
        os.fsync(manifest.fileno())
    return made


def restore(copy: Path, data_dir: Path) -> Manifest:
    """Put a backup in the place of a data directory, which must be empty or not exist. Raises ConfigError, OSError."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise ConfigError(f"{str(data_dir)!r} is not empty: move it away, or restore to another directory")
    try:
        made = msgspec.json.decode((copy / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError) as error:
        raise ConfigError(f"{str(copy)!r} is no backup of a data directory, or one that was broken off") from error
    store = copy / "portico.db"
    if made.store:
        found = sqlite3.connect(store)
        try:
            (state,) = found.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            state = str(error)
        finally:
            found.close()
        if state != "ok":
            raise ConfigError(f"the store in {str(copy)!r} is damaged: {state}")
    shutil.copytree(copy, data_dir, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    data_dir.chmod(0o700)
    return made


def copy_sqlite(store: Path, to: Path) -> None:
    """Copy a store on SQLite as it is at one moment, while others read and write it."""
    with _create(to):
        pass
    source = sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    target = sqlite3.connect(to)
    try:
        # one step for all: a copy in steps begins anew after every write, and under load would never end. It reads a
        # snapshot, which in WAL keeps no writer waiting.
        source.backup(target, pages=-1)
        # the copy is one file
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()
        source.close()


def _held(journal: Path, held: dict[str, IO[bytes]]) -> dict[str, IO[bytes]]:
    """Open the segments that are not open yet: what is removed meanwhile can still be read."""
    for path in journal.glob("*.seg") if journal.is_dir() else ():
        if path.name not in held:
            try:
                held[path.name] = path.open("rb")
            except FileNotFoundError:  # removed since it was listed: all of it is in the store
                continue
    return held


def _copy_objects(folder: Path, to: Path) -> None:
    """Copy what says whose the objects at providers are, as it is at one moment."""
    if not (folder / "data.mdb").exists():
        return
    import lmdb

    to.parent.mkdir(mode=0o700)
    to.mkdir(mode=0o700)
    with lmdb.open(str(folder), readonly=True, create=False) as objects:
        objects.copy(str(to), compact=True)
    (to / "data.mdb").chmod(0o600)


def _copy(source: IO[bytes], to: Path) -> None:
    with _create(to) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
