"""Making, reading, changing and removing objects: what the routes of every kind have in common."""

from collections.abc import Iterator
from typing import Any

import msgspec

from portico.control.actors import Actor, matches, reach
from portico.control.admin import Change, Look
from portico.control.checks import check
from portico.control.problems import InUse
from portico.control.replies import Page, merged
from portico.control.routing import Answer, Asked, Changes, Reads, converted
from portico.errors import Forbidden, NotFound
from portico.store.entities import rows
from portico.store.entities.declared import declared_things
from portico.store.entities.kinds import KINDS, Kind
from portico.store.entities.things import Thing


class Listed(msgspec.Struct, frozen=True):
    """A page: its items, and where the next one begins."""

    items: list[Any]
    next: str | None = None


def listing(name: str) -> Reads:
    """Return what lists a kind. Objects of the configuration stand among the others, by id."""
    kind = KINDS[name]

    def reads(look: Look, asked: Asked) -> Answer:
        wanted = {field: value for field, value in filters(asked.query).items() if field in kind.columns}
        return Answer(page(look, kind, asked.query, wanted))

    return reads


def reading(name: str) -> Reads:
    """Return what reads one object."""
    kind = KINDS[name]

    def reads(look: Look, asked: Asked) -> Answer:
        thing = look.see(kind, asked.path["id"])
        return Answer(thing, thing.version)

    return reads


def making(name: str) -> Changes:
    """Return what makes an object."""
    kind = KINDS[name]

    def changes(change: Change, asked: Asked) -> Answer:
        made = make(change, kind, plain(asked.body))
        return Answer(made, made.version, f"/api/v1/{kind.plural}/{made.id}")

    return changes


def changing(name: str) -> Changes:
    """Return what changes an object."""
    kind = KINDS[name]

    def changes(change: Change, asked: Asked) -> Answer:
        before = change.find(kind, asked.path["id"], seen=asked.seen)
        after = alter(change, kind, before, asked.body)
        return Answer(after, after.version)

    return changes


def removing(name: str) -> Changes:
    """Return what removes an object."""
    kind = KINDS[name]

    def changes(change: Change, asked: Asked) -> Answer:
        remove(change, kind, change.find(kind, asked.path["id"], seen=asked.seen))
        return Answer()

    return changes


def make(change: Change, kind: Kind, fields: dict[str, Any]) -> Thing:
    """Make an object of these fields. Raises Unprocessable, Forbidden, Taken, DeclaredThere."""
    fields = {**fields, "id": fields.get("id") or rows.new_id(kind)}
    thing: Thing = converted(at_home(change.actor, kind, fields), kind.struct)
    check(change, kind, None, thing)
    return change.make(kind, thing)


def alter(change: Change, kind: Kind, before: Thing, said: msgspec.Struct, action: str = "update") -> Thing:
    """Change what is said of an object. Raises Unprocessable, Forbidden, Changed."""
    after: Thing = converted(merged(before, said), kind.struct)
    check(change, kind, before, after)
    if kind.name in ("team", "user") and getattr(before, "org", None) != getattr(after, "org", None):
        _alone(change, kind, before)
    return change.replace(kind, before, after, action)


def remove(change: Change, kind: Kind, thing: Thing) -> None:
    """Remove an object. Raises InUse where others refer to it."""
    if kind.name in ("key", "organization"):
        check(change, kind, thing, thing)
    _alone(change, kind, thing)
    change.remove(kind, thing)


def page(look: Look, kind: Kind, asked: Page, wanted: rows.Where) -> Listed:
    """Return a page of what the actor may see, by id."""
    within = reach(look.actor, kind.name)
    if within is None:
        return Listed([])
    clash = any(name in wanted and wanted[name] != value for name, value in within.items())
    if clash:
        return Listed([])
    where = {**wanted, **within}
    found = rows.page(look.db, kind, where, asked.after, asked.limit + 1)
    found += [thing for thing in _declared(look, kind, asked.after) if matches(where, thing)]
    found = sorted(found, key=lambda thing: thing.id)[: asked.limit + 1]
    more = len(found) > asked.limit
    items = found[: asked.limit]
    return Listed(items, items[-1].id if more else None)


def at_home(actor: Actor, kind: Kind, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of something new with what follows from who makes it: its organization, team or user."""
    within = reach(actor, kind.name)
    if within is None:
        raise Forbidden(f"the role {actor.role!r} reaches no {kind.name} here")
    own = {name: value for name, value in within.items() if name != "id" and fields.get(name) is None}
    if "id" in within and fields["id"] != within["id"]:
        raise Forbidden(f"the role {actor.role!r} makes no {kind.name}")
    return {**fields, **own}


def plain(body: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that a body has, as plain data."""
    found = msgspec.to_builtins(body)
    assert isinstance(found, dict)
    return found


def filters(query: msgspec.Struct | None) -> dict[str, str]:
    """Return what a query selects by: its fields but for those of the page."""
    if query is None:
        return {}
    names = [name for name in query.__struct_fields__ if name not in Page.__struct_fields__]
    return {name: value for name in names if (value := getattr(query, name)) is not None}


def member_of(look: Look, team: str, user: str) -> Thing:
    """Return a membership. Raises NotFound."""
    found = rows.find(look.db, KINDS["membership"], f"{team}/{user}")
    if found is None:
        raise NotFound(f"{user!r} is no member of the team {team!r}")
    return found


def _alone(change: Change, kind: Kind, thing: Thing) -> None:
    user = rows.used_by(change.db, kind, thing.id)
    if user is not None:
        raise InUse(f"the {kind.name} {thing.id!r} still has a {user}; remove or move that first")


def _declared(look: Look, kind: Kind, after: str) -> Iterator[Thing]:
    for thing in declared_things(look.admin.config, kind.name):
        if thing.id > after:
            yield thing
