"""Who may call: organizations, teams, users, keys, customers and their bounds; credentials, prices; the audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WORD: TypeEngine[str] = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNT: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_OBJECTS: dict[str, tuple[str, ...]] = {
    "organizations": ("template",),
    "teams": ("org", "template"),
    "users": ("org", "template", "email"),
    "memberships": ("team", "user", "template"),
    "keys": ("org", "team", "user", "template"),
    "customers": ("template",),
    "tags": ("template",),
    "templates": (),
    "limits": (),
    "budgets": (),
    "credentials": ("team", "provider"),
    "prices": ("model",),
}


def upgrade() -> None:
    """Make the tables."""
    for name, columns in _OBJECTS.items():
        op.create_table(
            name,
            sa.Column("id", _WORD, primary_key=True),
            *(sa.Column(column, _WORD) for column in columns),
            sa.Column("body", sa.Text, nullable=False),
            sa.Column("version", _COUNT, nullable=False),
            sa.Column("created_ms", _COUNT, nullable=False),
            sa.Column("updated_ms", _COUNT, nullable=False),
        )
        for column in columns:
            op.create_index(f"ix_{name}_{column}", name, [column, "id"])
    op.create_table(
        "key_hashes",
        sa.Column("digest", sa.LargeBinary(16), primary_key=True),
        sa.Column("key", _WORD, sa.ForeignKey("keys.id", ondelete="CASCADE"), nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("until_ms", _COUNT),
    )
    op.create_index("ix_key_hashes_key", "key_hashes", ["key"])
    op.create_table(
        "sealed",
        sa.Column("credential", _WORD, sa.ForeignKey("credentials.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("box", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("seq", _COUNT, primary_key=True, autoincrement=False),
        sa.Column("at_ms", _COUNT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("object", _WORD, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_index("ix_audit_object", "audit", ["kind", "object", "seq"])
    op.create_table(
        "idempotent",
        sa.Column("actor", _WORD, primary_key=True),
        sa.Column("key", _WORD, primary_key=True),
        sa.Column("asked", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("box", sa.LargeBinary, nullable=False),
        sa.Column("at_ms", _COUNT, nullable=False),
    )
    op.create_index("ix_idempotent_at_ms", "idempotent", ["at_ms"])
    op.create_table("marks", sa.Column("name", _WORD, primary_key=True), sa.Column("value", _WORD, nullable=False))

    _append_only()


def _append_only() -> None:
    """Let the database itself refuse to alter the audit."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION portico_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit "
            "FOR EACH ROW EXECUTE FUNCTION portico_append_only()"
        )
        return
    for what in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER audit_no_{what} BEFORE {what.upper()} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )


def downgrade() -> None:
    """Take the tables away, and all that is in them."""
    for name in ("marks", "idempotent", "audit", "sealed", "key_hashes", *_OBJECTS):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION portico_append_only()")
