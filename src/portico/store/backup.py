"""A copy of the data directory while everything serves: the store on SQLite, the journal, the secret.

A copy holds every call that was journaled when the store was copied: its segments go at least as far as its store has
read. With a store on PostgreSQL, that is backed up by PostgreSQL's own means, and before the journal.
"""

import os
import shutil
import sqlite3
from pathlib import Path
from typing import IO

from portico.errors import ConfigError


def backup(data_dir: Path, to: Path) -> None:
    """Copy the data directory into an empty one. Raises ConfigError where that is not empty, OSError.

    The store's own locks keep the copy whole. Segments are held open before the store is copied, so that none that it
    had not read yet is gone when they are.
    """
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(to.iterdir()):
        raise ConfigError(f"{str(to)!r} is not empty: a backup goes into a directory of its own")
    journal = data_dir / "journal"
    held = {path.name: path.open("rb") for path in journal.glob("*.seg")} if journal.is_dir() else {}
    try:
        store = data_dir / "portico.db"
        if store.exists():
            copy_sqlite(store, to / "portico.db")
        for path in journal.glob("*.seg") if journal.is_dir() else ():
            if path.name not in held:
                held[path.name] = path.open("rb")
        (to / "journal").mkdir(mode=0o700)
        for name, file in held.items():
            with _create(to / "journal" / name) as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
                os.fsync(copy.fileno())
    finally:
        for file in held.values():
            file.close()
    secret = data_dir / "secret"
    if secret.exists():
        with _create(to / "secret") as copy:
            copy.write(secret.read_bytes())


def restore(copy: Path, data_dir: Path) -> None:
    """Put a backup in the place of a data directory, which must be empty or not exist. Raises ConfigError, OSError."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise ConfigError(f"{str(data_dir)!r} is not empty: move it away, or restore to another directory")
    if not (copy / "journal").is_dir():
        raise ConfigError(f"{str(copy)!r} is no backup of a data directory")
    store = copy / "portico.db"
    if store.exists():
        found = sqlite3.connect(store)
        try:
            (state,) = found.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            state = str(error)
        finally:
            found.close()
        if state != "ok":
            raise ConfigError(f"the store in {str(copy)!r} is damaged: {state}")
    shutil.copytree(copy, data_dir, dirs_exist_ok=True)
    data_dir.chmod(0o700)


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


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
