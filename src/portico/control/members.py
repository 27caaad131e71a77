"""Members of teams: who joins is given the team's bounds for members, unless others are said."""

from typing import cast

from portico.control.admin import Change, Look
from portico.control.objects import Listed, alter, make, member_of, plain
from portico.control.routing import Answer, Asked
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Membership, Team

MEMBERSHIP = KINDS["membership"]
TEAM = KINDS["team"]


def list_members(look: Look, asked: Asked) -> Answer:
    """List the members of a team; a member sees itself alone."""
    team = look.see(TEAM, asked.path["team"])
    where = {"team": team.id}
    if look.actor.level == "user":
        where["user"] = look.actor.user or ""
    limit = asked.query.limit
    after = f"{team.id}/{asked.query.after}" if asked.query.after else ""
    found = rows.page(look.db, MEMBERSHIP, where, after, limit + 1)
    more = len(found) > limit
    items = found[:limit]
    return Answer(Listed(items, cast("Membership", items[-1]).user if more else None))


def read_member(look: Look, asked: Asked) -> Answer:
    """Read one membership."""
    team = look.see(TEAM, asked.path["team"])
    found = member_of(look, team.id, asked.path["user"])
    look.require_reach(MEMBERSHIP, found)
    return Answer(found, found.version)


def add_member(change: Change, asked: Asked) -> Answer:
    """Let a user join a team."""
    made = join(change, asked.path["team"], plain(asked.body))
    return Answer(made, made.version, f"/api/v1/teams/{made.team}/members/{made.user}")


def join(change: Change, team_id: str, fields: dict[str, object]) -> Membership:
    """Make a membership of these fields; without bounds of its own it is given the team's for members."""
    team = cast("Team", change.see(TEAM, team_id))
    # What a team of the configuration gives its members holds for them without being copied.
    if team.source == "api" and not any(fields.get(name) for name in ("limits", "budgets", "template")):
        member = plain(team.member)
        fields = {**fields, "limits": member["limits"], "budgets": member["budgets"]}
    fields = {**fields, "team": team.id, "id": f"{team.id}/{fields['user']}"}
    return cast("Membership", make(change, MEMBERSHIP, fields))


def change_member(change: Change, asked: Asked) -> Answer:
    """Change a membership."""
    before = _changing(change, asked)
    after = alter(change, MEMBERSHIP, before, asked.body)
    return Answer(after, after.version)


def remove_member(change: Change, asked: Asked) -> Answer:
    """Let a user leave a team; the keys it has there stay, and are the team's to remove."""
    change.remove(MEMBERSHIP, _changing(change, asked))
    return Answer()


def _changing(change: Change, asked: Asked) -> Membership:
    team = change.see(TEAM, asked.path["team"])
    found = member_of(change, team.id, asked.path["user"])
    change.require_reach(MEMBERSHIP, found)
    if asked.seen is not None and found.version != asked.seen:
        raise rows.Changed(f"the membership is at version {found.version} by now, not {asked.seen}")
    return cast("Membership", found)
