"""Who uses the admin API, and how far that reaches: everything, an organization, a team, or what is one's own."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from portico.store.entities.rows import Where
from portico.store.entities.things import Key, Role

Level = Literal["all", "org", "team", "user", "key"]


class Actor(msgspec.Struct, frozen=True):
    """Who asks. `id` is the key's, as the audit names it.

    One that is `alone` has no role in truth: it may read what concerns itself, where LiteLLM's routes let any key.
    """

    id: str
    role: Role
    org: str | None = None
    team: str | None = None
    user: str | None = None
    alone: bool = False

    @property
    def level(self) -> Level:
        """How far the actor reaches."""
        if self.alone:
            return "key"
        if self.role == "member":
            return "user"
        if self.role == "team_admin" or (self.role != "owner" and self.team is not None):
            return "team"
        return "org" if self.role != "owner" and self.org is not None else "all"


MASTER: Final = Actor("master", "owner")

_GRANTS: Final[Mapping[Role, frozenset[Role]]] = {
    "owner": frozenset(("owner", "admin", "team_admin", "member", "viewer", "billing")),
    "admin": frozenset(("admin", "team_admin", "member", "viewer", "billing")),
    "team_admin": frozenset(("team_admin", "member", "viewer")),
}
"""Which roles a role may hand on: none that can do more than itself."""


def may_grant(actor: Actor, role: Role | None) -> bool:
    """Whether the actor may make, change or renew a key that has a role."""
    return role is None or role in _GRANTS.get(actor.role, ())


def reach(actor: Actor, kind: str) -> Where | None:
    """Return what objects of a kind have in common that the actor may see; {} for all of them, None for none."""
    match actor.level:
        case "all":
            return {}
        case "org":
            wheres: dict[str, Where] = {
                "organization": {"id": actor.org},
                "team": {"org": actor.org},
                "user": {"org": actor.org},
                "key": {"org": actor.org},
                "membership": {},  # they are reached through their team
            }
        case "team":
            wheres = {
                "team": {"id": actor.team},
                "membership": {"team": actor.team},
                "key": {"team": actor.team},
                "credential": {"team": actor.team},
                "user": {"id": actor.user},
            }
        case "user":
            wheres = {
                "team": {"id": actor.team},
                "user": {"id": actor.user},
                "membership": {"user": actor.user},
                "key": {"user": actor.user} if actor.team is None else {"user": actor.user, "team": actor.team},
            }
        case "key":
            own = {"team": actor.team, "user": actor.user, "key": actor.id}
            wheres = {kind: {"id": id} for kind, id in own.items() if id is not None}  # noqa: A001
    return wheres.get(kind)


def matches(where: Where | None, thing: object) -> bool:
    """Whether an object has what `where` says; None is met by nothing."""
    return where is not None and all(getattr(thing, name, None) == wanted for name, wanted in where.items())


def actor_of(key: Key, org: str | None, membership: Role | None) -> Actor:
    """Return the actor that a key stands for; one `alone` where it has no role. Its user's in its team may raise it."""
    if key.role is None:
        return Actor(key.id, "member", org, key.team, key.user, alone=True)
    role = membership if key.role == "member" and membership is not None else key.role
    return Actor(key.id, role, org, key.team, key.user)
