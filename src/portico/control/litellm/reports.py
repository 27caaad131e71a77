"""LiteLLM's reports of what tags, keys, users, teams and customers have spent.

They are made of sums that the store keeps, never of single calls: where it has none of two things together (a team's
models by key), a report says `null` for one of them, and its amounts are those of all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, cast

from portico.control.admin import Look
from portico.control.litellm.fields import Plain, our_tag, spent, their_tag
from portico.control.litellm.rows import key_row, user_row
from portico.control.litellm.said import days_said, listed, named_key, seen
from portico.control.objects import page
from portico.control.problems import BadRequest
from portico.control.replies import Page
from portico.errors import Forbidden
from portico.store import days, rollups
from portico.store.dimensions import Dimension
from portico.store.entities.kinds import KINDS, Kind
from portico.store.entities.things import Key, Thing, User
from portico.types import NANO

KEY, USER, TEAM = KINDS["key"], KINDS["user"], KINDS["team"]
MOST: Final = 500
"""Keys, users and tags that one reply lists: those that have spent most."""
MOST_ROWS: Final = 20_000
"""Sums that one report is made of."""
NOBODYS: Final = "Unassigned Team"
"""The team, in LiteLLM's words, of calls that have none."""


def tags(look: Look, said: Plain) -> list[Plain]:
    """List what the calls of each tag cost, in a range of days where one is given."""
    return [
        {"individual_request_tag": their_tag(row.value), "log_count": row.amounts["requests"], "total_spend": _usd(row)}
        for row in _tags(look, said)
    ]


def global_tags(look: Look, said: Plain) -> Plain:
    """List the same as LiteLLM's dashboard has it; with `tags`, of some of them."""
    wanted = [] if "all-tags" in listed(said, "tags") else [our_tag(tag) for tag in listed(said, "tags")]
    rows = [row for row in _tags(look, said) if not wanted or row.value in wanted]
    told = [{"name": their_tag(row.value), "spend": _usd(row), "log_count": row.amounts["requests"]} for row in rows]
    return {"spend_per_tag": told}


def keys(look: Look, _said: Plain) -> list[Plain]:
    """List keys, those that have spent most first."""
    found = cast("Sequence[Key]", _most(look, KEY, "key"))
    return _by_spend(key_row(look, key, spent(look, "key", key.id)) for key in found)


def users(look: Look, said: Plain) -> list[Plain]:
    """List users, those that have spent most first; with `user_id`, one."""
    if name := said.get("user_id"):
        return [user_row(look, cast("User", seen(look, USER, str(name))))]
    found = cast("Sequence[User]", _most(look, USER, "user"))
    return _by_spend(user_row(look, user, spent(look, "user", user.id)) for user in found)


def report(look: Look, said: Plain) -> list[Plain]:
    """Sum up what was spent in a range of days: by team or customer day by day, or by key; of one of these if named."""
    start, end = (int(day.timestamp()) for day in days_said(look, said))
    if said.get("api_key"):
        return _by_key(look, start, end, [named_key(look, str(said["api_key"])).id])
    if said.get("internal_user_id"):
        return _of_user(look, start, end, str(said["internal_user_id"]))
    if said.get("team_id") and said.get("customer_id"):
        return _of_customer(look, start, end, str(said["team_id"]), str(said["customer_id"]))
    if said.get("team_id") or said.get("customer_id"):
        raise BadRequest("`team_id` and `customer_id` are given together", param="team_id")
    match said.get("group_by") or "team":
        case "team":
            return _by_team(look, start, end)
        case "customer":
            return _by_customer(look, start, end)
        case "api_key":
            return _by_key(look, start, end, within(look, "key", ()))
        case _:
            raise BadRequest("'group_by' is `team`, `customer` or `api_key`", param="group_by")


def within(look: Look, dimension: Dimension, said: Sequence[str]) -> list[str] | None:
    """Return the teams, users or keys whose calls may be summed up: those that are said, else all in reach.

    None for all that there are. Raises Forbidden where the actor reaches none, or not all of them.
    """
    if look.actor.level == "all":
        return list(said) or None
    if dimension == "team" and look.actor.level in ("user", "key"):
        raise Forbidden("what a team has spent is for its admins")
    kind = KINDS[dimension]
    if said:
        return [seen(look, kind, name).id for name in said]
    return [thing.id for thing in page(look, kind, Page(limit=MOST), {}).items]


def few(found: list[days.Row]) -> list[days.Row]:
    """Return rows of sums. Raises BadRequest where there are more than one reply holds."""
    if len(found) > MOST_ROWS:
        raise BadRequest("that is too much for one reply; ask for fewer days", param="end_date")
    return found


def of_tags(look: Look, start: int, end: int, said: Sequence[str] | None, *, daily: bool) -> list[days.Row]:
    """Return what the calls of each tag sum up to, within the actor's reach. Raises Forbidden."""
    most = MOST_ROWS + 1
    if look.actor.level == "all":
        return few(days.of_values(look.db, start, end, "tag", said, daily=daily, most=most))
    if look.actor.level != "team":
        raise Forbidden("sums by tag are kept of each team and of all calls; this key reaches neither")
    team = look.actor.team or ""
    found = few(days.parts(look.db, start, end, "team", [team], "tag", daily=daily, most=most))
    return [row._replace(value=row.part, part="") for row in found if said is None or row.part in said]


def day_of(start: int) -> str:
    """Return a day as LiteLLM's reports write it."""
    return datetime.fromtimestamp(start, UTC).isoformat()


def _tags(look: Look, said: Plain) -> list[days.Row]:
    start, end = 0, look.admin.now_ms() // 1000 + 60
    if said.get("start_date") or said.get("end_date"):
        start, end = (int(day.timestamp()) for day in days_said(look, said))
    found = of_tags(look, start, end, None, daily=False)
    return sorted(found, key=lambda row: (-row.amounts["cost_nano_usd"], row.value))


def _by_team(look: Look, start: int, end: int) -> list[Plain]:
    teams = within(look, "team", ())
    found = few(days.of_values(look.db, start, end, "team", teams, most=MOST_ROWS + 1))
    models = _parts(few(days.parts(look.db, start, end, "team", teams, "model", most=MOST_ROWS + 1)))
    named: dict[str, str] = {}
    every: dict[int, list[Plain]] = {}
    for row in found:
        if row.value not in named:
            team = look.admin.find_any(look.db, "team", row.value)
            named[row.value] = getattr(team, "name", "") or row.value
        told = {"team_name": named[row.value], "total_spend": _usd(row)}
        every.setdefault(row.day, []).append({**told, "metadata": models.get((row.day, row.value), [])})
    if teams is None:
        for day, nano in _left_over(look, start, end, found):
            every.setdefault(day, []).append({"team_name": NOBODYS, "total_spend": nano / NANO, "metadata": []})
    return [{"group_by_day": day_of(day), "teams": every[day]} for day in sorted(every)]


def _left_over(look: Look, start: int, end: int, found: Iterable[days.Row]) -> Iterator[tuple[int, int]]:
    """Yield what calls of no team have cost, by day."""
    counted: dict[int, int] = {}
    for row in found:
        counted[row.day] = counted.get(row.day, 0) + row.amounts["cost_nano_usd"]
    for row in days.of_values(look.db, start, end, None):
        if left := row.amounts["cost_nano_usd"] - counted.get(row.day, 0):
            yield row.day, left


def _by_customer(look: Look, start: int, end: int) -> list[Plain]:
    most = MOST_ROWS + 1
    if look.actor.level == "all":
        found = few(days.of_values(look.db, start, end, "customer", most=most))
        models = _parts(few(days.parts(look.db, start, end, "customer", None, "model", most=most)))
    elif look.actor.level == "team":
        whole = few(days.parts(look.db, start, end, "team", [look.actor.team or ""], "customer", most=most))
        found = [row._replace(value=row.part, part="") for row in whole]
        models = {(row.day, row.value): [_detail(row)] for row in found}
    else:
        raise Forbidden("sums by customer are kept of each team and of all calls; this key reaches neither")
    every: dict[int, list[Plain]] = {}
    for row in found:
        told = {"customer": row.value, "total_spend": _usd(row)}
        every.setdefault(row.day, []).append({**told, "metadata": models.get((row.day, row.value), [])})
    return [{"group_by_day": day_of(day), "customers": every[day]} for day in sorted(every)]


def _of_customer(look: Look, start: int, end: int, team: str, customer: str) -> list[Plain]:
    within(look, "team", [team])
    found = few(days.parts(look.db, start, end, "team", [team], "customer", most=MOST_ROWS + 1))
    name = getattr(look.admin.find_any(look.db, "team", team), "name", "") or team
    return [
        {"group_by_day": day_of(row.day), "teams_customers": [{"team_name": name, "customer": customer, **_whole(row)}]}
        for row in found
        if row.part == customer
    ]


def _by_key(look: Look, start: int, end: int, named: Sequence[str] | None) -> list[Plain]:
    most = MOST_ROWS + 1
    found = few(days.parts(look.db, start, end, "key", named, "model", daily=False, most=most))
    return sorted(
        (_used(key, list(rows)) for key, rows in groupby(sorted(found), key=lambda row: row.value)),
        key=lambda told: -told["total_cost"],
    )


def _of_user(look: Look, start: int, end: int, name: str) -> list[Plain]:
    """Return what a user has spent with all keys together."""
    named = within(look, "user", [name])
    found = days.parts(look.db, start, end, "user", named, "model", daily=False, most=MOST_ROWS)
    return [_used(None, found)] if found else []


def _used(key: str | None, found: Sequence[days.Row]) -> Plain:
    def sums(rows: Sequence[days.Row]) -> Plain:
        return {
            "total_cost": sum(row.amounts["cost_nano_usd"] for row in rows) / NANO,
            "total_input_tokens": sum(row.amounts["input_tokens"] for row in rows),
            "total_output_tokens": sum(row.amounts["output_tokens"] for row in rows),
        }

    return {"api_key": key, **sums(found), "model_details": [{"model": row.part, **sums([row])} for row in found]}


def _parts(found: Iterable[days.Row]) -> Mapping[tuple[int, str], list[Plain]]:
    every: dict[tuple[int, str], list[Plain]] = {}
    for row in found:
        every.setdefault((row.day, row.value), []).append(_detail(row))
    return every


def _detail(row: days.Row) -> Plain:
    tokens = row.amounts["input_tokens"] + row.amounts["output_tokens"]
    return {"model": row.part or None, "api_key": None, "spend": _usd(row), "total_tokens": tokens}


def _whole(row: days.Row) -> Plain:
    return {"total_spend": _usd(row), "metadata": [_detail(row._replace(part=""))]}


def _usd(row: days.Row) -> float:
    return row.amounts["cost_nano_usd"] / NANO


def _most(look: Look, kind: Kind, dimension: Dimension) -> Sequence[Thing]:
    """Return the keys or users in reach; where there are many, first those that have spent most."""
    found = page(look, kind, Page(limit=MOST), {})
    if found.next is None or look.actor.level != "all":
        return found.items
    until = look.admin.now_ms() // 1000 + 60
    shares = rollups.by(look.db, dimension, 0, until, ("cost_nano_usd",), limit=MOST)
    known = (look.admin.find_any(look.db, kind.name, share.value) for share in shares)
    every = {thing.id: thing for thing in (*(one for one in known if one is not None), *found.items)}
    return list(every.values())[:MOST]


def _by_spend(told: Iterable[Plain]) -> list[Plain]:
    return sorted(told, key=lambda row: -row["spend"])
