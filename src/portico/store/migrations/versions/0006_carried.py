"""What budgets count of calls that were let go of. Of those that went before this, nothing is known."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "carried",
        sa.Column("row", sa.LargeBinary(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("row", "rule", "day", name="pk_carried"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_carried_rule", "carried", ["rule", "day"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("carried")
