"""Calls, the names that they are told apart by, their sums over time, and how far the journal is read."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEADS = ("customer", "key", "user", "team", "target", "model", "session")
TOKENS = (
    "input cache_read cache_write_5m cache_write_1h input_audio input_image output reasoning output_audio output_image"
)
MEASURES = (
    "requests",
    "errors",
    *TOKENS.split(),
    "cost_nano_usd",
    "unpriced",
    "total_us",
    "overhead_us",
    "first_byte_us",
    "answered",
    *(f"t{slot}" for slot in range(20)),
    *(f"f{slot}" for slot in range(20)),
)
PARTS = ("requests", "errors", "input_tokens", "output_tokens", "cost_nano_usd")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _key(name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, kind(), autoincrement=False, nullable=False)


def _id() -> sa.Column[int]:
    return sa.Column("id", SERIAL, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "names",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        _text("value"),
        sa.PrimaryKeyConstraint("id", name="pk_names"),
        sa.UniqueConstraint("kind", "value", name="uq_names_kind_value"),
    )
    op.create_table(
        "segments",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        _text("name"),
        _text("owner"),
        _number("done_to"),
        _flag("whole"),
        _number("bodies"),
        _number("last_ms"),
        _number("damaged"),
        _number("lost"),
        _flag("removed"),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
        sa.UniqueConstraint("name", name="uq_segments_name"),
    )
    op.create_table(
        "calls",
        sa.Column("seq", SERIAL, autoincrement=False, nullable=False),
        _text("id"),
        *(
            sa.Column(name, sa.BigInteger())
            for name in ("org", "team", "user", "key", "customer", "model", "target", "provider", "operation")
        ),
        sa.Column("session", sa.Text()),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("status_class", sa.SmallInteger(), nullable=False),
        _flag("stream"),
        _text("end"),
        _text("basis"),
        sa.Column("pricing", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("cost_nano_usd", sa.BigInteger()),
        _number("input_tokens"),
        _number("output_tokens"),
        _number("total_us"),
        _number("segment"),
        _number("place"),
        _number("body"),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_calls"),
        sa.UniqueConstraint("id", name="uq_calls_id"),
    )
    for name in LEADS:
        there = sa.column(name).is_not(None)
        op.create_index(f"ix_calls_{name}", "calls", [name, "seq"], sqlite_where=there, postgresql_where=there)
    bad = sa.text("status_class != 2")
    op.create_index("ix_calls_status_class", "calls", ["status_class", "seq"], sqlite_where=bad, postgresql_where=bad)
    op.create_table(
        "call_tags",
        _key("tag"),
        _key("seq"),
        sa.PrimaryKeyConstraint("tag", "seq", name="pk_call_tags"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollups",
        _key("grain", sa.Integer),
        _key("dimension", sa.SmallInteger),
        _key("bucket"),
        _key("value"),
        *map(_number, MEASURES),
        sa.PrimaryKeyConstraint("grain", "dimension", "bucket", "value", name="pk_rollups"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_rollups_value", "rollups", ["dimension", "value", "grain", "bucket"])
    op.create_table(
        "breakdowns",
        _key("grain", sa.Integer),
        _key("scope"),
        _key("dimension", sa.SmallInteger),
        _key("bucket"),
        _key("value"),
        *map(_number, PARTS),
        sa.PrimaryKeyConstraint("grain", "scope", "dimension", "bucket", "value", name="pk_breakdowns"),
        sqlite_with_rowid=False,
    )
    op.create_table("events", _id(), _number("time_ms"), _text("name"), _text("about"))
    op.create_index("ix_events_time_ms", "events", ["time_ms"])
    op.create_table(
        "repricings",
        _id(),
        _number("time_ms"),
        _text("actor"),
        _text("reason"),
        _number("from_ms"),
        _number("to_ms"),
        sa.Column("target", sa.Text()),
        _number("done_to"),
        _number("seen"),
        _number("changed"),
        _number("difference_nano_usd"),
        _flag("finished"),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("repricings", "events", "breakdowns", "rollups", "call_tags", "calls", "segments", "names"):
        op.drop_table(table)
