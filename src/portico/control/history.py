"""The audit in the admin API: who changed what, and whether the chain of changes holds."""

from datetime import datetime
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from portico.control.admin import Look
from portico.control.replies import Limit
from portico.control.routing import Answer, Asked
from portico.errors import Forbidden
from portico.store.entities import audit
from portico.store.entities.rows import time


class ChangesAsked(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which changes are asked for, newest first."""

    limit: Limit = 50
    after: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None
    kind: Annotated[str, Meta(max_length=64)] | None = None
    object: Annotated[str, Meta(max_length=512)] | None = None


class Changed(msgspec.Struct, kw_only=True, frozen=True):
    """One change: who (`actor`, a key's id) did what (`action`) to which object, before and after."""

    seq: int
    at: datetime
    actor: str
    action: str
    kind: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


class ChangesPage(msgspec.Struct, kw_only=True, frozen=True):
    """A page of changes."""

    items: list[Changed]
    next: str | None = None


class Verified(msgspec.Struct, kw_only=True, frozen=True):
    """How many changes hold together, and where the chain breaks, if it does."""

    sound: bool
    changes: int
    broken_at: int | None = None
    why: str | None = None


def list_changes(look: Look, asked: Asked) -> Answer:
    """List changes."""
    _everywhere(look)
    query = cast("ChangesAsked", asked.query)
    found = audit.page(look.db, query.after, query.limit + 1, query.kind, query.object)
    items = [_shown(entry) for entry in found[: query.limit]]
    return Answer(ChangesPage(items=items, next=str(items[-1].seq) if len(found) > query.limit else None))


def verify(look: Look, _asked: Asked) -> Answer:
    """Recompute the chain of changes."""
    _everywhere(look)
    changes, broken = audit.verify(look.db, look.admin.chain)
    if broken is None:
        return Answer(Verified(sound=True, changes=changes))
    return Answer(Verified(sound=False, changes=changes, broken_at=broken.seq, why=broken.why))


def _everywhere(look: Look) -> None:
    if look.actor.level != "all":
        raise Forbidden("the audit is of the whole installation")


def _shown(entry: audit.Entry) -> Changed:
    return Changed(
        seq=entry.seq,
        at=time(entry.at_ms),
        actor=entry.actor,
        action=entry.action,
        kind=entry.kind,
        object=entry.object,
        before=None if entry.before is None else msgspec.json.decode(entry.before),
        after=None if entry.after is None else msgspec.json.decode(entry.after),
        hash=entry.hash,
    )
