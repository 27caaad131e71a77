"""LiteLLM's routes of tags: what calls that carry a tag may use together."""

from typing import cast

from portico.control.admin import Change, Look
from portico.control.litellm.fields import Plain, our_tag, ours, spent, stamp, their_tag, theirs
from portico.control.litellm.rows import resets
from portico.control.litellm.said import altered, listed, needed, seen
from portico.control.objects import make, page, remove
from portico.control.replies import Page
from portico.errors import NotFound
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Tag

TAG = KINDS["tag"]


def new(change: Change, said: Plain) -> Plain:
    """Make a tag known, with what its calls may use."""
    fields = {**ours("tag", said), "id": our_tag(needed(said, "name"))}
    made = cast("Tag", make(change, TAG, fields))
    return {"message": f"the tag {their_tag(made.id)!r} is made", "tag": _row(change, made)}


def update(change: Change, said: Plain) -> Plain:
    """Change what is said of a tag."""
    before = change.find(TAG, our_tag(needed(said, "name")))
    after = cast("Tag", altered(change, TAG, before, said))
    return {"message": f"the tag {their_tag(after.id)!r} is changed", "tag": _row(change, after)}


def delete(change: Change, said: Plain) -> Plain:
    """Forget a tag and its bounds; calls may carry it still."""
    tag = change.find(TAG, our_tag(needed(said, "name")))
    remove(change, TAG, tag)
    return {"message": f"the tag {their_tag(tag.id)!r} is removed"}


def info(look: Look, said: Plain) -> Plain:
    """Read tags by their names."""
    names = listed(said, "names")
    if not names:
        raise NotFound("there are no such tags")
    return {name: _row(look, cast("Tag", seen(look, TAG, our_tag(name)))) for name in names}


def listing(look: Look, _said: Plain) -> list[Plain]:
    """List tags."""
    return [_row(look, cast("Tag", tag)) for tag in page(look, TAG, Page(limit=500), {}).items]


def _row(look: Look, tag: Tag) -> Plain:
    return {
        "name": their_tag(tag.id),
        "description": tag.description or None,
        "models": [],
        "model_info": {},
        "spend": spent(look, "tag", tag.id),
        "budget_id": tag.template,
        "created_at": stamp(tag.created_at),
        "updated_at": stamp(tag.updated_at),
        "litellm_budget_table": {"budget_id": tag.template, **theirs(tag), "budget_reset_at": resets(look, tag)},
    }
