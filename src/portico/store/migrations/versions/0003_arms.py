"""Sums by the month, from those by the day; and the side of a split (its arm) that each call was given.

Calls that were recorded before stand without an arm, and are in no sum of one.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

DAY, MONTH = 86_400, 2_592_000
ARM = 12
KEYS = {"rollups": ("dimension", "value"), "breakdowns": ("scope", "dimension", "value")}


def upgrade() -> None:
    """Add the column, and sum up."""
    op.add_column("calls", sa.Column("arm", sa.BigInteger()))
    there = sa.column("arm").is_not(None)
    op.create_index("ix_calls_arm", "calls", ["arm", "seq"], sqlite_where=there, postgresql_where=there)
    for name, key in KEYS.items():
        table = _table(name)
        first, last = (
            op.get_bind()
            .execute(sa.select(sa.func.min(table.c.bucket), sa.func.max(table.c.bucket)).where(table.c.grain == DAY))
            .one()
        )
        month = None if first is None else datetime.fromtimestamp(first, UTC).replace(day=1)
        while month is not None and month.timestamp() <= last:
            following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
            _sum_up(table, key, int(month.timestamp()), int(following.timestamp()))
            month = following


def downgrade() -> None:
    """Remove both."""
    for name in KEYS:
        table = _table(name)
        op.execute(table.delete().where(table.c.grain == MONTH))
        op.execute(table.delete().where(table.c.dimension == ARM))
    names = sa.table("names", sa.column("kind"))
    op.execute(names.delete().where(names.c.kind == ARM))
    op.drop_index("ix_calls_arm", "calls")
    op.drop_column("calls", "arm")


def _table(name: str) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind())


def _sum_up(table: sa.Table, key: tuple[str, ...], begin: int, end: int) -> None:
    measures = [column for column in table.columns if column.name not in ("grain", "bucket", *key)]
    columns = ["grain", "bucket", *key, *(column.name for column in measures)]
    days = (
        sa.select(
            sa.literal(MONTH, sa.Integer()),
            sa.literal(begin, sa.BigInteger()),
            *(table.c[name] for name in key),
            *(sa.cast(sa.func.sum(column), sa.BigInteger()) for column in measures),
        )
        .where(table.c.grain == DAY, table.c.bucket >= begin, table.c.bucket < end)
        .group_by(*(table.c[name] for name in key))
    )
    op.execute(table.insert().from_select(columns, days))
