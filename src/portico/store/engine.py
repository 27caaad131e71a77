"""Opening the store: SQLite on a file of ours, or PostgreSQL by its URL, brought to the schema of this Portico."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from portico.errors import ConfigError

BUSY_SECONDS = 30
"""How long one writer of SQLite waits for another; ingest writes for a second or two at a time."""
CONNECT_SECONDS = 5


def make_engine(url: str, *, maps: bool = True) -> Engine:
    """Return the way to a store, not yet connected. Raises ConfigError for a URL that is none.

    `sqlite:///path`, `postgresql://user:password@host/name`. Transactions of SQLite that write are begun with
    `writing(engine)`. What is bound to statements stands in no error. `maps` says whether SQLite's file is mapped: it
    is read faster so, and what was touched of it counts as memory of this process.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("the URL of the store cannot be read; it looks like postgresql://user@host/name") from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, maps)
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(f"a store on {parsed.get_backend_name()!r} is not possible: use postgresql:// or sqlite:///")
    try:
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            hide_parameters=True,
            pool_size=4,
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "portico"},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError("a store on PostgreSQL needs psycopg: install portico[postgres]") from error


def writing(engine: Engine) -> Engine:
    """Return the same engine for transactions that write: `with writing(engine).begin() as connection`.

    A transaction of SQLite that reads first and writes then fails where another wrote in between; this one takes the
    place of the writer from its start.
    """
    return engine.execution_options(portico_begin="BEGIN IMMEDIATE")


@contextmanager
def durably(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that writes; once it is committed, it and all before it survive the loss of power."""
    with writing(engine).connect() as connection:
        if connection.dialect.name != "sqlite":  # PostgreSQL does so unless it is told otherwise
            with connection.begin():
                yield connection
            return
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA synchronous = FULL")
        try:
            with connection.begin():
                yield connection
        finally:
            driver.execute("PRAGMA synchronous = NORMAL")


def _sqlite(url: URL, maps: bool) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare)
    if maps:
        event.listen(engine, "connect", _map)
    event.listen(engine, "begin", _begin)
    return engine


def _map(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA mmap_size = 268435456")


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # the driver's own idea of when a transaction begins is in the way of savepoints
    connection.isolation_level = None
    # `normal` in WAL loses no committed transaction with the process, and the last ones with the machine: the offsets
    # of ingest are lost with them, so that what is lost is read again
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "cache_size = -8192",
        "temp_store = MEMORY",
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("portico_begin", "BEGIN"))
