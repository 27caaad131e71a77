"""Sums of what is billed on: the cost of calls with their markups.

What was summed up before stands as if nothing had been marked up; records have always had what was billed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = ("rollups", "breakdowns")


def upgrade() -> None:
    """Add the column to both tables of sums."""
    for name in TABLES:
        op.add_column(name, sa.Column("billed_nano_usd", sa.BigInteger(), nullable=False, server_default="0"))
        table = sa.table(name, sa.column("billed_nano_usd"), sa.column("cost_nano_usd"))
        op.execute(table.update().values(billed_nano_usd=table.c.cost_nano_usd))


def downgrade() -> None:
    """Remove it."""
    for name in TABLES:
        op.drop_column(name, "billed_nano_usd")
