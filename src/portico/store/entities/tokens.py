"""Gateway keys: made, hashed, found by their hash, rotated with a time of grace."""

import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from portico.store.entities.tables import KEY_HASHES

PREFIX: Final = "sk-portico-"


class Hashed(msgspec.Struct, frozen=True):
    """A hash that a key goes by, until when (milliseconds since the epoch; None: as long as the key is good)."""

    digest: bytes
    key: str
    prefix: str
    until_ms: int | None = None


def new_token() -> str:
    """Return a new key: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def shown(token: str) -> str:
    """Return what people may see of a key: how it begins and ends; too little of it to guess the rest."""
    return f"{token[:15]}…{token[-4:]}" if len(token) >= 32 else f"{token[:4]}…"


def remember(db: Connection, key: str, digest: bytes, prefix: str) -> None:
    """Let a key go by this hash from now on."""
    db.execute(insert(KEY_HASHES).values(digest=digest, key=key, prefix=prefix, until_ms=None))


def retire(db: Connection, key: str, until_ms: int) -> None:
    """Let the hashes of a key be good until then and no longer; one that ends sooner keeps its end."""
    sooner = or_(KEY_HASHES.c.until_ms.is_(None), KEY_HASHES.c.until_ms > until_ms)
    db.execute(update(KEY_HASHES).where(KEY_HASHES.c.key == key, sooner).values(until_ms=until_ms))


def hashes(db: Connection, keys: Iterable[str]) -> list[Hashed]:
    """Return all the hashes of these keys."""
    wanted = list(keys)
    found: list[Hashed] = []
    for start in range(0, len(wanted), 500):
        query = select(KEY_HASHES).where(KEY_HASHES.c.key.in_(wanted[start : start + 500])).order_by(KEY_HASHES.c.key)
        found += _rows(db, query)
    return found


def holder_of(db: Connection, digest: bytes, now_ms: int) -> str | None:
    """Return the id of the key with this hash, where that hash is still good."""
    query = select(KEY_HASHES).where(KEY_HASHES.c.digest == digest)
    for row in _rows(db, query):
        if row.until_ms is None or row.until_ms > now_ms:
            return row.key
    return None


def known(db: Connection, digest: bytes) -> bool:
    """Whether a key goes, or went, by this hash."""
    return db.execute(select(KEY_HASHES.c.key).where(KEY_HASHES.c.digest == digest)).first() is not None


def forget(db: Connection, key: str) -> list[bytes]:
    """Remove all hashes of a key, and return them."""
    digests = [row.digest for row in hashes(db, [key])]
    db.execute(delete(KEY_HASHES).where(KEY_HASHES.c.key == key))
    return digests


def _rows(db: Connection, query: Select[Any]) -> Iterator[Hashed]:
    for digest, key, prefix, until_ms in db.execute(query).all():
        yield Hashed(bytes(digest), key, prefix, until_ms)
