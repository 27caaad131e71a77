"""LiteLLM's routes of organizations and their members."""

from typing import cast

import msgspec

from portico.control.admin import Change, Look
from portico.control.checks import check
from portico.control.litellm.fields import Plain, ours
from portico.control.litellm.rows import organization_row
from portico.control.litellm.said import altered, members_said, needed, seen, user_of
from portico.control.objects import make, page, remove
from portico.control.problems import BadRequest
from portico.control.replies import Page
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS, Kind
from portico.store.entities.things import Key, Membership, Organization, Team, Thing, User

ORGANIZATION, USER, KEY = KINDS["organization"], KINDS["user"], KINDS["key"]
PLAIN_ROLES = ("internal_user", "internal_user_viewer", "user")
"""What a member may be called: roles that do more are given to keys."""


def new(change: Change, said: Plain) -> Plain:
    """Make an organization."""
    made = make(change, ORGANIZATION, ours("organization", said))
    return organization_row(change, cast("Organization", made))


def update(change: Change, said: Plain) -> Plain:
    """Change what is said of an organization."""
    before = change.find(ORGANIZATION, needed(said, "organization_id"))
    return organization_row(change, cast("Organization", altered(change, ORGANIZATION, before, said)))


def delete(change: Change, said: Plain) -> list[Plain]:
    """Remove organizations that nobody is in any more."""
    gone = []
    for name in said.get("organization_ids") or []:
        found = cast("Organization", change.find(ORGANIZATION, name))
        gone.append(organization_row(change, found))
        remove(change, ORGANIZATION, found)
    return gone


def info(look: Look, said: Plain) -> Plain:
    """Read an organization with its members and teams."""
    return organization_row(look, cast("Organization", seen(look, ORGANIZATION, needed(said, "organization_id"))))


def listing(look: Look, _said: Plain) -> list[Plain]:
    """List organizations."""
    return [organization_row(look, one) for one in page(look, ORGANIZATION, Page(limit=500), {}).items]


def member_add(change: Change, said: Plain) -> Plain:
    """Let users join an organization; who is not known yet is made. A user is in one organization here."""
    organization = cast("Organization", change.see(ORGANIZATION, needed(said, "organization_id")))
    _plain_member({**said, "role": None})
    users = []
    for member in members_said(said, "member"):
        if not isinstance(member, dict):
            raise BadRequest("a member is an object with `user_id` or `user_email`", param="member")
        _plain_member(member)
        users.append(_joined(change, organization.id, member))
    return {
        "organization_id": organization.id,
        "updated_users": [{"user_id": user.id, "user_email": user.email} for user in users],
        "updated_organization_memberships": [
            {"user_id": user.id, "organization_id": organization.id, "user_role": "internal_user"} for user in users
        ],
    }


def member_update(change: Change, said: Plain) -> Plain:
    """Change what a member is here: nothing but a member, whose rights are those of its keys."""
    organization = change.see(ORGANIZATION, needed(said, "organization_id"))
    user = cast("User", change.find(USER, user_of(change, said, "user_id") or ""))
    if user.org != organization.id:
        raise BadRequest("this user is not in the organization", param="user_id")
    _plain_member(said)
    return {"organization_id": organization.id, "user_id": user.id, "user_role": "internal_user"}


def member_delete(change: Change, said: Plain) -> Plain:
    """Let a user leave an organization."""
    organization = change.see(ORGANIZATION, needed(said, "organization_id"))
    user = cast("User", change.find(USER, user_of(change, said, "user_id") or ""))
    if user.org != organization.id:
        raise BadRequest("this user is not in the organization", param="user_id")
    altered(change, USER, user, {}, org=None)
    return {"organization_id": organization.id, "user_id": user.id, "user_role": "internal_user"}


def _plain_member(said: Plain) -> None:
    """Raise BadRequest for what a member of an organization cannot be or have here."""
    if said.get("max_budget_in_organization") is not None:
        raise BadRequest(
            "a user's bounds hold in all it does here: set them with /user/update", param="max_budget_in_organization"
        )
    if (said.get("role") or "internal_user") not in PLAIN_ROLES:
        raise BadRequest("roles that do more than call models are given to keys, with /api/v1/keys", param="role")


def _joined(change: Change, organization: str, member: Plain) -> User:
    id, email = user_of(change, member, "member"), member.get("user_email")  # noqa: A001  # the word of every API
    if id is None or change.admin.find_any(change.db, "user", id) is None:
        return cast("User", make(change, USER, {"id": id, "email": email, "org": organization}))
    user = cast("User", change.find(USER, id))
    if user.org not in (None, organization):
        raise BadRequest("this user is in another organization", param="member")
    for membership in rows.every(change.db, KINDS["membership"], {"user": user.id}):
        team = change.admin.find_any(change.db, "team", cast("Membership", membership).team)
        if isinstance(team, Team) and team.org not in (None, organization):
            raise BadRequest("this user is in a team of another organization", param="member")
    for key in [cast("Key", one) for one in rows.every(change.db, KEY, {"user": user.id})]:
        if key.team is None and key.org is None:
            _moved(change, KEY, key, organization)
    return cast("User", _moved(change, USER, user, organization))


def _moved(change: Change, kind: Kind, before: Key | User, organization: str) -> Thing:
    """Put a user, or a key of its own, into an organization."""
    after = msgspec.structs.replace(before, org=organization)
    check(change, kind, before, after)
    return change.replace(kind, before, after, "update")
