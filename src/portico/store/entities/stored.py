"""Keys as their rows have them, with the hashes that they go by, and what budgets there are: for who needs all.

What is in the store was checked when it came there. Read without its checks, and without what no holder is made of, a
key takes a quarter of the time that `rows` takes for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from portico.config.schema import Budget, Limit
from portico.rules import Priority
from portico.store.entities.tables import KEY_HASHES, TABLES
from portico.store.entities.things import Bodies, Json

AT_ONCE: Final = 1_000
"""Hashes read at a time."""


class Stored(msgspec.Struct, kw_only=True, gc=False):
    """What a holder is made of, of a key that the store has: the same fields as `things.Key`."""

    id: str = ""
    name: str = ""
    org: str | None = None
    team: str | None = None
    user: str | None = None
    blocked: bool = False
    expires: datetime | None = None
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    passthrough: tuple[str, ...] = ()
    defaults: Json = {}
    enforced: Json = {}
    aliases: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    default_max_tokens: int | None = None
    allowance_usd: float | None = None
    bodies: Bodies | None = None
    markup: float | None = None
    priority: Priority = "normal"
    template: str | None = None
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


class Entry(NamedTuple):
    """A hash, until when it is good (milliseconds since the epoch; None: as long as its key), and its key."""

    digest: bytes
    until_ms: int | None
    key: Stored


_keys: Final = TABLES["key"]
_entries: Final = select(KEY_HASHES.c.digest, KEY_HASHES.c.until_ms, _keys.c.id, _keys.c.body).join_from(
    KEY_HASHES, _keys, KEY_HASHES.c.key == _keys.c.id
)
_decode: Final = msgspec.json.Decoder(Stored).decode


def pages(db: Connection) -> Iterator[list[Entry]]:
    """Yield all hashes with their keys, some at a time, as they come: in the order of hashes takes twice the time."""
    with db.execute(_entries.execution_options(yield_per=AT_ONCE)) as found:
        for part in found.partitions():
            yield _read(part)


def of(db: Connection, keys: Sequence[str]) -> list[Entry]:
    """Return the hashes of these keys, with them."""
    found: list[Entry] = []
    for start in range(0, len(keys), AT_ONCE):
        found += _read(db.execute(_entries.where(_keys.c.id.in_(keys[start : start + AT_ONCE]))).all())
    return found


def budgets(db: Connection, kind: str) -> set[Budget]:
    """Return the budgets that objects of a kind have, each once."""
    table = TABLES[kind]
    # where an object has any, its body has these very bytes; what else has them is read too, and changes nothing
    query = select(table.c.body).where(table.c.body.contains(_SOME, autoescape=True))
    told = {bytes(_budgeted(body).budgets) for body in db.execute(query).scalars()}
    return {budget for each in told for budget in _budgets(each)}


_SOME: Final = '"budgets":[{'


class _Budgeted(msgspec.Struct):
    budgets: msgspec.Raw


_budgeted: Final = msgspec.json.Decoder(_Budgeted).decode
_budgets: Final = msgspec.json.Decoder(tuple[Budget, ...]).decode


def _read(rows: Iterable[Row[Any, Any, Any, Any]]) -> list[Entry]:
    found = []
    for digest, until_ms, id, body in rows:  # noqa: A001  # the word of every API
        key = _decode(body)
        key.id = id
        found.append(Entry(bytes(digest), until_ms, key))
    return found
