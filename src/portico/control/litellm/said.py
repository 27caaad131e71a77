"""What LiteLLM's scripts say, found among our objects: a key by itself, a user by an address, a change of a part."""

import hmac
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from portico.control import keys
from portico.control.admin import Change, Look
from portico.control.litellm.fields import Plain, ours, rebound
from portico.control.members import join
from portico.control.objects import alter, make
from portico.control.problems import BadRequest, Unprocessable
from portico.control.replies import patch
from portico.control.routing import converted
from portico.errors import Forbidden, NotFound
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS, Kind
from portico.store.entities.things import Key, Thing, User

USER = KINDS["user"]
MOST_DAYS: Final = 366
MOST_NAMES: Final = 500
"""Teams, keys … that one request names."""


def needed(said: Plain, name: str) -> str:
    """Return a text that must be there. Raises BadRequest."""
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name!r} is missing", param=name)
    return value


def brought(said: Plain, name: str) -> str | None:
    """Return a key that somebody brings along. Raises Unprocessable for one that can be guessed."""
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith("sk-") or len(value) < 24 or not value.isprintable():
        raise Unprocessable("a key of your own begins with `sk-` and has at least 24 characters", param=name)
    return value


def number(said: Plain, name: str, default: int, most: int) -> int:
    """Return a number from 1 to `most`. Raises BadRequest."""
    text = str(said.get(name) or default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise BadRequest(f"{name!r} is a number from 1 to {most}", param=name)
    return int(text)


def flag(said: Plain, name: str, default: bool) -> bool:
    """Return whether something is wanted: `true` and `false` as JSON or in a query."""
    value = said.get(name)
    return default if value is None else str(value).lower() == "true"


def named_key(look: Look, name: str) -> Key:
    """Return the key that is named by itself or by its id. Raises NotFound; Forbidden to who sees its own alone."""
    id = name  # noqa: A001  # the word of every API
    if name.startswith("sk-"):
        found = keys.by_token(look, name)
        declared = look.admin.config.keys.items()
        given = name.encode()
        own = next((one for one, key in declared if hmac.compare_digest(key.key.encode(), given)), "")
        id = found.id if found is not None else own  # noqa: A001
        if not id:  # who says a key in full learns nothing that using it would not tell
            raise NotFound("there is no such key")
    return cast("Key", seen(look, KINDS["key"], id))


def seen(look: Look, kind: Kind, id: str) -> Thing:  # noqa: A002
    """Return an object. Raises NotFound; Forbidden to who sees its own alone, whether it is there or not."""
    try:
        return look.see(kind, id)
    except NotFound:
        if look.actor.level in ("user", "key"):
            raise Forbidden(f"this key may not see that {kind.name}") from None
        # What was said may be a key: it is not repeated.
        raise NotFound(f"there is no such {kind.name}") from None


def altered(change: Change, kind: Kind, before: Thing, said: Plain, **more: Any) -> Thing:
    """Change what is said of an object, and nothing else: bounds that are not named stay."""
    if before.source == "configuration":
        change.find(kind, before.id)  # says that it is declared
    fields = ours(kind.name, said, rows.time(change.at_ms))
    fields = {name: value for name, value in fields.items() if name not in ("id", "key", "limits", "budgets")}
    fields |= rebound(before, said) | more
    return alter(change, kind, before, converted(fields, patch(kind.name)))


def user_of(look: Look, said: Plain, what: str) -> str | None:
    """Return the id of the user that `user_id` or `user_email` names; None for an address that nobody has yet."""
    for name in ("user_id", "user_email"):
        if (value := said.get(name)) is not None:
            if not isinstance(value, str) or not value:
                raise BadRequest(f"{name!r} is a text", param=what)
            if name == "user_id":
                return value
            found = rows.page(look.db, USER, {"email": value}, "", 1)
            return found[0].id if found else None
    raise BadRequest("a member is named by `user_id` or `user_email`", param=what)


def joined(change: Change, team: str, member: Any, budget: Any = None) -> str:
    """Let a user join a team, who is made where nobody has the id or the address; return its id."""
    if not isinstance(member, dict):
        raise BadRequest("a member is an object with `user_id` or `user_email`", param="member")
    user, email = user_of(change, member, "member"), member.get("user_email")
    if user is None or change.admin.find_any(change.db, "user", user) is None:
        user = cast("User", make(change, USER, {"id": user, "email": email})).id
    role = "team_admin" if member.get("role") == "admin" else "member"
    fields: Plain = {"user": user, "role": role}
    if budget is not None:
        fields["budgets"] = [{"usd": budget, "per": "forever"}]
    join(change, team, fields)
    return user


def members_said(said: Plain, name: str) -> list[Any]:
    """Return members that are said one by one or as a list."""
    members = said.get(name) or []
    return members if isinstance(members, list) else [members]


def listed(said: Plain, name: str) -> list[str]:
    """Return names that are said as a list or by commas; none where nothing is said. Raises BadRequest."""
    value = said.get(name)
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    found = [one.strip() for one in names if isinstance(one, str) and one.strip()]
    if len(found) > MOST_NAMES:
        raise BadRequest(f"{name!r} has at most {MOST_NAMES} names", param=name)
    return found


def days_said(look: Look, said: Plain) -> tuple[datetime, datetime]:
    """Return the range of days that is asked for, the last one whole. Raises BadRequest."""
    today = datetime.fromtimestamp(look.admin.now_ms() / 1000, UTC)
    found = []
    for name in ("start_date", "end_date"):
        text = str(said.get(name) or today.strftime("%Y-%m-%d"))
        try:
            found.append(datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC))
        except ValueError:
            raise BadRequest(f"{name!r} is a day such as `2026-12-31`", param=name) from None
    start, end = found
    if not start <= end <= start + timedelta(days=MOST_DAYS) or start.year < 1970 or end.year > 9998:
        raise BadRequest(f"a range has at most {MOST_DAYS} days, and ends after it begins", param="end_date")
    return start, end + timedelta(days=1)
