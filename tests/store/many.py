"""A store with very many calls, made by SQLite itself: the rows and sums that ingest would have made of such calls."""

import sqlite3
from pathlib import Path

from sqlalchemy import Engine

from portico.journal.entries import encode
from portico.record import AttemptRecord, Record
from portico.store.dimensions import BY_DAY, BY_HOUR, KINDS
from portico.store.engine import make_engine
from portico.store.migrate import upgrade
from portico.store.sums import DAY, HOUR, MINUTE
from portico.store.tables import FIRSTS, MEASURES, PARTS, SUMS, TIMES
from portico.types import Usage

START = 1_770_000_000 // DAY * DAY
DAYS = 30
MINUTE_DAYS = 3
"""Sums by the minute are kept for the last days, as retention does."""

VALUES = {
    "org": 1,
    "team": 50,
    "user": 1_000,
    "key": 5_000,
    "customer": 2_000,
    "tag": 10,
    "model": 20,
    "target": 30,
    "provider": 3,
    "operation": 2,
    "status": 3,
}
"""How many values each dimension has. Teams and users belong to keys; everything else is chosen by chance."""

_PICKED = {
    "org": "0",
    "team": "(k % 50)",
    "user": "(k % 1000)",
    "key": "k",
    "customer": "((r >> 13) % 2000)",
    "model": "((r >> 25) % 20)",
    "target": "((r >> 30) % 30)",
    "provider": "((r >> 30) % 3)",
    "operation": "((r >> 36) % 2)",
}


def build(path: Path, count: int) -> Engine:
    """Make a store of so many calls over `DAYS` days; return it open."""
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {pragma}")
    first = _names(db)
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE name LIKE 'ix_calls_%' OR name = 'ix_rollups_value'"
    )
    made = indexes.fetchall()
    for name, _ in made:
        db.execute(f"DROP INDEX {name}")
    db.execute("BEGIN")
    _calls(db, count, first)
    _sums(db, first)
    for _, sql in made:
        db.execute(sql)
    db.execute("COMMIT")
    db.execute("ANALYZE") if count < 100_000 else None
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    return make_engine(f"sqlite:///{path}")


def _names(db: sqlite3.Connection) -> dict[str, int]:
    """Name all values; return the number of the first of each dimension."""
    first: dict[str, int] = {}
    number = 1
    for dimension, count in VALUES.items():
        first[dimension] = number
        values = [(number + at, KINDS[dimension], f"{dimension}-{at}") for at in range(count)]  # type: ignore[index]
        if dimension == "status":
            values = [(number + at, KINDS["status"], name) for at, name in enumerate(("2xx", "4xx", "5xx"))]
        db.executemany("INSERT INTO names (id, kind, value) VALUES (?, ?, ?)", values)
        number += count
    return first


def _calls(db: sqlite3.Connection, count: int, first: dict[str, int]) -> None:
    blob = encode(
        Record("a call", START * 1000, "key", "chat", "model", "openai/model", 200, True,
               [AttemptRecord("openai/model", "default", 200, None, 100, 90_000, "req_0123456789abcdef")],
               Usage(input=1_200, output=300), 1_200_000, "reported", 90_000, 2_000_000, 120,
               team="team", org="org", user="user", tags=("feature:search",))
    )  # fmt: skip
    columns = ", ".join(f'{first[name]} + {how} AS "{name}"' for name, how in _PICKED.items())
    # each call a thousandth of a second or more after the one before; the low bits of `seq` are chance
    db.execute(
        f"""
        WITH RECURSIVE
          numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT {count}),
          drawn AS MATERIALIZED (SELECT n, abs(random()) AS r FROM numbers),
          keyed AS (SELECT n, r, (r % 5000) AS k FROM drawn)
        INSERT INTO calls (seq, id, {", ".join(f'"{name}"' for name in _PICKED)}, session, status, status_class,
                           stream, "end", basis, pricing, error, cost_nano_usd, input_tokens, output_tokens, total_us,
                           segment, place, body, record)
        SELECT (({START * 1000} + n * {DAYS * DAY * 1000} / {count}) << 20) | (n & 1048575), printf('%016x%08x', n, r),
               {columns}, CASE WHEN r % 50 = 0 THEN 'session-' || (n / 1000) END,
               CASE WHEN r % 40 = 0 THEN 429 WHEN r % 90 = 0 THEN 500 ELSE 200 END,
               CASE WHEN r % 40 = 0 THEN 4 WHEN r % 90 = 0 THEN 5 ELSE 2 END,
               r & 1, CASE WHEN r % 40 = 0 THEN 'refused' WHEN r % 90 = 0 THEN 'failed' ELSE 'served' END, 'reported',
               'table', NULL, r % 9000000, r % 5000, r % 700, r % 60000000, 1, n, 0, ?
        FROM keyed
        """,
        (blob,),
    )
    db.execute(
        f"INSERT INTO call_tags SELECT {first['tag']} + t, seq FROM"
        " (SELECT (total_us / 7) % 10 AS t, seq FROM calls) ORDER BY 1, 2"
    )


def _sums(db: sqlite3.Connection, first: dict[str, int]) -> None:
    single = [name for name in KINDS if name != "tag"]
    picked = {name: f'"{name}"' for name in single}
    picked["status"] = f"{first['status']} + CASE status_class WHEN 2 THEN 0 WHEN 4 THEN 1 ELSE 2 END"
    slots = [f"sum(total_us / 3000000 = {slot})" for slot in range(len(TIMES))]
    measures = {
        "requests": "count(*)",
        "errors": "sum(status >= 400)",
        "input": "sum(input_tokens)",
        "output": "sum(output_tokens)",
        "cost_nano_usd": "sum(cost_nano_usd)",
        "total_us": "sum(total_us)",
    }
    amounts = ", ".join([*(measures.get(name, "0") for name in SUMS), *slots, *("0" for _ in FIRSTS)])
    parts = "count(*), sum(status >= 400), sum(input_tokens), sum(output_tokens), sum(cost_nano_usd)"
    added = ", ".join(f"sum({name})" for name in MEASURES)
    for kind, value in ((0, "0"), *((KINDS[name], picked[name]) for name in single)):
        since = (START + (DAYS - MINUTE_DAYS) * DAY) * 1000 << 20
        db.execute(
            f"INSERT INTO rollups SELECT {MINUTE}, {kind}, (seq >> 20) / 60000 * 60 AS b, {value} AS v, {amounts}"
            f" FROM calls WHERE seq >= {since} GROUP BY b, v"
        )
        db.execute(
            f"INSERT INTO rollups SELECT {HOUR}, {kind}, (seq >> 20) / 3600000 * 3600 AS b, {value} AS v, {amounts}"
            " FROM calls GROUP BY b, v"
        )
        db.execute(
            f"INSERT INTO rollups SELECT {DAY}, dimension, bucket / {DAY} * {DAY} AS b, value, {added}"
            f" FROM rollups WHERE grain = {HOUR} AND dimension = {kind} GROUP BY b, value"
        )
    assert len(PARTS) == 5
    for grain, by in ((HOUR, BY_HOUR), (DAY, BY_DAY)):
        for scope, dimensions in by.items():
            for dimension in dimensions:
                if "tag" in (scope, dimension):
                    continue
                db.execute(
                    f"INSERT INTO breakdowns SELECT {grain}, {picked[scope]} AS s, {KINDS[dimension]},"
                    f" (seq >> 20) / {grain * 1000} * {grain} AS b, {picked[dimension]} AS v, {parts}"
                    " FROM calls GROUP BY s, b, v"
                )
