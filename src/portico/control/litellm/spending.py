"""LiteLLM's routes of what calls cost, and of the models that they may go to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from portico.control.admin import Look
from portico.control.litellm.fields import Plain, spent
from portico.control.litellm.rows import log_row
from portico.control.litellm.said import days_said, flag, named_key
from portico.control.observed import Calls, list_calls, own
from portico.control.problems import BadRequest
from portico.control.routing import Asked, converted
from portico.store import calls, rollups
from portico.store.dimensions import Dimension
from portico.store.sums import DAY
from portico.types import NANO

ROWS: Final = 100
"""Rows of the log in one reply, unless a range of days asks for all of them, up to `MOST_ROWS`."""
MOST_ROWS: Final = 5000
PAGE: Final = 500


def logs(look: Look, said: Plain) -> list[Plain]:
    """List calls, newest first, as rows of LiteLLM's log; the sums of each day where a range of days is asked for."""
    if said.get("request_id"):
        found = calls.find(look.db, str(said["request_id"]))
        mine = own(look.actor).items()
        seen = found is not None and all(getattr(found.record, name) == value for name, value in mine)
        return [log_row(found.record)] if found is not None and seen else []
    key, user = said.get("api_key"), said.get("user_id")
    where = {"key": None if key is None else named_key(look, str(key)).id, "user": user}
    if not said.get("start_date") and not said.get("end_date"):
        return [log_row(record) for record in _calls(look, {**where, "limit": ROWS}, ROWS)]
    start, end = days_said(look, said)
    if flag(said, "summarize", True):
        return _sums(look, where, start, end)
    query = {**where, "limit": PAGE, "since": start.isoformat(), "until": end.isoformat()}
    return [log_row(record) for record in _calls(look, query, MOST_ROWS)]


def global_spend(look: Look, _said: Plain) -> Plain:
    """Sum up all there is."""
    if look.actor.level != "all":
        ((dimension, value),) = _mine(look).items()
        return {"spend": spent(look, dimension, value), "max_budget": None}
    amounts = rollups.total(look.db, 0, look.admin.now_ms() // 1000 + 60, measures=("cost_nano_usd",))
    return {"spend": amounts["cost_nano_usd"] / NANO, "max_budget": None}


def _mine(look: Look) -> dict[Dimension, str]:
    """Return by what the calls are summed up that the actor may see; {} for all of them."""
    actor = look.actor
    if actor.level == "all":
        return {}
    if actor.level == "key":
        return {"key": actor.id}
    return {actor.level: getattr(actor, actor.level) or ""}


def _calls(look: Look, query: Plain, most: int) -> Iterator[object]:
    """Yield the records of calls page by page."""
    left, after = most, ""
    while left > 0:
        found = list_calls(look, Asked(look.actor, {}, converted({**query, "after": after}, Calls))).value
        yield from found.items[:left]
        left -= len(found.items)
        if found.next is None:
            return
        after = found.next


def _sums(look: Look, where: Plain, start: datetime, end: datetime) -> list[Plain]:
    """Return what calls cost day by day, with what each model and user had of it; days without a call are left out."""
    mine = _mine(look)
    said: dict[Dimension, str] = {name: value for name, value in where.items() if value is not None}  # type: ignore[misc]
    named = said or mine
    if len(named) > 1:
        raise BadRequest("days are summed up for one key or one user; leave one of them out, or `summarize=false`")
    of, value = next(iter(named.items())) if named else (None, None)
    if mine and named != mine and of != "key":
        raise BadRequest("you may sum up your own calls, and those of your keys", param="user_id")
    first, last = int(start.timestamp()), int(end.timestamp())
    days = rollups.series(look.db, rollups.Span(DAY, first, last), of, value, ("cost_nano_usd",))
    return [
        {
            "startTime": datetime.fromtimestamp(day.start, UTC).strftime("%Y-%m-%d"),
            "spend": day.amounts["cost_nano_usd"] / NANO,
            "models": _shares(look, of, value, "model", day.start),
            "users": _shares(look, of, value, "user", day.start),
        }
        for day in days
    ]


def _shares(look: Look, of: Dimension | None, value: str | None, by: Dimension, day: int) -> dict[str, float]:
    try:
        if of is None or value is None:
            found = rollups.by(look.db, by, day, day + DAY, ("cost_nano_usd",), limit=500)
        elif of == by:
            total = rollups.total(look.db, day, day + DAY, of, value, ("cost_nano_usd",))
            return {value: total["cost_nano_usd"] / NANO}
        else:
            found = rollups.broken_down(look.db, of, value, by, day, day + DAY, limit=500)
    except KeyError:
        return {}  # such sums are not kept
    return {share.value: share.amounts["cost_nano_usd"] / NANO for share in found}
