"""What happened: calls as they were recorded, and what they sum up to; each actor sees those within its reach."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from portico.control.actors import Actor
from portico.control.admin import Look
from portico.control.problems import Unprocessable
from portico.control.replies import Cursor, Limit
from portico.control.routing import Answer, Asked
from portico.control.usage import Bounds, bounds_of
from portico.errors import Forbidden, NotFound
from portico.record import Record
from portico.rules import Holder
from portico.store import calls, rollups
from portico.store.dimensions import Dimension
from portico.store.entities import rows
from portico.store.entities.things import Key, Moment
from portico.store.sums import DAY, HOUR, MINUTE, MONTH, after, begin_of
from portico.store.tables import TOKENS
from portico.types import NANO

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Grain = Literal["minute", "hour", "day", "month"]

GRAINS: Final = {"minute": MINUTE, "hour": HOUR, "day": DAY, "month": MONTH}
MOST_POINTS: Final = 2000
DAYS: Final = 30
MEASURES: Final = ("requests", "errors", "cost_nano_usd", "billed_nano_usd", "unpriced", *TOKENS)


class Chosen(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """By what calls, and the jobs that they started, are chosen alike: a page of those that match all that is given."""

    limit: Limit = 50
    after: Cursor = ""
    org: Name | None = None
    team: Name | None = None
    user: Name | None = None
    key: Name | None = None
    customer: Name | None = None
    model: Name | None = None
    provider: Name | None = None
    session: Name | None = None


class Calls(Chosen, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which calls are asked for, newest first."""

    target: Name | None = None
    operation: Name | None = None
    arm: Name | None = None
    tag: Name | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    status_class: Annotated[int, Meta(ge=1, le=5)] | None = None
    end: Literal["served", "refused", "failed", "cut", "aborted"] | None = None
    error: Name | None = None
    least_usd: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    least_us: Count | None = None
    since: Moment | None = None
    until: Moment | None = None


class CallsPage(msgspec.Struct, kw_only=True, frozen=True):
    """A page of calls. It may be short, or empty, and still have a `next`: that is how far was looked."""

    items: list[Record]
    next: str | None = None


class Sums(msgspec.Struct, kw_only=True, frozen=True):
    """What calls sum up to. Calls whose cost nobody knows are in `unpriced`, and cost nothing here.

    `cost` is what providers take, and what budgets count; `billed` is that with the markup of each call.
    """

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0
    cost_usd: float = 0.0
    billed_nano_usd: int = 0
    billed_usd: float = 0.0
    unpriced: int = 0


class Share(Sums, kw_only=True, frozen=True):
    """What the calls of one value sum up to."""

    value: str


class Point(Sums, kw_only=True, frozen=True):
    """What the calls of one bucket of time sum up to."""

    start: Moment


class SpendAsked(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which sums are asked for: of calls with a `value` of a dimension (`of`), by another (`by`), over time (`per`)."""

    since: Moment | None = None
    until: Moment | None = None
    of: Dimension | None = None
    value: Name | None = None
    by: Dimension | None = None
    per: Grain | None = None
    limit: Limit = 100


class Spend(msgspec.Struct, kw_only=True, frozen=True):
    """Sums over a range of time, which is widened to whole minutes; whole hours or days where it is broken down.

    Sums by the minute are kept for three days and those by the hour for a hundred: of older ones, the ends of the range
    are those of the nearest hour or day. Months are those of the calendar, in UTC.
    """

    since: Moment
    until: Moment
    total: Sums
    by: list[Share] = []
    per: list[Point] = []


class Explained(msgspec.Struct, kw_only=True, frozen=True):
    """Why a call went as it did: what was said of it, who held the key, and the rules that apply to that key now."""

    record: Record
    refused: bool
    why: str
    holder: Holder | None = None
    bounds: list[Bounds] = []


def list_calls(look: Look, asked: Asked) -> Answer:
    """List calls."""
    query = asked.query
    assert isinstance(query, Calls)
    wanted = {name: value for name in _SAME if (value := getattr(query, name)) is not None}
    for name, value in own(look.actor).items():
        if wanted.get(name, value) != value:
            return Answer(CallsPage(items=[]))
        wanted[name] = value
    if query.after and not (query.after.isdecimal() and query.after.isascii() and len(query.after) < 20):
        raise Unprocessable("`after` is the `next` of another page", param="after")
    found = calls.page(
        look.db,
        calls.Filter(
            **wanted,
            least_cost=None if query.least_usd is None else round(query.least_usd * NANO),
            since_ms=_ms(query.since, "since"),
            until_ms=_ms(query.until, "until"),
        ),
        min(int(query.after), calls.LAST) if query.after else None,
        query.limit,
    )
    items = [one.record for one in found.calls]
    return Answer(CallsPage(items=items, next=None if found.next is None else str(found.next)))


def read_call(look: Look, asked: Asked) -> Answer:
    """Read one call."""
    return Answer(_call(look, asked.path["id"]))


def explain(look: Look, asked: Asked) -> Answer:
    """Say why a call was refused, or what became of it."""
    record = _call(look, asked.path["id"])
    key = None if record.key is None else look.admin.find_any(look.db, "key", record.key)
    refused = record.end == "refused"
    why = record.message or record.error or ("it was refused" if refused else "it was not refused")
    if not isinstance(key, Key):
        return Answer(Explained(record=record, refused=refused, why=why))
    holder = look.admin.holder(look.db, key)
    return Answer(Explained(record=record, refused=refused, why=why, holder=holder, bounds=bounds_of(look, "key", key)))


def spend(look: Look, asked: Asked) -> Answer:
    """Sum up what calls used and cost."""
    query = asked.query
    assert isinstance(query, SpendAsked)
    until = query.until or rows.time(look.admin.now_ms())
    since = query.since or (until - timedelta(days=DAYS) if until.year > 1970 else until)
    start, end = seconds_of(since, "since"), seconds_of(until, "until")
    if start > end:
        raise Unprocessable("`since` is after `until`", param="since")
    of, value = _scope(look.actor, query)
    total = _sums(rollups.total(look.db, start, end, of, value, MEASURES))
    shares = _shares(look, query, of, value, start, end) if query.by is not None else []
    points = _points(look, query.per, of, value, start, end) if query.per is not None else []
    return Answer(Spend(since=since, until=until, total=Sums(**total), by=shares, per=points))


_SAME: Final = (
    "org", "team", "user", "key", "customer", "model", "target", "provider", "operation", "arm", "tag", "session",
    "status", "status_class", "end", "error", "least_us",
)  # fmt: skip


def _call(look: Look, id: str) -> Record:  # noqa: A002  # the word of every API
    found = calls.find(look.db, id)
    if found is None or any(getattr(found.record, name) != value for name, value in own(look.actor).items()):
        raise NotFound(f"there is no record of a call {id!r}")
    return found.record


def own(actor: Actor) -> dict[Dimension, str]:
    """Return what the calls have in common that an actor may see."""
    match actor.level:
        case "all":
            return {}
        case "org":
            return {"org": actor.org or ""}
        case "team":
            return {"team": actor.team or ""}
        case "user":
            return {"user": actor.user or ""} if actor.team is None else {"user": actor.user or "", "team": actor.team}
        case "key":
            return {"key": actor.id}


def _scope(actor: Actor, query: SpendAsked) -> tuple[Dimension | None, str | None]:
    """Return whose calls are summed up: who does not reach all must ask for what it reaches, and gets that unasked."""
    if (query.of is None) != (query.value is None):
        raise Unprocessable("`of` names a dimension and `value` one of its values: give both", param="of")
    if actor.level == "all":
        return query.of, query.value
    mine: tuple[Dimension, str] = (actor.level, getattr(actor, actor.level) or "")
    if query.of is not None and (query.of, query.value) != mine:
        raise Forbidden(f"you may sum up the calls of the {mine[0]} {mine[1]!r}")
    return mine


def _shares(
    look: Look, query: SpendAsked, of: Dimension | None, value: str | None, start: int, end: int
) -> list[Share]:
    assert query.by is not None
    if of is None or value is None:
        found = rollups.by(look.db, query.by, start, end, MEASURES, limit=query.limit)
    else:
        try:
            found = rollups.broken_down(look.db, of, value, query.by, start, end, limit=query.limit)
        except KeyError:
            raise Unprocessable(f"calls of one {of} are not summed up by {query.by}", param="by") from None
    return [Share(value=share.value, **_sums(share.amounts)) for share in found]


def _points(look: Look, per: Grain, of: Dimension | None, value: str | None, start: int, end: int) -> list[Point]:
    grain = GRAINS[per]
    if (end - start) // grain > MOST_POINTS:
        raise Unprocessable(f"that is more than {MOST_POINTS} of a {per}; ask for a shorter time", param="per")
    span = rollups.Span(grain, begin_of(grain, start), after(grain, end))
    found = rollups.series(look.db, span, of, value, MEASURES)
    return [Point(start=datetime.fromtimestamp(point.start, UTC), **_sums(point.amounts)) for point in found]


def _sums(amounts: rollups.Amounts) -> dict[str, Any]:
    have = amounts.get
    return {
        "requests": have("requests", 0),
        "errors": have("errors", 0),
        "input_tokens": have("input_tokens", sum(have(name, 0) for name in TOKENS[:6])),
        "output_tokens": have("output_tokens", sum(have(name, 0) for name in TOKENS[6:])),
        "cost_nano_usd": have("cost_nano_usd", 0),
        "cost_usd": have("cost_nano_usd", 0) / NANO,
        "billed_nano_usd": have("billed_nano_usd", 0),
        "billed_usd": have("billed_nano_usd", 0) / NANO,
        "unpriced": have("unpriced", 0),
    }


def seconds_of(when: datetime, name: str) -> int:
    """Return a time in seconds since the epoch. Raises Unprocessable for one that is out of all reason."""
    seconds = int(when.timestamp()) if 1970 <= when.year < 2200 else -1
    if seconds < 0:
        raise Unprocessable("expected a time from 1970 to 2199", param=name)
    return seconds


def _ms(when: datetime | None, name: str) -> int | None:
    return None if when is None else seconds_of(when, name) * 1000
