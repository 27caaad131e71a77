"""The tables of calls: rows, what they are told apart by, sums over time, and where in the journal all of it is from.

What calls are told apart by (teams, keys, models, tags …) is written out once, in `names`, and numbered. Times are in
milliseconds since the epoch, starts of buckets in seconds; money is in nano-dollars.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of the store is in here."""

Serial = BigInteger().with_variant(Integer, "sqlite")
"""A number that SQLite keeps its rows in the order of: only what says INTEGER is that there."""

names = Table(
    "names",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("kind", SmallInteger, nullable=False),
    Column("value", Text, nullable=False),
    UniqueConstraint("kind", "value"),
)
"""`kind` is a number of `dimensions.KINDS`."""

segments = Table(
    "segments",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("done_to", BigInteger, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("bodies", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("damaged", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("removed", Boolean, nullable=False),
)
"""How far each segment of the journal is read. `whole` says that nothing will come any more and all of it is in;
`bodies` counts the calls in it that have some; `last_ms` is its youngest record; `lost` is bytes that could not be
read, at `damaged` places."""

calls = Table(
    "calls",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    *(Column(dimension, BigInteger) for dimension in (
        "org", "team", "user", "key", "customer", "model", "target", "provider", "operation", "arm"
    )),
    Column("session", Text),
    Column("status", SmallInteger, nullable=False),
    Column("status_class", SmallInteger, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("end", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("pricing", Text),
    Column("error", Text),
    Column("cost_nano_usd", BigInteger),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("total_us", BigInteger, nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("body", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
)  # fmt: skip
"""A row per call. `seq` orders them by time: milliseconds, then twenty bits (see `rows.seq_of`). `record` is all of
it, as in the journal; the columns are what can be asked for. `place` is the offset in the segment, `body` the size of
what stands there behind the record."""

LEADS = ("customer", "key", "user", "team", "target", "arm", "model")
"""Columns with an index of their own, from the one that usually tells most on."""

for _lead in LEADS:
    Index(
        f"ix_calls_{_lead}",
        calls.c[_lead],
        calls.c.seq,
        sqlite_where=calls.c[_lead].is_not(None),
        postgresql_where=calls.c[_lead].is_not(None),
    )
Index(
    "ix_calls_session",
    calls.c.session,
    calls.c.seq,
    sqlite_where=calls.c.session.is_not(None),
    postgresql_where=calls.c.session.is_not(None),
)
Index(
    "ix_calls_status_class",
    calls.c.status_class,
    calls.c.seq,
    sqlite_where=calls.c.status_class != 2,
    postgresql_where=calls.c.status_class != 2,
)
JOBS = text("substr(id, length(id) - 3) = '-job'")
"""The records of jobs, by their ids (`jobs.record_of`), in words that every store takes for its index."""
Index("ix_calls_jobs", calls.c.operation, calls.c.seq, sqlite_where=JOBS, postgresql_where=JOBS)

call_tags = Table(
    "call_tags",
    metadata,
    Column("tag", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

TOKENS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
)
SUMS = (
    "requests",
    "errors",
    *TOKENS,
    "cost_nano_usd",
    "unpriced",
    "total_us",
    "overhead_us",
    "first_byte_us",
    "answered",
    "billed_nano_usd",
)
"""What is summed up in `rollups`. `unpriced` counts calls whose cost nobody knows; `answered` those that have a time to
their first byte, which `first_byte_us` sums up. `billed_nano_usd` is the cost with each call's markup."""

SLOTS = 20
TIMES = tuple(f"t{slot}" for slot in range(SLOTS))
"""How many calls took how long in all (see `histogram`)."""
FIRSTS = tuple(f"f{slot}" for slot in range(SLOTS))
"""How many calls had their first byte after how long."""

MEASURES = SUMS + TIMES + FIRSTS
PARTS = ("requests", "errors", "input_tokens", "output_tokens", "cost_nano_usd", "billed_nano_usd")
"""What is summed up in `breakdowns`."""

rollups = Table(
    "rollups",
    metadata,
    Column("grain", Integer, primary_key=True, autoincrement=False),
    Column("dimension", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("value", BigInteger, primary_key=True, autoincrement=False),
    *(Column(measure, BigInteger, nullable=False) for measure in MEASURES),
    sqlite_with_rowid=False,
)
"""Sums per minute, hour, day and month (`grain`, see `sums`) over all calls (`dimension` and `value` are 0), and over
those of each value of each dimension."""
Index("ix_rollups_value", rollups.c.dimension, rollups.c.value, rollups.c.grain, rollups.c.bucket)

breakdowns = Table(
    "breakdowns",
    metadata,
    Column("grain", Integer, primary_key=True, autoincrement=False),
    Column("scope", BigInteger, primary_key=True, autoincrement=False),
    Column("dimension", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("value", BigInteger, primary_key=True, autoincrement=False),
    *(Column(measure, BigInteger, nullable=False) for measure in PARTS),
    sqlite_with_rowid=False,
)
"""Sums per hour, day or month over the calls of one value (`scope`: a team, a key …), by the values of another
dimension: see `dimensions.BY_HOUR` and `BY_DAY`."""

events = Table(
    "events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("about", Text, nullable=False),
)
"""What workers noted for people (`journal.Event`); `about` is JSON."""

repricings = Table(
    "repricings",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("target", Text),
    Column("done_to", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("difference_nano_usd", BigInteger, nullable=False),
    Column("finished", Boolean, nullable=False),
)
"""Corrections of prices after the fact: who asked for one, why, over what, and what it changed. `done_to` is the last
`seq` that it has looked at."""

carried = Table(
    "carried",
    metadata,
    Column("row", LargeBinary, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, BigInteger, nullable=False) for name in (
        "requests", "input_tokens", "output_tokens", "cost_nano_usd"
    )),
    sqlite_with_rowid=False,
)  # fmt: skip
"""What budgets count of calls that were let go of: by the row of their counters (UTF-8) and the id of the rule. `day`
is 0 for a budget that never ends, else the start of the day that the calls came on."""
Index("ix_carried_rule", carried.c.rule, carried.c.day)
