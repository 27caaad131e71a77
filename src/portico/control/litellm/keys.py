"""LiteLLM's routes of keys."""

from typing import cast

from portico.control import keys
from portico.control.actors import reach
from portico.control.admin import Change, Look
from portico.control.litellm.by_model import apart, bind, free
from portico.control.litellm.fields import Does, Plain, ours, seconds
from portico.control.litellm.rows import key_row
from portico.control.litellm.said import MOST_NAMES, altered, brought, flag, named_key, needed, number
from portico.control.objects import make, page, remove
from portico.control.problems import BadRequest
from portico.control.replies import Page
from portico.errors import NotFound, PorticoError
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Key

KEY, USER = KINDS["key"], KINDS["user"]


def generate(change: Change, said: Plain) -> Plain:
    """Make a key; its user too, where nobody is known by that id."""
    said, models = apart(said)
    fields = ours("key", said, rows.time(change.at_ms))
    user = fields.get("user")
    if user is not None and change.actor.level == "all" and change.admin.find_any(change.db, "user", user) is None:
        make(change, USER, {"id": user})
    made = keys.issue(change, fields, brought(said, "key"))
    bind(change, "key", made.id, models)
    return {**key_row(change, made, spend=0.0), "key": made.key, "token_id": made.id, "litellm_budget_table": None}


def update(change: Change, said: Plain) -> Plain:
    """Change what is said of a key."""
    before = named_key(change, needed(said, "key"))
    said, models = apart(said)
    after = cast("Key", altered(change, KEY, before, said))
    bind(change, "key", before.id, models)
    return {**key_row(change, after), "key": before.id}


def bulk_update(change: Change, said: Plain) -> Plain:
    """Change several keys, each for itself, and say which could not be changed and why."""
    wanted = said.get("keys")
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted) or not wanted:
        raise BadRequest("`keys` is a list of objects, each with a `key`", param="keys")
    if len(wanted) > MOST_NAMES:
        raise BadRequest(f"`keys` has at most {MOST_NAMES} objects", param="keys")
    done: list[Plain] = []
    failed: list[Plain] = []
    for one in wanted:
        try:
            before = named_key(change, needed(one, "key"))
            # Nothing is written by a change that is refused.
            after = cast("Key", altered(change, KEY, before, one))
            done.append({"key": one["key"], "key_info": key_row(change, after)})
        except PorticoError as error:
            failed.append({"key": one.get("key"), "key_info": None, "failed_reason": error.message})
    return {"total_requested": len(wanted), "successful_updates": done, "failed_updates": failed}


def delete(change: Change, said: Plain) -> Plain:
    """Remove keys, by themselves or by their aliases."""
    names = list(said.get("keys") or [])
    aliases = set(said.get("key_aliases") or [])
    found = {key.id: key for key in (named_key(change, name) for name in names)}
    within = reach(change.actor, "key")
    if aliases and within is not None:
        every = (cast("Key", one) for one in rows.every(change.db, KEY, within))
        found |= {one.id: one for one in every if one.name in aliases}
    if not found:
        raise NotFound("there are no such keys")
    for id in found:  # noqa: A001  # the word of every API
        remove(change, KEY, change.find(KEY, id))
        free(change, "key", id)
    return {"deleted_keys": [*names, *sorted(aliases)]}


def info(look: Look, said: Plain) -> Plain:
    """Read a key; the caller's own where none is named."""
    name = said.get("key") or look.actor.id
    key = named_key(look, name)
    return {"key": name if name == key.id else key.id, "info": key_row(look, key)}


def listing(look: Look, said: Plain) -> Plain:
    """List keys, by pages that are counted off, as LiteLLM does; at most 500 keys deep."""
    size, place = number(said, "size", 10, 100), number(said, "page", 1, 1000)
    where = {ours_: said[name] for name, ours_ in (("team_id", "team"), ("user_id", "user")) if said.get(name)}
    where |= {"org": said["organization_id"]} if said.get("organization_id") else {}
    found = page(look, KEY, Page(limit=500), where).items
    if alias := said.get("key_alias"):
        found = [key for key in found if key.name == alias]
    if said.get("key_hash"):
        found = [key for key in found if key.id == said["key_hash"]]
    shown = found[(place - 1) * size : place * size]
    full = flag(said, "return_full_object", False)
    total = len(found)
    return {
        "keys": [key_row(look, key) if full else key.id for key in shown],
        "total_count": total,
        "current_page": place,
        "total_pages": -(-total // size),
    }


def blocking(*, blocked: bool) -> Does:
    """Return what blocks a key, or opens it again."""

    def does(change: Change, said: Plain) -> Plain:
        key = named_key(change, needed(said, "key"))
        after = keys.block(change, cast("Key", change.find(KEY, key.id)), blocked=blocked)
        return key_row(change, after)

    return does


def regenerate(change: Change, said: Plain) -> Plain:
    """Give a key a new token, and change what else is said of it."""
    key = named_key(change, needed(said, "key"))
    wait = seconds(said["grace_period"], "grace_period") if said.get("grace_period") else 0.0
    before = cast("Key", change.find(KEY, key.id))
    more = {name: value for name, value in said.items() if name not in ("key", "new_key", "grace_period")}
    more, models = apart(more)
    if more:
        before = cast("Key", altered(change, KEY, before, more))
    bind(change, "key", before.id, models)
    made = keys.renew(change, before, wait, token=brought(said, "new_key"))
    return {**key_row(change, made), "key": made.key, "token_id": made.id}


def health(look: Look, _said: Plain) -> Plain:
    """Say that the key that asks is good: it would not have come so far otherwise."""
    if look.actor.id == "master":
        raise BadRequest("ask with the key that is meant")
    return {"key": "healthy", "logging_callbacks": None}
