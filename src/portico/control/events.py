"""What people want to hear of, in the admin API: budgets and limits that were passed, or closed."""

import json
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta
from sqlalchemy import select

from portico.control.admin import Look
from portico.control.replies import Limit
from portico.control.routing import Answer, Asked
from portico.errors import Forbidden
from portico.store.entities.rows import time
from portico.store.entities.things import Moment
from portico.store.tables import events


class EventsAsked(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which events are asked for, newest first: those of a name, from a time on, from the one after `after` on."""

    limit: Limit = 50
    after: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None
    name: Annotated[str, Meta(max_length=64)] | None = None
    since: Moment | None = None


class Event(msgspec.Struct, kw_only=True, frozen=True):
    """One event. `about` says of what: the row and rule, its amount, and how much of it is used."""

    id: str
    at: Moment
    name: str
    about: dict[str, Any]


class EventsPage(msgspec.Struct, kw_only=True, frozen=True):
    """A page of events."""

    items: list[Event]
    next: str | None = None


def list_events(look: Look, asked: Asked) -> Answer:
    """List events."""
    if look.actor.level != "all":
        raise Forbidden("events are of the whole installation")
    query = cast("EventsAsked", asked.query)
    chosen = select(events).order_by(events.c.id.desc()).limit(query.limit + 1)
    if query.after is not None:
        chosen = chosen.where(events.c.id < query.after)
    if query.name is not None:
        chosen = chosen.where(events.c.name == query.name)
    if query.since is not None:
        chosen = chosen.where(events.c.time_ms >= int(query.since.timestamp() * 1000))
    found = look.db.execute(chosen).all()
    items = [
        Event(id=str(row.id), at=time(row.time_ms), name=row.name, about=json.loads(row.about))
        for row in found[: query.limit]
    ]
    return Answer(EventsPage(items=items, next=items[-1].id if len(found) > query.limit else None))
