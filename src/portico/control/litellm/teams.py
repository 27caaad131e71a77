"""LiteLLM's routes of teams and their members."""

from typing import Any, cast

from portico.control.admin import Change, Look
from portico.control.litellm.by_model import apart, bind, free
from portico.control.litellm.fields import Does, Plain, bounds, ours
from portico.control.litellm.rows import keys_of, members_of, membership_row, team_row
from portico.control.litellm.said import altered, joined, members_said, needed, seen, user_of
from portico.control.objects import make, member_of, page, remove
from portico.control.problems import BadRequest
from portico.control.replies import Page
from portico.errors import NotFound
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Membership, Team

TEAM, MEMBERSHIP = KINDS["team"], KINDS["membership"]
OF_MEMBERS = {
    "team_member_budget": "max_budget",
    "team_member_budget_duration": "budget_duration",
    "team_member_rpm_limit": "rpm_limit",
    "team_member_tpm_limit": "tpm_limit",
}
"""What each new member is given, in the words for what anybody is given."""


def new(change: Change, said: Plain) -> Plain:
    """Make a team, with its members."""
    said, models = apart(said)
    own, given = _apart(said)
    made = cast("Team", make(change, TEAM, {**ours("team", own), **given}))
    bind(change, "team", made.id, models)
    for member in members_said(said, "members_with_roles"):
        joined(change, made.id, member)
    return team_row(change, made)


def update(change: Change, said: Plain) -> Plain:
    """Change what is said of a team."""
    before = change.find(TEAM, needed(said, "team_id"))
    said, models = apart(said)
    own, given = _apart(said)
    after = cast("Team", altered(change, TEAM, before, own, **given))
    bind(change, "team", after.id, models)
    return {"team_id": after.id, "data": team_row(change, after)}


def delete(change: Change, said: Plain) -> Plain:
    """Remove teams with their keys and memberships."""
    for team_id in said.get("team_ids") or []:
        team = change.find(TEAM, team_id)
        for name in ("membership", "key"):
            for thing in list(rows.every(change.db, KINDS[name], {"team": team.id})):
                change.remove(KINDS[name], thing)
                if name == "key":
                    free(change, "key", thing.id)
        remove(change, TEAM, team)
        free(change, "team", team.id)
    return {"deleted_teams": said.get("team_ids") or []}


def info(look: Look, said: Plain) -> Plain:
    """Read a team with its keys and memberships."""
    team = cast("Team", seen(look, TEAM, needed(said, "team_id")))
    return {
        "team_id": team.id,
        "team_info": team_row(look, team),
        "keys": keys_of(look, team=team.id),
        "team_memberships": [membership_row(look, one) for one in members_of(look, team.id)],
    }


def listing(look: Look, said: Plain) -> list[Plain]:
    """List teams; with `user_id`, those that a user is in."""
    found = [team_row(look, team) for team in page(look, TEAM, Page(limit=500), {}).items]
    user = said.get("user_id")
    return [team for team in found if user is None or user in [one["user_id"] for one in team["members_with_roles"]]]


def blocking(*, blocked: bool) -> Does:
    """Return what blocks a team, or opens it again."""

    def does(change: Change, said: Plain) -> Plain:
        before = change.find(TEAM, needed(said, "team_id"))
        return team_row(change, cast("Team", altered(change, TEAM, before, {"blocked": blocked})))

    return does


def member_add(change: Change, said: Plain) -> Plain:
    """Let users join a team."""
    team = cast("Team", change.see(TEAM, needed(said, "team_id")))
    users = [joined(change, team.id, member, said.get("max_budget_in_team")) for member in members_said(said, "member")]
    memberships = [cast("Membership", member_of(change, team.id, user)) for user in users]
    return {
        **team_row(change, team),
        "updated_users": [{"user_id": user} for user in users],
        "updated_team_memberships": [membership_row(change, one) for one in memberships],
    }


def member_update(change: Change, said: Plain) -> Plain:
    """Change a membership: its role, and what its user may spend in the team."""
    team = change.see(TEAM, needed(said, "team_id"))
    before = member_of(change, team.id, _user(change, said))
    change.require_reach(MEMBERSHIP, before)
    more: dict[str, Any] = {}
    if said.get("role") is not None:
        more["role"] = "team_admin" if said["role"] == "admin" else "member"
    bound = {"max_budget": said["max_budget_in_team"]} if "max_budget_in_team" in said else {}
    bound |= {name: said[name] for name in ("rpm_limit", "tpm_limit", "budget_duration") if name in said}
    after = cast("Membership", altered(change, MEMBERSHIP, before, bound, **more))
    row = membership_row(change, after)
    budget = row["litellm_budget_table"]["max_budget"]
    return {"team_id": team.id, "user_id": after.user, "user_email": said.get("user_email")} | {
        "max_budget_in_team": budget,
        **{name: row["litellm_budget_table"][name] for name in ("rpm_limit", "tpm_limit")},
    }


def member_delete(change: Change, said: Plain) -> Plain:
    """Let a user leave a team."""
    team = cast("Team", change.see(TEAM, needed(said, "team_id")))
    try:
        found = member_of(change, team.id, _user(change, said))
    except NotFound as error:
        raise BadRequest(error.message, param="user_id") from None  # as LiteLLM has it
    change.require_reach(MEMBERSHIP, found)
    change.remove(MEMBERSHIP, found)
    return team_row(change, team)


def models_changing(*, adding: bool) -> Does:
    """Return what gives a team models, or takes them."""

    def does(change: Change, said: Plain) -> Plain:
        before = cast("Team", change.find(TEAM, needed(said, "team_id")))
        named = said.get("models") or []
        if adding:
            models = list(dict.fromkeys((*before.models, *named)))
        else:
            models = [one for one in before.models if one not in named]
            if before.models and not models:
                raise BadRequest("a team without models may call all: block it instead", param="models")
        return team_row(change, cast("Team", altered(change, TEAM, before, {"models": models})))

    return does


def _apart(said: Plain) -> tuple[Plain, Plain]:
    """Return what is said of a team, and of what its members are given."""
    given = {ours_: said[name] for name, ours_ in OF_MEMBERS.items() if said.get(name) is not None}
    own = {name: value for name, value in said.items() if name not in OF_MEMBERS}
    if not given:
        return own, {}
    limits, budgets = bounds(given)
    return own, {"member": {"limits": limits, "budgets": budgets}}


def _user(look: Look, said: Plain) -> str:
    return user_of(look, said, "user_id") or ""
