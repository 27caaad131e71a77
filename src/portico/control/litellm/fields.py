"""LiteLLM's field names and ours, both ways.

Its words are those of its management API (docs.litellm.ai, `proxy/virtual_keys`, `proxy/users`). A field that would
hold a caller to something and has no counterpart here is refused: leaving it out would allow more than was asked for.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from portico.config import units
from portico.config.problems import nearest
from portico.control.admin import Look
from portico.control.problems import BadRequest
from portico.store import rollups
from portico.store.dimensions import Dimension
from portico.store.entities.things import Thing
from portico.types import NANO

Plain = dict[str, Any]
Does = Callable[[Any, Plain], Any]
"""What a route does, in a transaction that is begun for it, with what was said. Raises PorticoError."""

SAME: Final[Mapping[str, Mapping[str, str]]] = {
    "key": {
        "key_alias": "name",
        "models": "models",
        "aliases": "aliases",
        "user_id": "user",
        "team_id": "team",
        "organization_id": "org",
        "budget_id": "template",
        "metadata": "metadata",
        "blocked": "blocked",
    },
    "team": {
        "team_id": "id",
        "team_alias": "name",
        "organization_id": "org",
        "models": "models",
        "model_aliases": "aliases",
        "metadata": "metadata",
        "blocked": "blocked",
    },
    "organization": {
        "organization_id": "id",
        "organization_alias": "name",
        "models": "models",
        "metadata": "metadata",
        "blocked": "blocked",
        "budget_id": "template",
    },
    "user": {
        "user_id": "id",
        "user_alias": "name",
        "user_email": "email",
        "organization_id": "org",
        "models": "models",
        "metadata": "metadata",
    },
    "customer": {"user_id": "id", "alias": "name", "blocked": "blocked", "budget_id": "template"},
    "template": {"budget_id": "id"},
    "tag": {"name": "id", "description": "description", "budget_id": "template"},
    "membership": {},
}
"""Fields that are the same by another name, for each kind."""

BOUNDS: Final = (
    "max_budget", "budget_duration", "soft_budget", "tpm_limit", "rpm_limit", "tpd_limit", "max_parallel_requests",
    "budget_limits",
)  # fmt: skip
ELSEWHERE: Final = frozenset(
    (
        "key", "keys", "duration", "tags", "send_invite_email", "auto_create_key", "user_role", "spend", "key_type",
        "members_with_roles", "teams", "grace_period", "new_key", "team_alias", "key_aliases", "created_by",
        "litellm_changed_by", "end_user_id", "user_ids", "team_ids", "id", "budgets", "default_model", "member", "role",
        "max_budget_in_team", "token", "updated_at", "created_at",
    )
)  # fmt: skip
"""Fields that a route reads itself, or that hold nobody to anything."""

EVERY_MODEL: Final = frozenset(("all-team-models", "all-proxy-models"))
"""Names that stand for all models that there are, or that the team may use."""

_LIMITS: Final = (
    ("rpm_limit", "requests", "minute"),
    ("tpm_limit", "tokens", "minute"),
    ("tpd_limit", "tokens", "day"),
    ("max_parallel_requests", "in_flight", "minute"),
)
_PERIODS: Final = {"1mo": "month", "1m": "1m", "monthly": "month", "weekly": "week", "daily": "day"}


def ours(kind: str, said: Plain, now: datetime | None = None) -> Plain:
    """Return what was said in our words; a duration runs from `now`.

    Raises BadRequest for what has no counterpart and would be missed.
    """
    same = SAME[kind]
    found: Plain = {}
    for name, value in said.items():
        if name in same:
            if value is not None or name in ("team_id", "user_id", "organization_id", "budget_id"):
                found[same[name]] = value
        elif kind == "key" and name == "allowed_passthrough_routes":
            found |= {} if value is None else {"passthrough": _passed(value)}
        elif kind == "key" and name in ("allowed_routes", "key_type"):
            found |= {} if value is None else _routes(name, value)
        elif name not in BOUNDS and name not in ELSEWHERE and value not in (None, {}, [], "", False):
            hint = nearest(name, (*same, *BOUNDS, *ELSEWHERE)) or "; leave it out, and use /api/v1"
            raise BadRequest(f"{name!r} is not supported here{hint}", param=name)
    if isinstance(found.get("models"), list) and not EVERY_MODEL.isdisjoint(found["models"]):
        found["models"] = []  # what a key leaves out is its team's
    if now is not None and said.get("duration"):
        found["expires"] = now + timedelta(seconds=seconds(said["duration"], "duration"))
    if said.get("tags"):
        found["tags"] = [our_tag(tag) for tag in said["tags"]]
    if any(said.get(name) is not None for name in BOUNDS):
        found["limits"], found["budgets"] = bounds(said)
    return {name: _plain(value) for name, value in found.items()}


def bounds(said: Plain) -> tuple[list[Plain], list[Plain]]:
    """Return LiteLLM's limits and budgets as ours."""
    limits: list[Plain] = []
    said = _numbers(said)
    for name, counted, per in _LIMITS:
        if said.get(name) is not None:
            limits.append({counted: said[name], "per": per})
    budgets: list[Plain] = []
    per = period(said.get("budget_duration"))
    for name, mode in (("max_budget", "hard"), ("soft_budget", "soft")):
        if said.get(name) is not None:
            budgets.append({"usd": said[name], "per": per, "mode": mode})
    return limits, budgets + _windows(said)


def _windows(said: Plain) -> list[Plain]:
    """Return the budgets of several windows at once: `budget_limits`. Raises BadRequest."""
    found: list[Plain] = []
    listed = said.get("budget_limits") or []
    if not isinstance(listed, list):
        raise BadRequest("'budget_limits' is a list of windows", param="budget_limits")
    for window in listed:
        if not isinstance(window, dict) or window.get("max_budget") is None or not window.get("budget_duration"):
            raise BadRequest("a window has `max_budget` and `budget_duration`", param="budget_limits")
        usd = _numbers({"max_budget": window["max_budget"]})["max_budget"]
        found.append({"usd": usd, "per": period(window["budget_duration"]), "mode": "hard"})
    return found


def _passed(value: Any) -> list[str]:
    """Return the providers that a key may reach by their own paths: of `/anthropic` or `/anthropic/*`, `anthropic`."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadRequest("'allowed_passthrough_routes' is a list of paths", param="allowed_passthrough_routes")
    names = [one.strip("/").removesuffix("/*") for one in value]
    if any(not name or "/" in name or "*" in name for name in names):
        raise BadRequest("a path to pass through is `/{provider}`", param="allowed_passthrough_routes")
    return list(dict.fromkeys(names))


def _routes(name: str, value: Any) -> Plain:
    """Return what a key may call. Raises BadRequest for what is no call of a model, but a right of another kind."""
    from portico.dialects.operations import OPERATIONS, route  # read by those who name routes

    if name == "key_type":
        if value in ("default", "llm_api"):
            return {}
        raise BadRequest("a key that reads or manages is one with a role: make it with /api/v1/keys", param=name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadRequest(f"{name!r} is a list of words", param=name)
    if not value or "llm_api_routes" in value:
        others = set(value) - {"llm_api_routes", "info_routes"}
        if any(not one.startswith("/") for one in others):
            raise BadRequest("a key that manages is one with a role: make it with /api/v1/keys", param=name)
        return {"routes": []}
    found: list[str] = []
    for one in value:
        if one in OPERATIONS:  # as it is told
            found.append(one)
            continue
        method = "GET" if one.endswith("/models") else "POST"
        called = route(method, one, ()) if one.startswith("/") else None
        if called is None:
            raise BadRequest(f"{name!r} has paths of calls of models, or `llm_api_routes`: not {one!r}", param=name)
        found.append(called.operation.name)
    return {"routes": list(dict.fromkeys(found))}


def _numbers(said: Plain) -> Plain:
    """Return what is said with its amounts as numbers, also those in quotes. Raises BadRequest for one that is none."""
    found = dict(said)
    for name in ("max_budget", "soft_budget", *(name for name, _, _ in _LIMITS)):
        value = said.get(name)
        if value is None:
            continue
        usd = name.endswith("budget")
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
            if not 0 <= number <= (1e9 if usd else 1e18) or not (usd or number.is_integer()):
                raise ValueError
            found[name] = number if usd else int(value if isinstance(value, int) else number)
        except (TypeError, ValueError, OverflowError):
            what = "an amount in dollars, of a billion at most" if usd else "a whole number, from 0"
            raise BadRequest(f"{name!r} is {what}", param=name) from None
    return found


def rebound(before: Thing, said: Plain) -> Plain:
    """Return the limits and budgets of an object once what is said of them is put in; nothing where nothing is.

    A bound that is said to be nothing (`null`) goes. What LiteLLM has no word for stays.
    """
    if not any(name in said for name in BOUNDS):
        return {}
    said = _numbers(said)
    limits: list[Plain] = [_plain(limit) for limit in getattr(before, "limits", ())]
    for name, counted, per in _LIMITS:
        if name not in said:
            continue
        for limit in limits:
            if counted == "in_flight" or limit["per"] == per:
                limit[counted] = None
        if said[name] is not None:
            limits.append({counted: said[name], "per": per})
    budgets: list[Plain] = [_plain(budget) for budget in getattr(before, "budgets", ())]
    for name, soft in (("max_budget", False), ("soft_budget", True)):
        own = [one for one in budgets if one["usd"] is not None and (one["mode"] == "soft") is soft]
        usd = said[name] if name in said else own[0]["usd"] if own else None
        if not soft and "budget_limits" in said:
            usd, gone = (usd if name in said else None), own
        elif name not in said and "budget_duration" not in said:
            continue
        else:
            gone = own[:1]  # the other windows stay
        per = period(said.get("budget_duration")) if "budget_duration" in said or not own else own[0]["per"]
        place = budgets.index(own[0]) + 1 if own else len(budgets)
        for one in gone:
            one["usd"] = None
        if usd is not None:
            kept = {field: own[0][field] for field in ("rolling", "zone", "mode", "alerts")} if own else {}
            budgets.insert(place, {"mode": "soft" if soft else "hard", **kept, "usd": usd, "per": per})
    budgets += _windows(said)
    counting = ("usd", "requests", "tokens", "input_tokens", "output_tokens", "in_flight")
    return {
        name: [one for one in entries if any(one.get(field) is not None for field in counting)]
        for name, entries in (("limits", limits), ("budgets", budgets))
    }


def theirs(thing: Thing) -> Plain:
    """Return an object's limits and budgets in LiteLLM's words; None for each that is not there."""
    found: Plain = dict.fromkeys(BOUNDS)
    for limit in getattr(thing, "limits", ()):
        for name, counted, per in _LIMITS[:-1]:
            if limit.per == per and getattr(limit, counted) is not None:
                found[name] = getattr(limit, counted)
        if limit.in_flight is not None:
            found["max_parallel_requests"] = limit.in_flight
    windows: list[Plain] = []
    for budget in getattr(thing, "budgets", ()):
        if budget.usd is not None:
            name = "soft_budget" if budget.mode == "soft" else "max_budget"
            lasts = duration(budget.per)
            if found[name] is None:  # the first of several
                found[name], found["budget_duration"] = budget.usd, found["budget_duration"] or lasts
            if budget.mode != "soft":
                windows.append({"max_budget": budget.usd, "budget_duration": lasts})
    found["budget_limits"] = windows if len(windows) > 1 else None
    return found


def spent(look: Look, dimension: Dimension, value: str) -> float:
    """Return what somebody's calls have cost until now, in dollars."""
    until = look.admin.now_ms() // 1000 + 60
    amounts = rollups.total(look.db, 0, until, dimension, value, ("cost_nano_usd",))
    return amounts["cost_nano_usd"] / NANO


def our_tag(tag: str) -> str:
    """Return a tag of LiteLLM's, which needs no name, as ours: `name:value`."""
    return tag if ":" in tag else f"tag:{tag}"


def their_tag(tag: str) -> str:
    """Return a tag of ours as it was said to LiteLLM's routes."""
    return tag.removeprefix("tag:")


def period(duration: str | None) -> str:
    """Return a duration of LiteLLM's as a period: `30d`, `1mo`. Raises BadRequest."""
    if duration is None:
        return "forever"
    if duration in _PERIODS:
        return _PERIODS[duration]
    return units.render_duration(seconds(duration, "budget_duration"))


def stamp(when: datetime | None) -> str | None:
    """Return a time as LiteLLM writes it."""
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def duration(per: str) -> str | None:
    """Return a period as a duration of LiteLLM's, None for one without an end."""
    if per == "forever":
        return None
    return {"minute": "1m", "hour": "1h", "day": "1d", "week": "7d", "month": "1mo"}.get(per, per)


def seconds(text: Any, name: str) -> float:
    """Return a duration of LiteLLM's in seconds: `30s`, `30m`, `30h`, `30d`, `1w`, `1mo`. Raises BadRequest."""
    if not isinstance(text, str):
        raise BadRequest(f"{name!r} is a duration such as `30d`", param=name)
    for unit, days in (("mo", 30), ("w", 7)):
        number = text.removesuffix(unit)
        if number != text and number.isascii() and number.isdecimal() and len(number) < 6:
            text = f"{int(number) * days}d"
    try:
        return units.duration(text)
    except ValueError as error:
        raise BadRequest(f"{name!r} is a duration such as `30d`: {error}", param=name) from None


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
