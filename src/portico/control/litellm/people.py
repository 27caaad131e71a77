"""LiteLLM's routes of users, customers and budgets by a name."""

from typing import Any, cast

from portico.control import keys
from portico.control.admin import Change, Look
from portico.control.litellm.by_model import apart, bind, free
from portico.control.litellm.fields import Does, Plain, bounds, ours
from portico.control.litellm.rows import (
    budget_row,
    customer_row,
    key_row,
    keys_of,
    members_of,
    membership_row,
    team_row,
    user_row,
)
from portico.control.litellm.said import altered, flag, joined, needed, number, seen
from portico.control.objects import make, page, remove
from portico.control.replies import Page
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Customer, Membership, Team, Template, User

USER, CUSTOMER, TEMPLATE = KINDS["user"], KINDS["customer"], KINDS["template"]
OF_KEY = (
    "aliases",
    "allowed_passthrough_routes",
    "allowed_routes",
    "duration",
    "key_alias",
    "key_type",
    "team_id",
    "tags",
)
"""What `/user/new` says of the key that it makes besides the user."""


def user_new(change: Change, said: Plain) -> Plain:
    """Make a user, and a key unless that is not wanted."""
    said, models = apart(said)
    own = {name: value for name, value in said.items() if name not in OF_KEY}
    made = cast("User", make(change, USER, ours("user", own)))
    bind(change, "user", made.id, models)
    team = said.get("team_id")
    for team_id in dict.fromkeys([*(said.get("teams") or []), *([team] if team else [])]):
        joined(change, team_id, {"user_id": made.id})
    reply = user_row(change, made)
    if flag(said, "auto_create_key", True):
        of_key = {name: said[name] for name in OF_KEY if name in said} | {"user_id": made.id}
        key = keys.issue(change, ours("key", of_key, rows.time(change.at_ms)))
        reply |= {"key": key.key, "token": key.id, "key_name": key.prefix, "key_alias": key.name or None}
        reply |= {name: key_row(change, key, spend=0.0)[name] for name in ("expires", "aliases", "team_id")}
    return reply


def user_update(change: Change, said: Plain) -> Plain:
    """Change what is said of a user."""
    before = change.find(USER, needed(said, "user_id"))
    said, models = apart(said)
    after = cast("User", altered(change, USER, before, said))
    bind(change, "user", after.id, models)
    return {"user_id": after.id, "data": user_row(change, after)}


def user_delete(change: Change, said: Plain) -> int:
    """Remove users with their keys and memberships."""
    for user_id in said.get("user_ids") or []:
        user = change.find(USER, user_id)
        for name in ("membership", "key"):
            for thing in list(rows.every(change.db, KINDS[name], {"user": user.id})):
                change.remove(KINDS[name], thing)
                if name == "key":
                    free(change, "key", thing.id)
        remove(change, USER, user)
        free(change, "user", user.id)
    return len(said.get("user_ids") or [])


def user_info(look: Look, said: Plain) -> Plain:
    """Read a user with its keys and teams; the caller's own where none is named."""
    user = cast("User", seen(look, USER, said.get("user_id") or look.actor.user or ""))
    every = rows.every(look.db, KINDS["membership"], {"user": user.id})
    joins = {one.team: one for one in (cast("Membership", each) for each in every)}
    teams = [found for team in joins if isinstance(found := look.admin.find_any(look.db, "team", team), Team)]
    return {
        "user_id": user.id,
        "user_info": {**user_row(look, user), "teams": list(joins)},
        "keys": keys_of(look, user=user.id),
        "teams": [
            {**team_row(look, team), "team_memberships": [membership_row(look, joins[team.id])]} for team in teams
        ],
    }


def user_list(look: Look, said: Plain) -> Plain:
    """List users by pages; with `user_ids` (by commas), `user_email` or `team`, some of them."""
    size, place = number(said, "page_size", 25, 100), number(said, "page", 1, 1000)
    found = page(look, USER, Page(limit=500), {}).items
    if wanted := said.get("user_ids"):
        found = [user for user in found if user.id in wanted]
    if email := said.get("user_email"):
        found = [user for user in found if str(email).lower() in (user.email or "").lower()]
    if team := said.get("team"):
        members = {one.user for one in members_of(look, str(team))}
        found = [user for user in found if user.id in members]
    shown = [user_row(look, user) for user in found[(place - 1) * size : place * size]]
    pages = -(-len(found) // size)
    return {"users": shown, "total": len(found), "page": place, "page_size": size, "total_pages": pages}


def customer_new(change: Change, said: Plain) -> Plain:
    """Make a customer."""
    return customer_row(change, cast("Customer", make(change, CUSTOMER, ours("customer", said))))


def customer_update(change: Change, said: Plain) -> Plain:
    """Change what is said of a customer."""
    before = change.find(CUSTOMER, needed(said, "user_id"))
    return customer_row(change, cast("Customer", altered(change, CUSTOMER, before, said)))


def customer_delete(change: Change, said: Plain) -> Plain:
    """Remove customers."""
    for customer in said.get("user_ids") or []:
        remove(change, CUSTOMER, change.find(CUSTOMER, customer))
    return {"deleted_customers": len(said.get("user_ids") or []), "message": "the customers are removed"}


def customer_blocking(*, blocked: bool) -> Does:
    """Return what blocks customers, or opens them again. Who is not known yet is made."""

    def does(change: Change, said: Plain) -> Plain:
        done: list[Any] = []
        for name in said.get("user_ids") or []:
            if change.admin.find_any(change.db, "customer", name) is None:
                done.append(make(change, CUSTOMER, {"id": name, "blocked": blocked}))
            else:
                done.append(altered(change, CUSTOMER, change.find(CUSTOMER, name), {"blocked": blocked}))
        word = "blocked_users" if blocked else "unblocked_users"
        return {word: [customer_row(change, one) for one in done]}

    return does


def customer_info(look: Look, said: Plain) -> Plain:
    """Read a customer."""
    return customer_row(look, cast("Customer", look.see(CUSTOMER, needed(said, "end_user_id"))))


def customer_list(look: Look, _said: Plain) -> list[Plain]:
    """List customers."""
    return [customer_row(look, one) for one in page(look, CUSTOMER, Page(limit=500), {}).items]


def budget_new(change: Change, said: Plain) -> Plain:
    """Make bounds by a name."""
    limits, budgets = bounds(said)
    fields = {**ours("template", said), "limits": limits, "budgets": budgets}
    return budget_row(change, cast("Template", make(change, TEMPLATE, fields)))


def budget_update(change: Change, said: Plain) -> Plain:
    """Change what is said of bounds by a name."""
    before = change.find(TEMPLATE, needed(said, "budget_id"))
    return budget_row(change, cast("Template", altered(change, TEMPLATE, before, said)))


def budget_delete(change: Change, said: Plain) -> Plain:
    """Remove bounds by a name that nobody has any more."""
    template = cast("Template", change.find(TEMPLATE, needed(said, "id")))
    remove(change, TEMPLATE, template)
    return budget_row(change, template)


def budget_info(look: Look, said: Plain) -> list[Plain]:
    """Read bounds by their names."""
    return [budget_row(look, cast("Template", look.see(TEMPLATE, name))) for name in said.get("budgets") or []]


def budget_list(look: Look, _said: Plain) -> list[Plain]:
    """List bounds by a name."""
    return [budget_row(look, one) for one in page(look, TEMPLATE, Page(limit=500), {}).items]
