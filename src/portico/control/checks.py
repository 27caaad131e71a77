"""What makes an object of the store sound: bounds that bound, names that exist, nothing beyond its maker's reach."""

from collections.abc import Iterator
from typing import Final

from portico.config import units
from portico.config.belonging import faults_of, network_known, tag_good
from portico.config.declared import counts, rules_of
from portico.config.fit import PERIODS
from portico.config.schema import Budget, Limit
from portico.control.actors import matches, may_grant, reach
from portico.control.admin import Change
from portico.control.problems import DeclaredThere, Unprocessable
from portico.errors import Forbidden
from portico.store.entities.declared import declared_thing
from portico.store.entities.kinds import KINDS, REFERENCES, Kind
from portico.store.entities.rows import find
from portico.store.entities.things import BudgetRule, Key, LimitRule, Membership, PriceOverride, Team, Thing, User

MEMBERS_OWN: Final = frozenset(
    (
        "id",
        "name",
        "team",
        "user",
        "org",
        "expires",
        "blocked",
        "models",
        "ips",
        "routes",
        "aliases",
        "tags",
        "metadata",
    )
)
"""Fields of a key that a member may set on its own; the others are for those who run the team."""


def check(change: Change, kind: Kind, before: Thing | None, after: Thing) -> None:
    """See that an object may become what it shall. Raises Unprocessable, Forbidden."""
    if kind.name == "organization" and change.actor.level != "all":
        raise Forbidden("an organization is made and changed by those who run the installation")
    queued = before.queue if isinstance(before, Team) else None
    if isinstance(after, Team) and after.queue != queued and change.actor.level != "all":
        raise Forbidden("how a team waits beside all others is set by those who run the installation")
    for name, value in ((name, getattr(after, name, None)) for name in ("id", "name", "email", "description")):
        if isinstance(value, str) and not value.isprintable():
            raise Unprocessable(f"{name!r} holds characters that cannot be printed", param=name)
    _references(change, kind, before, after)
    _entries(after)
    for index, network in enumerate(getattr(after, "ips", ())):
        if not network_known(network):
            raise Unprocessable("expected an address or a network such as `10.0.0.0/8`", param=f"ips[{index}]")
    _routes(before, after)
    for index, tag in enumerate(getattr(after, "tags", ())):
        if not tag_good(tag):
            raise Unprocessable("a tag is `name:value`", param=f"tags[{index}]")
    if kind.name == "tag" and not tag_good(after.id):
        raise Unprocessable("a tag's id is `name:value`", param="id")
    if isinstance(after, PriceOverride) and after.model in change.admin.config.prices:
        raise DeclaredThere(f"the price of {after.model!r} is declared by the configuration", param="model")
    if isinstance(after, PriceOverride) and "*" in after.model:
        raise Unprocessable("a price here is of one model; the configuration knows `provider/*`", param="model")
    if isinstance(after, Key):
        _key(change, before if isinstance(before, Key) else None, after)


def _routes(before: Thing | None, after: Thing) -> None:
    """See that what a key may call is there to be called; what was allowed before stays."""
    told = getattr(after, "routes", ())
    if not told or told == getattr(before, "routes", ()):
        return
    from portico.dialects.callable import unknown  # read by those who name routes

    for index, name in enumerate(told):
        if (why := unknown(name)) is not None:
            raise Unprocessable(why, param=f"routes[{index}]")


def _references(change: Change, kind: Kind, before: Thing | None, after: Thing) -> None:
    """See that what is referred to exists, and that both it and the object are within reach."""
    for field, kind_name in REFERENCES.items():
        id = getattr(after, field, None)  # noqa: A001  # the word of every API
        if id is None or (before is not None and getattr(before, field) == id):
            continue
        found = declared_thing(change.admin.config, kind_name, id) or find(change.db, KINDS[kind_name], id)
        seen = field == "template" or isinstance(after, Membership) or matches(reach(change.actor, kind_name), found)
        seen = seen or (field == "org" and isinstance(after, Key) and id == org_of(change, after.team, after.user))
        if found is None or not seen:
            raise Unprocessable(f"there is no {kind_name} {id!r}", param=field)
    if not matches(reach(change.actor, kind.name), after):
        raise Forbidden(f"this {kind.name} would be out of your reach")


def org_of(change: Change, team: str | None, user: str | None) -> str | None:
    """Return the organization of a key's team, or else of its user."""
    for kind, id in (("team", team), ("user", user)):  # noqa: A001
        found = change.admin.find_any(change.db, kind, id or "")
        if isinstance(found, Team | User) and found.org is not None:
            return found.org
    return None


def _key(change: Change, before: Key | None, after: Key) -> None:
    for key in (before, after):
        if key is not None and not may_grant(change.actor, key.role):
            raise Forbidden(f"the role {change.actor.role!r} may not touch a key with the role {key.role!r}")
    if after.role == "team_admin" and after.team is None:
        raise Unprocessable("a key with the role `team_admin` belongs to a team", param="team")
    if after.role == "member" and after.user is None:
        raise Unprocessable("a key with the role `member` belongs to a user", param="user")
    if change.actor.level == "user":
        plain = before or Key(id="")
        for field in Key.__struct_fields__:
            if field not in MEMBERS_OWN and field in _SET and getattr(plain, field) != getattr(after, field):
                raise Forbidden(f"{field!r} is set by those who run the team")
    home = org_of(change, after.team, None)
    if home is not None and after.org not in (None, home):
        raise Unprocessable(f"the team {after.team!r} belongs to the organization {home!r}", param="org")


_SET: Final = frozenset(Key.__struct_fields__) - frozenset(Thing.__struct_fields__) - {"prefix"}


def _entries(thing: Thing) -> None:
    """See that limits and budgets bound something, and nothing twice."""
    if isinstance(thing, LimitRule | BudgetRule):
        _entry(thing.entry(), "")
        return
    _listed(tuple(getattr(thing, "limits", ())), tuple(getattr(thing, "budgets", ())), "")
    if isinstance(thing, Team):
        _listed(thing.member.limits, thing.member.budgets, "member.")


def _listed(limits: tuple[Limit, ...], budgets: tuple[Budget, ...], within: str) -> None:
    seen: set[str] = set()
    for path, entry in _paths(limits, budgets, within):
        _entry(entry, path)
        pair: tuple[list[Limit], list[Budget]] = ([entry], []) if isinstance(entry, Limit) else ([], [entry])
        for applied in rules_of("", *pair, {}):
            named = f"{applied.rule.id}/{applied.rule.mode}"
            if named in seen:
                raise Unprocessable(f"{applied.rule.counts} per {entry.per} is bounded twice", param=path)
            seen.add(named)


def _paths(limits: tuple[Limit, ...], budgets: tuple[Budget, ...], within: str) -> Iterator[tuple[str, Limit | Budget]]:
    yield from ((f"{within}limits[{index}]", limit) for index, limit in enumerate(limits))
    yield from ((f"{within}budgets[{index}]", budget) for index, budget in enumerate(budgets))


def _entry(entry: Limit | Budget, path: str) -> None:
    dot = "." if path else ""
    if entry.per not in PERIODS:
        try:
            seconds = units.duration(entry.per)
        except ValueError as error:
            said = f"expected {', '.join(PERIODS)}, or a duration: {error}"
            raise Unprocessable(said, param=f"{path}{dot}per") from None
        if seconds < 1 or seconds != int(seconds):
            raise Unprocessable("a period is a whole number of seconds", param=f"{path}{dot}per")
    for field, message in faults_of(entry):
        raise Unprocessable(message, param=f"{path}{dot}{field}" if field else path or None)
    for counted, amount in counts(entry).items():
        if amount > (1 << 62):
            raise Unprocessable("it is too large", param=f"{path}{dot}{'usd' if counted == 'cost' else counted}")
