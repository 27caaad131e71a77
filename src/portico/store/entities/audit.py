"""The audit: every change with what was before and after, in a chain of hashes that shows what was altered.

The chain is keyed with the installation's secret, so that who can write to the database alone cannot write a new chain.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from portico.store.entities.tables import AUDIT

GENESIS: Final = bytes(32)


class Entry(msgspec.Struct, frozen=True):
    """One change. `before` and `after` are the object as the API shows it; absent for what was not, or is no more."""

    seq: int
    at_ms: int
    actor: str
    action: str
    kind: str
    object: str
    before: msgspec.Raw | None
    after: msgspec.Raw | None
    hash: str


class Broken(msgspec.Struct, frozen=True):
    """Where the chain does not hold, and why."""

    seq: int
    why: str


def append(
    db: Connection,
    key: bytes,
    at_ms: int,
    actor: str,
    action: str,
    kind: str,
    object: str,  # noqa: A002  # what it is
    before: object = None,
    after: object = None,
) -> int:
    """Write one change at the end of the chain; return its number. In the transaction that makes the change."""
    last = db.execute(select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1).with_for_update()).first()
    seq, previous = (last.seq + 1, bytes(last.hash)) if last is not None else (1, GENESIS)
    values: dict[str, Any] = {
        "seq": seq,
        "at_ms": at_ms,
        "actor": actor,
        "action": action,
        "kind": kind,
        "object": object,
        "before": _plain(before),
        "after": _plain(after),
    }
    db.execute(insert(AUDIT).values(hash=_link(key, previous, values), **values))
    return seq


def page(db: Connection, before: int | None, limit: int, kind: str | None = None, id: str | None = None) -> list[Entry]:  # noqa: A002
    """Return changes, newest first, from the one before `before` on."""
    query = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(AUDIT.c.seq < before)
    if kind is not None:
        query = query.where(AUDIT.c.kind == kind)
    if id is not None:
        query = query.where(AUDIT.c.object == id)
    return [_entry(row) for row in db.execute(query)]


def last(db: Connection) -> int:
    """Return the number of the newest change; 0 where there is none."""
    return db.execute(select(func.max(AUDIT.c.seq))).scalar() or 0


def verify(db: Connection, key: bytes, slice_of: int = 1000) -> tuple[int, Broken | None]:
    """Return how many changes hold together, and where the chain breaks, if it does.

    A chain does not know its own end: note the last number and hash elsewhere to see that none was cut off.
    """
    previous, expected = GENESIS, 1
    while True:
        rows = db.execute(select(AUDIT).where(AUDIT.c.seq >= expected).order_by(AUDIT.c.seq).limit(slice_of)).all()
        for row in rows:
            if row.seq != expected:
                return expected - 1, Broken(expected, "it is missing")
            values = {name: getattr(row, name) for name in _HASHED}
            if _link(key, previous, values) != bytes(row.hash):
                return expected - 1, Broken(row.seq, "it, or the one before it, was altered")
            previous, expected = bytes(row.hash), expected + 1
        if not rows:
            return expected - 1, None


_HASHED: Final = ("seq", "at_ms", "actor", "action", "kind", "object", "before", "after")


def _link(key: bytes, previous: bytes, values: Mapping[str, Any]) -> bytes:
    text = msgspec.json.encode([values[name] for name in _HASHED])
    return hashlib.blake2b(previous + text, key=key, digest_size=32).digest()


def _plain(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _entry(row: Row[Any]) -> Entry:
    before, after = (None if text is None else msgspec.Raw(text.encode()) for text in (row.before, row.after))
    return Entry(row.seq, row.at_ms, row.actor, row.action, row.kind, row.object, before, after, bytes(row.hash).hex())
