"""A store with very many calls, made as ingest makes it: its rows, its bulk path, its sums; a day in one transaction.

What is not as in life: calls come in fours that are alike in who and what, some thousand measured calls stand for all,
no sums by the minute or the hour are made that retention would have let go of, and the sums of the year before are
those of the last days again.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from portico.journal.entries import encode
from portico.record import AttemptRecord, Record
from portico.store import bulk
from portico.store.dimensions import BY_DAY, KINDS, Dimension, Names
from portico.store.engine import make_engine
from portico.store.ingest import BREAKDOWN_COLUMNS, ROLLUP_COLUMNS
from portico.store.migrate import upgrade
from portico.store.rows import COLUMNS, SINGLE, Facts, facts, first_seq, row
from portico.store.sums import DAY, HOUR, MINUTE, MONTH, Sums, begin_of
from portico.store.tables import MEASURES, PARTS, breakdowns, call_tags, calls, rollups
from portico.types import Usage

START = 1_770_000_000 // DAY * DAY
DAYS = 30
MINUTE_DAYS = 3
"""Sums by the minute are kept for the last days, as retention does."""
BEFORE = 12
"""How many times the sums by the day stand once more, each time `DAYS` days earlier."""
ALIKE = 4

VALUES: dict[Dimension, int] = {
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
    "arm": 2,
}
"""How many values each dimension has. Teams and users belong to keys, customers to teams, providers to targets, and two
models are split in two; everything else is chosen by chance."""

_SESSION = COLUMNS.index("session")


class Measured(NamedTuple):
    """A call that stands for many."""

    told: Facts
    encoded: bytes
    status: int


def build(path: Path, count: int, seed: int = 7) -> Engine:
    """Make a store of so many calls over `DAYS` days; return it open."""
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        for pragma in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -1000000"):
            driver.execute(f"PRAGMA {pragma}")
        made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE name LIKE 'ix_calls_%'").all()
        for name, _ in made:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        connection.commit()
        draw = random.Random(seed)
        names = _Numbers(connection)
        some = list(_measured(names, draw))
        for day in range(DAYS):
            _day(connection, names, some, draw, day, count)
            connection.commit()
        _years(connection)
        for _, sql in made:
            connection.exec_driver_sql(sql)
        connection.commit()
    engine.dispose()
    return make_engine(f"sqlite:///{path}")


class _Numbers:
    """The numbers of all names, as the store gives them."""

    def __init__(self, connection: Connection) -> None:
        wanted = [(KINDS[each], f"{each}-{at}") for each, count in VALUES.items() for at in range(count)]
        wanted += [(KINDS["status"], each) for each in ("2xx", "4xx", "5xx")]
        known = Names().number(connection, wanted)
        self.of = {each: [known[KINDS[each], f"{each}-{at}"] for at in range(VALUES[each])] for each in VALUES}
        self.status = {at: known[KINDS["status"], f"{at}xx"] for at in (2, 4, 5)}
        connection.commit()


def _measured(names: _Numbers, draw: random.Random) -> Iterator[Measured]:
    for number in range(4_096):
        status = 429 if number % 40 == 0 else 500 if number % 90 == 0 else 200
        used = Usage(input=draw.randrange(5_000), output=draw.randrange(700)) if status != 429 else None
        record = Record(
            "0199b4c2-7d3e-7000-8000-0123456789ab", START * 1000, "key-1234", "chat", "model-12",
            "provider-1/model-12", status, number % 2 == 1,
            [AttemptRecord("provider-1/model-12", "default", 200, None, 100, 90_000, "req_0123456789abcdef")],
            used, draw.randrange(9_000_000) if used else None, "reported" if used else "none",
            draw.randrange(2_000_000) if used else None, draw.randrange(60_000_000), draw.randrange(100, 300),
            team="team-34", org="org-0", user="user-234", customer="customer-1360", tags=("tag-3",),
            end="refused" if status == 429 else "failed" if status == 500 else "served",
            pricing="table" if used else None, error=None if status == 200 else "overloaded",
        )  # fmt: skip
        yield Measured(facts(record), encode(record), names.status[status // 100])


def _day(
    connection: Connection, names: _Numbers, some: list[Measured], draw: random.Random, day: int, count: int
) -> None:
    """Make the calls of one day, and their sums."""
    begin, end = count * day // DAYS, count * (day + 1) // DAYS
    fine = MINUTE if day >= DAYS - MINUTE_DAYS else HOUR
    sums = Sums()
    rows = []
    tagged = []
    of = names.of
    for first in range(begin, end, ALIKE):
        key, split = draw.randrange(5_000), draw.randrange(2)
        team, model, target, tag = key % 50, draw.randrange(20), draw.randrange(30), draw.randrange(10)
        who = (
            of["org"][0], of["team"][team], of["user"][key % 1_000], of["key"][key],
            of["customer"][team * 40 + draw.randrange(40)], of["model"][model], of["target"][target],
            of["provider"][target % 3], of["operation"][split],
        )  # fmt: skip
        arm = of["arm"][split] if model < 2 else 0
        for number in range(first, min(first + ALIKE, end)):
            one = some[draw.getrandbits(12)]
            time_ms = START * 1000 + number * DAYS * DAY * 1000 // count
            single = (*who, one.status, arm)
            seq = first_seq(time_ms) | number & 0xFFFFF
            whole = row(seq, one.told, single, 1, number, 0, one.encoded)
            session = f"session-{number // 1000}" if number % 50 == 0 else None
            id_ = f"{number:016x}{seq & 0xFFFFFFFF:08x}"
            rows.append((seq, id_, *whole[2:_SESSION], session, *whole[_SESSION + 1 :]))
            tagged.append((of["tag"][tag], seq))
            at = time_ms // 1000
            sums.add((at - at % fine, single, (of["tag"][tag],)), one.told.whole, one.told.parts)
    assert len(SINGLE) == 11
    bulk.insert(connection, calls, COLUMNS, rows)
    bulk.insert(connection, call_tags, ("tag", "seq"), sorted(tagged))
    kept = [each for each in sums.rollups() if each[0] != MINUTE or fine == MINUTE]
    bulk.add(connection, rollups, ROLLUP_COLUMNS, kept)
    bulk.add(connection, breakdowns, BREAKDOWN_COLUMNS, sums.breakdowns())


def _years(connection: Connection) -> None:
    """Let the days before have been as these were; what is by the hour is by the day there."""
    earlier = DAYS * DAY
    single = ", ".join(f'"{each}"' for each in MEASURES)
    parts = ", ".join(f'sum("{each}")' for each in PARTS)
    for back in range(1, BEFORE + 1):
        connection.exec_driver_sql(
            f"INSERT INTO rollups SELECT grain, dimension, bucket - {back * earlier}, value, {single}"
            f" FROM rollups WHERE grain = {DAY} AND bucket >= {START}"
        )
        kinds = ", ".join(str(KINDS[each]) for each in ("team", "user", "key", "customer", "tag"))
        connection.exec_driver_sql(
            f"INSERT INTO breakdowns SELECT grain, scope, dimension, bucket - {back * earlier}, value,"
            f" {', '.join(PARTS)} FROM breakdowns WHERE grain = {DAY} AND dimension IN ({kinds}) AND bucket >= {START}"
        )
    assert set(BY_DAY) == {"org", "team"}
    connection.exec_driver_sql(
        f"INSERT INTO breakdowns SELECT {DAY}, scope, dimension, bucket / {DAY} * {DAY} - {earlier} AS b, value,"
        f" {parts} FROM breakdowns WHERE grain = {HOUR} AND scope IN (SELECT id FROM names WHERE kind IN (1, 2))"
        " GROUP BY scope, dimension, b, value"
    )
    _months(connection)


def _months(connection: Connection) -> None:
    """Sum up the months anew, as the migration does that brought them."""
    connection.exec_driver_sql(f"DELETE FROM rollups WHERE grain = {MONTH}")
    connection.exec_driver_sql(f"DELETE FROM breakdowns WHERE grain = {MONTH}")
    amounts = ", ".join(f'sum("{each}")' for each in MEASURES)
    parts = ", ".join(f'sum("{each}")' for each in PARTS)
    by_day = ", ".join(str(KINDS[each]) for each in ("team", "user", "key", "customer", "tag"))
    at = START - BEFORE * DAYS * DAY
    while at < START + DAYS * DAY:
        month = begin_of(MONTH, at)
        at = begin_of(MONTH, month + 32 * DAY)
        connection.exec_driver_sql(
            f"INSERT INTO rollups SELECT {MONTH}, dimension, {month}, value, {amounts} FROM rollups"
            f" WHERE grain = {DAY} AND bucket >= {month} AND bucket < {at} GROUP BY dimension, value"
        )
        connection.exec_driver_sql(
            f"INSERT INTO breakdowns SELECT {MONTH}, scope, dimension, {month}, value, {parts} FROM breakdowns"
            f" WHERE grain = {DAY} AND dimension IN ({by_day}) AND bucket >= {month} AND bucket < {at}"
            " GROUP BY scope, dimension, value"
        )
