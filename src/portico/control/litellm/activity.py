"""LiteLLM's `/user/daily/activity` and its like: what users, teams and tags did day by day, newest first, by pages.

A page holds whole days, and `metadata` sums up the days of the page, as LiteLLM's does. Models are told by the name
that was asked for. What the store does not keep together (a user's keys, a tag's providers) is left empty.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from portico.control.admin import Look
from portico.control.litellm.fields import Plain, our_tag, their_tag
from portico.control.litellm.reports import MOST_ROWS, few, of_tags, within
from portico.control.litellm.said import days_said, listed, named_key, number
from portico.control.problems import BadRequest
from portico.errors import Forbidden
from portico.store import days
from portico.store.dimensions import Dimension
from portico.store.sums import DAY
from portico.types import NANO

SIZE: Final = 50
MOST_SIZE: Final = 1000
"""Days on a page."""

Rows = Sequence[days.Row]


class Told(NamedTuple):
    """What days are told by: whose calls they are, and what they went to, by `part`."""

    entities: Rows
    models: Rows = ()
    providers: Rows = ()
    keys: Rows = ()


def user(look: Look, said: Plain) -> Plain:
    """Tell what a user did; the actor's own where it does not reach all, and everybody where none is named."""
    name = said.get("user_id")
    if said.get("api_key"):
        if name:
            raise BadRequest("sums are kept of a user and of a key, not of both together", param="api_key")
        key = named_key(look, str(said["api_key"])).id

        def own(start: int, end: int) -> Told:
            found = _of(look, start, end, "key", [key])
            return found._replace(keys=[row._replace(part=row.value) for row in found.entities])

        return _told(look, said, own)
    if look.actor.level != "all":
        if not look.actor.user or name not in (None, look.actor.user):
            raise Forbidden("this key may see what its own user did")
        name = look.actor.user
    if name:
        return _told(look, said, lambda start, end: _of(look, start, end, "user", [str(name)]))

    def every(start: int, end: int) -> Told:
        found = (_sums(look, start, end, by) for by in ("user", "model", "provider", "key"))
        users, models, providers, keys = found
        return Told(
            users, *([row._replace(part=row.value, value="") for row in rows] for rows in (models, providers, keys))
        )

    return _told(look, said, every, lambda start, end: _sums(look, start, end, None))


def team(look: Look, said: Plain) -> Plain:
    """Tell what teams did: those of `team_ids`, or all in reach."""
    wanted = within(look, "team", listed(said, "team_ids"))
    return _told(look, said, lambda start, end: _of(look, start, end, "team", wanted))


def tag(look: Look, said: Plain) -> Plain:
    """Tell what the calls of tags did: of those in `tags`, or of all. A call with several counts for each of them."""
    wanted = [our_tag(one) for one in listed(said, "tags")] or None

    def found(start: int, end: int) -> Told:
        rows = of_tags(look, start, end, wanted, daily=True)
        models = _parts(look, start, end, "tag", wanted, "model") if look.actor.level == "all" else []
        return Told(
            [row._replace(value=their_tag(row.value)) for row in rows],
            [row._replace(value=their_tag(row.value)) for row in models],
        )

    return _told(look, said, found)


def _of(look: Look, start: int, end: int, of: Dimension, wanted: Sequence[str] | None) -> Told:
    by: tuple[Dimension, ...] = ("model", "provider", "key")
    return Told(
        _sums(look, start, end, of, wanted), *(_parts(look, start, end, of, wanted, dimension) for dimension in by)
    )


def _sums(look: Look, start: int, end: int, of: Dimension | None, wanted: Sequence[str] | None = None) -> Rows:
    return few(days.of_values(look.db, start, end, of, wanted, most=MOST_ROWS + 1))


def _parts(look: Look, start: int, end: int, of: Dimension, wanted: Sequence[str] | None, by: Dimension) -> Rows:
    try:
        return few(days.parts(look.db, start, end, of, wanted, by, most=MOST_ROWS + 1))
    except KeyError:
        return []  # such sums are not kept


def _told(
    look: Look, said: Plain, found: Callable[[int, int], Told], whole: Callable[[int, int], Rows] | None = None
) -> Plain:
    """Return a page of days. `whole` says what a day sums up to where that is more than its entities do."""
    if said.get("model") or said.get("exclude_team_ids"):
        name = "model" if said.get("model") else "exclude_team_ids"
        raise BadRequest(f"{name!r} is not supported here; each day is told by model and by team", param=name)
    start, end = (int(day.timestamp()) for day in days_said(look, said))
    size, place = number(said, "page_size", SIZE, MOST_SIZE), number(said, "page", 1, MOST_SIZE)
    last = end - (place - 1) * size * DAY
    first = max(start, last - size * DAY)
    pages = -(-(end - start) // (size * DAY))
    there = found(first, last) if last > start else Told([])
    entities, *parts = [_by_day(rows) for rows in there]
    sums = _by_day(whole(first, last)) if whole is not None and last > start else entities
    aliases = _Aliases(look)
    results = [
        {
            "date": datetime.fromtimestamp(day, UTC).strftime("%Y-%m-%d"),
            "metrics": _metrics(sums[day]),
            "breakdown": _breakdown(aliases, *(rows.get(day, []) for rows in (entities, *parts))),
        }
        for day in sorted(sums, reverse=True)
    ]
    totals = _metrics(row for rows in sums.values() for row in rows)
    tokens = totals.pop("total_tokens")
    paging = {"page": place, "total_pages": pages, "has_more": place < pages}
    told_of = {f"total_{name}": value for name, value in totals.items()}
    return {"results": results, "metadata": {**told_of, "total_tokens": tokens, **paging}}


def _by_day(rows: Rows) -> dict[int, list[days.Row]]:
    every: dict[int, list[days.Row]] = {}
    for row in rows:
        every.setdefault(row.day, []).append(row)
    return every


def _breakdown(aliases: "_Aliases", entities: Rows, models: Rows, providers: Rows, keys: Rows) -> Plain:
    by_model = _apart(models)
    by_entity = _by(keys, lambda row: row.value)
    return {
        "models": by_model,
        "model_groups": by_model,
        "providers": _apart(providers),
        "api_keys": {name: {**one, "metadata": aliases.of_key(name)} for name, one in _apart(keys).items()},
        "entities": {
            row.value: {
                "metrics": _metrics([row]),
                "metadata": {},
                "api_key_breakdown": {
                    each.part: {"metrics": _metrics([each]), "metadata": aliases.of_key(each.part)}
                    for each in by_entity.get(row.value, ())
                },
            }
            for row in entities
        },
        "mcp_servers": {},
    }


def _by(rows: Rows, name: Callable[[days.Row], str]) -> dict[str, list[days.Row]]:
    every: dict[str, list[days.Row]] = {}
    for row in rows:
        every.setdefault(name(row), []).append(row)
    return every


def _apart(rows: Rows) -> dict[str, Plain]:
    found = _by(rows, lambda row: row.part)
    return {name: {"metrics": _metrics(each), "metadata": {}, "api_key_breakdown": {}} for name, each in found.items()}


class _Aliases:
    """Who keys are, each looked up once."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._known: dict[str, Plain] = {}

    def of_key(self, name: str) -> Plain:
        if name not in self._known:
            key = self._look.admin.find_any(self._look.db, "key", name)
            self._known[name] = {
                "key_alias": getattr(key, "name", None) or None,
                "team_id": getattr(key, "team", None),
                "user_id": getattr(key, "user", None),
                "key_exists": key is not None,
            }
        return self._known[name]


def _metrics(rows: Iterable[days.Row]) -> Plain:
    """Return what rows sum up to in LiteLLM's words; of cached tokens nothing where nobody told them apart."""
    found = list(rows)

    def added(name: str) -> int:
        return sum(row.amounts.get(name, 0) for row in found)

    metrics: Plain = {
        "spend": added("cost_nano_usd") / NANO,
        "prompt_tokens": added("input_tokens"),
        "completion_tokens": added("output_tokens"),
        "total_tokens": added("input_tokens") + added("output_tokens"),
        "api_requests": added("requests"),
        "successful_requests": added("requests") - added("errors"),
        "failed_requests": added("errors"),
    }
    if all("cache_read" in row.amounts for row in found):
        metrics["cache_read_input_tokens"] = added("cache_read")
        metrics["cache_creation_input_tokens"] = added("cache_write")
    return metrics
