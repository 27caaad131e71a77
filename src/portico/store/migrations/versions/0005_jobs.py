"""An index over the records of jobs: a few among all calls, and listed by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add it."""
    of_jobs = sa.text("substr(id, length(id) - 3) = '-job'")
    op.create_index("ix_calls_jobs", "calls", ["operation", "seq"], sqlite_where=of_jobs, postgresql_where=of_jobs)


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_calls_jobs", "calls")
