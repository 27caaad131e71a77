"""Objects in and out of their tables: made, found, paged by id, replaced against the version that was seen, removed."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from portico.errors import PorticoError
from portico.store.entities.kinds import KINDS, REFERENCES, Kind
from portico.store.entities.tables import TABLES
from portico.store.entities.things import STAMPS, Thing

Where = Mapping[str, str | Sequence[str] | None]
"""What columns must hold: a value, one of several, or nothing (None)."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u


class Taken(PorticoError):
    """An object of this id, or with this unique field, is there already."""

    status = 409
    code = "already_exists"
    fault = "caller"


class Changed(PorticoError):
    """The object is another version than the one that was seen."""

    status = 412
    code = "version_mismatch"
    fault = "caller"


def new_id(kind: Kind) -> str:
    """Return an id that nothing has: 80 random bits behind the kind's prefix."""
    return f"{kind.prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(16))}"


def body_of(thing: Thing) -> dict[str, Any]:
    """Return an object's own fields as plain data, without its id, version and times."""
    plain = msgspec.to_builtins(thing)
    assert isinstance(plain, dict)
    return {name: value for name, value in plain.items() if name not in STAMPS}


def make(db: Connection, kind: Kind, thing: Thing, now_ms: int) -> Thing:
    """Put something new into its table and return it as it stands there. Raises Taken."""
    if find(db, kind, thing.id) is not None:
        raise Taken(f"there is a {kind.name} {thing.id!r} already", param="id")
    body = body_of(thing)
    columns = {name: body.get(name) for name in kind.columns}
    values = {"id": thing.id, "version": 1, "created_ms": now_ms, "updated_ms": now_ms, **columns}
    db.execute(insert(TABLES[kind.name]).values(body=_encoded(body), **values))
    found = find(db, kind, thing.id)
    assert found is not None
    return found


def find(db: Connection, kind: Kind, id: str) -> Thing | None:  # noqa: A002  # the word of every API
    """Return the object of this id."""
    row = db.execute(select(TABLES[kind.name]).where(TABLES[kind.name].c.id == id)).first()
    return None if row is None else _thing(kind, row)


def replace(db: Connection, kind: Kind, thing: Thing, seen: int, now_ms: int) -> Thing:
    """Put a changed object in the place of the version that was `seen`. Raises Changed where it is another by now."""
    table = TABLES[kind.name]
    body = body_of(thing)
    columns = {name: body.get(name) for name in kind.columns}
    done = db.execute(
        update(table)
        .where(table.c.id == thing.id, table.c.version == seen)
        .values(body=_encoded(body), version=seen + 1, updated_ms=now_ms, **columns)
    )
    if done.rowcount != 1:
        raise Changed(f"the {kind.name} {thing.id!r} was changed meanwhile; read it again")
    found = find(db, kind, thing.id)
    assert found is not None
    return found


def remove(db: Connection, kind: Kind, id: str, seen: int) -> None:  # noqa: A002
    """Take an object away. Raises Changed where it is another version by now."""
    table = TABLES[kind.name]
    if db.execute(delete(table).where(table.c.id == id, table.c.version == seen)).rowcount != 1:
        raise Changed(f"the {kind.name} {id!r} was changed meanwhile; read it again")


def page(db: Connection, kind: Kind, where: Where, after: str, limit: int) -> list[Thing]:
    """Return the objects that `where` selects, by id, from the one after `after` on."""
    table = TABLES[kind.name]
    query = select(table).where(table.c.id > after, *_conditions(kind, where)).order_by(table.c.id).limit(limit)
    return [_thing(kind, row) for row in db.execute(query).all()]


def every(db: Connection, kind: Kind, where: Where | None = None, slice_of: int = 1000) -> Iterator[Thing]:
    """Yield all objects that `where` selects, by id, read in slices."""
    after = ""
    while found := page(db, kind, where or {}, after, slice_of):
        yield from found
        after = found[-1].id


def count(db: Connection, kind: Kind, where: Where | None = None) -> int:
    """Return how many there are."""
    table = TABLES[kind.name]
    return db.execute(select(func.count()).select_from(table).where(*_conditions(kind, where or {}))).scalar_one()


def used_by(db: Connection, kind: Kind, id: str) -> str | None:  # noqa: A002
    """Return the name of a kind that refers to an object, None where nothing does."""
    for field, referred in REFERENCES.items():
        if referred == kind.name:
            for other in KINDS.values():
                if field in other.columns and page(db, other, {field: id}, "", 1):
                    return other.name
    return None


def keys_under(db: Connection, kind: Kind, id: str) -> list[str]:  # noqa: A002
    """Return the ids of the keys whose holder an object of this kind is part of."""
    keys = TABLES["key"]
    if kind.name == "key":
        return [id]
    if kind.name in ("team", "user"):
        chosen: ColumnElement[bool] = keys.c[kind.name] == id
    elif kind.name == "membership":
        team, _, user = id.partition("/")
        chosen = and_(keys.c.team == team, keys.c.user == user)
    elif kind.name in ("organization", "template"):
        chosen = _through("org" if kind.name == "organization" else "template", id)
    else:
        return []
    return list(db.execute(select(keys.c.id).where(chosen)).scalars())


def _through(field: str, id: str) -> ColumnElement[bool]:  # noqa: A002
    """Return the condition of keys that refer to something themselves, or whose team, user or membership does."""
    keys, teams, users, members = (TABLES[name] for name in ("key", "team", "user", "membership"))
    of_team = keys.c.team.in_(select(teams.c.id).where(teams.c[field] == id))
    of_user = keys.c.user.in_(select(users.c.id).where(users.c[field] == id))
    found = [keys.c[field] == id, of_team, of_user]
    if field == "template":
        held = select(members.c.id).where(members.c.template == id)
        found.append((keys.c.team + "/" + keys.c.user).in_(held))
    return or_(*found)


def _conditions(kind: Kind, where: Where) -> list[ColumnElement[bool]]:
    table = TABLES[kind.name]
    found: list[ColumnElement[bool]] = []
    for name, wanted in where.items():
        column = table.c[name]
        if wanted is None:
            found.append(column.is_(None))
        elif isinstance(wanted, str):
            found.append(column == wanted)
        else:
            found.append(column.in_(list(wanted)))
    return found


def _encoded(body: dict[str, Any]) -> str:
    return msgspec.json.encode(body).decode()


def _thing(kind: Kind, row: Row[Any]) -> Thing:
    body = msgspec.json.decode(row.body)
    stamps = {"id": row.id, "version": row.version}
    times = {"created_at": time(row.created_ms), "updated_at": time(row.updated_ms)}
    return msgspec.convert({**body, **stamps, **times}, kind.struct)


def time(ms: int) -> datetime:
    """Return milliseconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
