"""Keys in the admin API: made and shown once, renewed with a time of grace, blocked, removed."""

from datetime import datetime
from typing import Any, cast

import msgspec

from portico.control.actors import may_grant
from portico.control.admin import Change, Look
from portico.control.checks import check, org_of
from portico.control.objects import at_home, make, plain, remove
from portico.control.replies import NewKeyReply, Rotation
from portico.control.routing import Answer, Asked, Changes
from portico.errors import Forbidden
from portico.secret import digest
from portico.store.entities import rows, tokens
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Key, Moment

KEY = KINDS["key"]


class Hash(msgspec.Struct, frozen=True, kw_only=True):
    """A hash that a key goes by: how the key begins and ends, and until when it is good where it was renewed."""

    prefix: str
    until: Moment | None = None


class Hashes(msgspec.Struct, frozen=True, kw_only=True):
    """The keys in force for one object: the current one, and old ones in their time of grace."""

    items: list[Hash]


def create(change: Change, asked: Asked) -> Answer:
    """Make a key; the reply shows it this once."""
    made = issue(change, plain(asked.body))
    return Answer(made, made.version, f"/api/v1/keys/{made.id}")


def issue(change: Change, fields: dict[str, Any], token: str | None = None) -> NewKeyReply:
    """Make a key of these fields; `token` is for who brings their own. Its organization is its team's."""
    token = token or tokens.new_token()
    home = at_home(change.actor, KEY, {"id": "", **fields})
    fields = {**fields, "org": fields.get("org") or org_of(change, home.get("team"), home.get("user"))}
    made = cast("Key", make(change, KEY, {**fields, "prefix": tokens.shown(token)}))
    tokens.remember(change.db, made.id, digest(token.encode(), change.admin.secret), tokens.shown(token))
    return _with_token(made, token)


def rotate(change: Change, asked: Asked) -> Answer:
    """Renew a key: the reply shows the new one; the old one works until its time of grace is over."""
    assert isinstance(asked.body, Rotation)
    before = cast("Key", change.find(KEY, asked.path["id"], seen=asked.seen))
    renewed = renew(change, before, asked.body.grace, expires=asked.body.expires)
    return Answer(renewed, renewed.version)


def renew(
    change: Change,
    before: Key,
    grace: float,
    *,
    expires: datetime | msgspec.UnsetType | None = msgspec.UNSET,
    token: str | None = None,
) -> NewKeyReply:
    """Give a key a new token; the old ones are good for `grace` seconds more."""
    token = token or tokens.new_token()
    prefix = tokens.shown(token)
    after = msgspec.structs.replace(before, prefix=prefix)
    if expires is not msgspec.UNSET:
        after = msgspec.structs.replace(after, expires=expires)
    check(change, KEY, before, after)
    if grace:
        tokens.retire(change.db, before.id, change.at_ms + round(grace * 1000))
    else:
        change.gone += tokens.forget(change.db, before.id)
    tokens.remember(change.db, before.id, digest(token.encode(), change.admin.secret), prefix)
    return _with_token(cast("Key", change.replace(KEY, before, after, "rotate")), token)


def blocking(*, blocked: bool) -> Changes:
    """Return what blocks keys, or opens them again."""

    def changes(change: Change, asked: Asked) -> Answer:
        before = cast("Key", change.find(KEY, asked.path["id"], seen=asked.seen))
        after = block(change, before, blocked=blocked)
        return Answer(after, after.version)

    return changes


def block(change: Change, before: Key, *, blocked: bool) -> Key:
    """Block a key, or open it again. What is so already stays as it is."""
    if not may_grant(change.actor, before.role):
        raise Forbidden(f"the role {change.actor.role!r} may not touch a key with the role {before.role!r}")
    if before.blocked == blocked:
        return before
    after = msgspec.structs.replace(before, blocked=blocked)
    return cast("Key", change.replace(KEY, before, after, "block" if blocked else "unblock"))


def hashes(look: Look, asked: Asked) -> Answer:
    """List what a key goes by."""
    key = look.see(KEY, asked.path["id"])
    found = tokens.hashes(look.db, [key.id])
    items = [Hash(prefix=one.prefix, until=None if one.until_ms is None else rows.time(one.until_ms)) for one in found]
    return Answer(Hashes(items=items))


def by_token(look: Look, token: str) -> Key | None:
    """Return the key that somebody holds, given whole; None where it is none of the store's."""
    id = tokens.holder_of(look.db, digest(token.encode(), look.admin.secret), look.admin.now_ms())  # noqa: A001
    found = None if id is None else rows.find(look.db, KEY, id)
    return found if isinstance(found, Key) else None


def delete(change: Change, key: Key) -> None:
    """Remove a key: no worker knows it on its next use."""
    remove(change, KEY, key)


def _with_token(key: Key, token: str) -> NewKeyReply:
    return NewKeyReply(**{name: getattr(key, name) for name in Key.__struct_fields__}, key=token)
