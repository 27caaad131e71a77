"""Copies of calls beside the calls that they are of, summed up: how often both say the same, cost and latency."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Final, cast

import msgspec
from msgspec import Meta
from sqlalchemy import Connection, select

from portico.config.meaning import SHADOW
from portico.control.admin import Look
from portico.control.observed import seconds_of
from portico.control.problems import Unprocessable
from portico.control.routing import Answer, Asked
from portico.errors import Forbidden
from portico.record import Record, Side
from portico.store import calls
from portico.store.entities import rows
from portico.store.entities.things import Moment
from portico.store.tables import events

LEFT_OUT: Final = "shadow.left_out"
DAYS: Final = 7
MOST: Final = 50_000
"""Copies that one report reads at most, the newest."""
PAGE: Final = 1000


class ShadowsAsked(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which copies are summed up: those of calls of a model, of a stretch of time (by default the last week)."""

    model: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    since: Moment | None = None
    until: Moment | None = None


class Answers(msgspec.Struct, kw_only=True, frozen=True):
    """What one of the two sides came to, over the copies that were served; medians and 95th percentiles in µs."""

    cost_nano_usd: int = 0
    unpriced: int = 0
    characters: int = 0
    first_byte_us: int | None = None
    first_byte_us_p95: int | None = None
    total_us: int | None = None
    total_us_p95: int | None = None


class Comparison(msgspec.Struct, kw_only=True, frozen=True):
    """The calls of one model at one target, beside their copies at another.

    `same_finish` and `same_calls` count the pairs that ended for the same reason, and that call the same tools with
    the same arguments, out of the `compared`: those of which both answers could be read. `failed` are copies that
    were not answered, by their errors.
    """

    model: str
    target: str
    shadow: str
    copies: int
    served: int
    failed: dict[str, int]
    compared: int
    same_finish: int
    same_calls: int
    caller: Answers
    copy: Answers


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """All comparisons of a stretch of time; `left_out` says how many copies were not made, by model and reason.

    `since` is later than was asked for where there were more copies than one report reads.
    """

    since: Moment
    until: Moment
    items: list[Comparison]
    left_out: dict[str, dict[str, int]]


def report(look: Look, asked: Asked) -> Answer:
    """Sum up copies."""
    if look.actor.level != "all":
        raise Forbidden("copies of calls are of the whole installation")
    query = cast("ShadowsAsked", asked.query)
    until = query.until or rows.time(look.admin.now_ms())
    since = query.since or (until - timedelta(days=DAYS) if until.year > 1970 else until)
    start, end = seconds_of(since, "since") * 1000, seconds_of(until, "until") * 1000 + 999
    if start > end:
        raise Unprocessable("`since` is after `until`", param="since")
    found = [
        record
        for record in recent(look.db, start, end)
        if record.compared is not None and query.model in (None, record.compared.model)
    ]
    if len(found) >= MOST:
        since = rows.time(found[-1].time_ms)
    return Answer(
        Report(since=since, until=until, items=summed(found), left_out=left_out(look.db, start, end, query.model))
    )


def recent(db: Connection, start_ms: int, end_ms: int) -> Iterator[Record]:
    """Yield the records of copies of a stretch of time, newest first, as many as a report reads."""
    asked = calls.Filter(key=SHADOW, since_ms=start_ms, until_ms=end_ms)
    before, count = None, 0
    while count < MOST:
        page = calls.page(db, asked, before, PAGE)
        for found in page.calls:
            count += 1
            yield found.record
        before = page.next
        if before is None:
            return


def summed(records: Iterable[Record]) -> list[Comparison]:
    """Return what copies come to, by model and the two targets."""
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        assert record.compared is not None
        to = record.target or record.model or ""
        groups[record.compared.model, record.compared.caller.target, to].append(record)
    return [_comparison(*names, group) for names, group in sorted(groups.items())]


def left_out(db: Connection, start_ms: int, end_ms: int, model: str | None) -> dict[str, dict[str, int]]:
    """Return how many copies were not made, by model and reason, as workers have noted it."""
    chosen = select(events.c.about).where(events.c.name == LEFT_OUT, events.c.time_ms.between(start_ms, end_ms))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text in db.execute(chosen).scalars():
        about: Mapping[str, object] = json.loads(text)
        name = str(about["model"])
        if model in (None, name):
            counts[name].update({why: count for why, count in about.items() if isinstance(count, int)})
    return {name: dict(each) for name, each in sorted(counts.items())}


def _comparison(model: str, target: str, shadow: str, group: list[Record]) -> Comparison:
    served = [each for each in group if each.end == "served"]
    told = [each.compared for each in served if each.compared is not None]
    known = [each for each in told if each.same_finish is not None]
    return Comparison(
        model=model,
        target=target,
        shadow=shadow,
        copies=len(group),
        served=len(served),
        failed=dict(Counter(each.error or each.end for each in group if each.end != "served")),
        compared=len(known),
        same_finish=sum(each.same_finish is True for each in known),
        same_calls=sum(each.same_calls is True for each in known),
        caller=_answers([each.caller for each in told]),
        copy=_answers([each.shadow for each in told if each.shadow is not None]),
    )


def _answers(sides: list[Side]) -> Answers:
    firsts = sorted(side.first_byte_us for side in sides if side.first_byte_us is not None)
    totals = sorted(side.total_us for side in sides)
    return Answers(
        cost_nano_usd=sum(side.cost_nano_usd or 0 for side in sides),
        unpriced=sum(side.cost_nano_usd is None for side in sides),
        characters=sum(side.characters or 0 for side in sides),
        first_byte_us=_at(firsts, 0.5),
        first_byte_us_p95=_at(firsts, 0.95),
        total_us=_at(totals, 0.5),
        total_us_p95=_at(totals, 0.95),
    )


def _at(ordered: list[int], share: float) -> int | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
