"""The tables of who may call, of changes, and of requests that must not be done twice."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.types import TypeEngine

from portico.store.entities.kinds import KINDS, Kind
from portico.store.tables import metadata

WORD: Final[TypeEngine[str]] = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is ordered by its bytes, as pages by id need it; other collations skip what they take for punctuation."""
COUNT: Final[TypeEngine[int]] = BigInteger().with_variant(Integer(), "sqlite")


def _table(kind: Kind) -> Table:
    columns = [Column(name, WORD) for name in kind.columns]
    indexes = [Index(f"ix_{kind.plural}_{name}", name, "id") for name in kind.columns]
    return Table(
        kind.plural,
        metadata,
        Column("id", WORD, primary_key=True),
        *columns,
        Column("body", Text, nullable=False),
        Column("version", COUNT, nullable=False),
        Column("created_ms", COUNT, nullable=False),
        Column("updated_ms", COUNT, nullable=False),
        *indexes,
    )


TABLES: Final[Mapping[str, Table]] = {name: _table(kind) for name, kind in KINDS.items()}
"""The table of each kind, by the kind's name."""

KEY_HASHES: Final = Table(
    "key_hashes",
    metadata,
    Column("digest", LargeBinary(16), primary_key=True),
    Column("key", WORD, ForeignKey("keys.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("prefix", Text, nullable=False),
    Column("until_ms", COUNT),
)
"""The keyed hashes that a key goes by: the current one (no `until_ms`), and old ones in their time of grace."""

SEALED: Final = Table(
    "sealed",
    metadata,
    Column("credential", WORD, ForeignKey("credentials.id", ondelete="CASCADE"), primary_key=True),
    Column("box", LargeBinary, nullable=False),
)
"""The secrets of providers, encrypted."""

AUDIT: Final = Table(
    "audit",
    metadata,
    Column("seq", COUNT, primary_key=True, autoincrement=False),
    Column("at_ms", COUNT, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("kind", WORD, nullable=False),
    Column("object", WORD, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("hash", LargeBinary(32), nullable=False),
    Index("ix_audit_object", "kind", "object", "seq"),
)
"""Every change, each with a hash over itself and the one before it."""

IDEMPOTENT: Final = Table(
    "idempotent",
    metadata,
    Column("actor", WORD, primary_key=True),
    Column("key", WORD, primary_key=True),
    Column("asked", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("box", LargeBinary, nullable=False),
    Column("at_ms", COUNT, nullable=False, index=True),
)
"""Replies to requests with an Idempotency-Key, sealed: one of them may hold a new key."""

MARKS: Final = Table("marks", metadata, Column("name", WORD, primary_key=True), Column("value", WORD, nullable=False))
"""Single values: up to which change state is known to hold all."""
