"""LiteLLM's `/global/spend/…` and `/global/activity`: what all calls came to, by key, team, model, provider and day.

They are for those who see all calls. Where no days are said, the last thirty are meant. Models are told by the name
that was asked for, teams by their names.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from portico.control.admin import Look
from portico.control.litellm.fields import Plain, their_tag
from portico.control.litellm.reports import MOST_ROWS, few
from portico.control.litellm.said import days_said, number
from portico.errors import Forbidden
from portico.store import days
from portico.store.dimensions import Dimension
from portico.store.entities.things import Key, Team
from portico.store.sums import DAY
from portico.types import NANO

LISTED: Final = 10
"""Keys or models in a reply that does not say how many."""
LAST_DAYS: Final = 30


def keys(look: Look, said: Plain) -> list[Plain]:
    """List keys by what they have spent, those that have spent most first."""
    told = []
    for row in _most(look, said, "key"):
        key = look.admin.find_any(look.db, "key", row.value)
        named = {"key_alias": key.name or None, "key_name": key.prefix} if isinstance(key, Key) else {}
        told.append({"api_key": row.value, "key_alias": None, "key_name": None, **named, "total_spend": _usd(row)})
    return told


def models(look: Look, said: Plain) -> list[Plain]:
    """List models by what they cost, the dearest first."""
    return [{"model": row.value, "total_spend": _usd(row)} for row in _most(look, said, "model")]


def provider(look: Look, said: Plain) -> list[Plain]:
    """List providers by what they cost, the dearest first."""
    return [{"provider": row.value, "spend": _usd(row)} for row in _sorted(_rows(look, said, "provider", daily=False))]


def teams(look: Look, said: Plain) -> Plain:
    """Tell what teams spent, day by day and over all."""
    names: dict[str, str] = {}
    by_day: dict[int, Plain] = {}
    for row in _rows(look, said, "team", daily=True):
        if row.value not in names:
            team = look.admin.find_any(look.db, "team", row.value)
            names[row.value] = (team.name if isinstance(team, Team) else "") or row.value
        by_day.setdefault(row.day, {"date": _day(row.day)})[names[row.value]] = _usd(row)
    whole = _sorted(_rows(look, said, "team", daily=False))
    return {
        "daily_spend": [by_day[day] for day in sorted(by_day)],
        "teams": list(names.values()),
        "total_spend_per_team": [{"team_id": names[row.value], "total_spend": _usd(row)} for row in whole],
    }


def logs(look: Look, said: Plain) -> list[Plain]:
    """Tell what each day cost."""
    return [{"date": _day(row.day), "spend": _usd(row)} for row in _by_day(_rows(look, said, None, daily=True))]


def tag_names(look: Look, said: Plain) -> Plain:
    """List the tags that calls had."""
    return {"tag_names": sorted({their_tag(row.value) for row in _rows(look, said, "tag", daily=False)})}


def activity(look: Look, said: Plain) -> Plain:
    """Tell how many calls and tokens each day had."""
    return _active(_rows(look, said, None, daily=True))


def model_activity(look: Look, said: Plain) -> list[Plain]:
    """Tell the same of each model."""
    of_models: dict[str, list[days.Row]] = {}
    for row in _rows(look, said, "model", daily=True):
        of_models.setdefault(row.value, []).append(row)
    told: list[Plain] = [{"model": model, **_active(rows)} for model, rows in of_models.items()]
    return sorted(told, key=lambda one: -int(one["sum_api_requests"]))


def _active(rows: Sequence[days.Row]) -> Plain:
    found = _by_day(rows)
    tokens = [row.amounts["input_tokens"] + row.amounts["output_tokens"] for row in found]
    each = [
        {"date": f"{datetime.fromtimestamp(row.day, UTC):%b %d}", "api_requests": row.amounts["requests"]}
        | {"total_tokens": count}
        for row, count in zip(found, tokens, strict=True)
    ]
    sums = {"sum_api_requests": sum(row.amounts["requests"] for row in found), "sum_total_tokens": sum(tokens)}
    return {"daily_data": each, **sums}


def _rows(look: Look, said: Plain, of: Dimension | None, *, daily: bool) -> list[days.Row]:
    if look.actor.level != "all":
        raise Forbidden("these are sums of all calls, for those who see all of them; see /user/daily/activity")
    if said.get("start_date") or said.get("end_date"):
        start, end = (int(day.timestamp()) for day in days_said(look, said))
    else:
        end = (look.admin.now_ms() // 1000 // DAY + 1) * DAY
        start = end - LAST_DAYS * DAY
    return few(days.of_values(look.db, start, end, of, daily=daily, most=MOST_ROWS + 1))


def _most(look: Look, said: Plain, of: Dimension) -> list[days.Row]:
    return _sorted(_rows(look, said, of, daily=False))[: number(said, "limit", LISTED, 500)]


def _sorted(rows: list[days.Row]) -> list[days.Row]:
    return sorted(rows, key=lambda row: -row.amounts["cost_nano_usd"])


def _by_day(rows: Sequence[days.Row]) -> list[days.Row]:
    return sorted(rows, key=lambda row: row.day)


def _day(start: int) -> str:
    return datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d")


def _usd(row: days.Row) -> float:
    return row.amounts["cost_nano_usd"] / NANO
