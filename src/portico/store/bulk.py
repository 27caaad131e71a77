"""Many rows at once, as fast as each database takes them: past SQLAlchemy's work per row, through its connection.

SQLite runs one prepared statement over the rows; PostgreSQL copies them into a temporary table and inserts from there.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table

Row = Sequence[Any]


def insert(connection: Connection, table: Table, columns: Sequence[str], rows: Collection[Row]) -> None:
    """Insert rows. Raises IntegrityError where one is there."""
    _put(connection, table, columns, rows, "")


def insert_missing(connection: Connection, table: Table, columns: Sequence[str], rows: Collection[Row]) -> int:
    """Insert the rows that are not there yet; return how many were not."""
    return _put(connection, table, columns, rows, "ON CONFLICT DO NOTHING")


def add(connection: Connection, table: Table, columns: Sequence[str], rows: Collection[Row]) -> None:
    """Add to the rows that are there what is not of their primary key, and insert the others.

    No two of `rows` have the same key.
    """
    quote = connection.dialect.identifier_preparer.quote
    key = [column.name for column in table.primary_key]
    sums = ", ".join(
        f"{quote(column)} = {quote(table.name)}.{quote(column)} + excluded.{quote(column)}"
        for column in columns
        if column not in key
    )
    _put(connection, table, columns, rows, f"ON CONFLICT ({', '.join(map(quote, key))}) DO UPDATE SET {sums}")


def _put(connection: Connection, table: Table, columns: Sequence[str], rows: Collection[Row], conflict: str) -> int:
    if not rows:
        return 0
    quote = connection.dialect.identifier_preparer.quote
    into = f"{quote(table.name)} ({', '.join(map(quote, columns))})"
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(columns))
        # names of our own tables and columns; the values are bound
        statement = f"INSERT INTO {into} VALUES ({places}) {conflict}"  # noqa: S608
        return connection.exec_driver_sql(statement, [*rows]).rowcount
    stage = quote(f"stage_{table.name}")
    kinds = ", ".join(f"{quote(name)} {_kind(connection, table.c[name])}" for name in columns)
    listed = ", ".join(map(quote, columns))
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ({kinds}) ON COMMIT DELETE ROWS")
    connection.exec_driver_sql(f"TRUNCATE {stage}")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {stage} ({listed}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    statement = f"INSERT INTO {into} SELECT {listed} FROM {stage} {conflict}"  # noqa: S608
    return connection.exec_driver_sql(statement).rowcount


def _kind(connection: Connection, column: Column[Any]) -> str:
    return column.type.compile(connection.dialect)
