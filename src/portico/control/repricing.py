"""Correcting what calls cost: a price that was wrong is put right, and the calls of a range of time are priced anew.

It runs in a thread once the wish is in the audit; one that a restart cut off goes on with the next start of the API.
"""

import functools
import logging
from collections.abc import Callable
from typing import Annotated, Final, cast

import msgspec
from msgspec import Meta
from sqlalchemy import select

from portico.control.admin import Admin, Change, Look
from portico.control.observed import Name, seconds_of
from portico.control.problems import Unprocessable
from portico.control.routing import Answer, Asked
from portico.control.tariff import Tariff
from portico.errors import Forbidden
from portico.providers.prices import Charge, charge, charge_training, sized
from portico.record import Record
from portico.store import reprice
from portico.store.entities import rows
from portico.store.entities.things import Moment
from portico.store.tables import repricings
from portico.types import Usage

TUNING: Final = "fine_tuning_job"
"""The operation of jobs that are paid for by the tokens that a model was tuned on (`jobs.record_of`)."""

_log = logging.getLogger("portico.control")

PriceOf = Callable[[Record], reprice.Repriced | None]


class Correction(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which calls are priced anew, and why: those of a range of time, of one target (`provider/model`) or all."""

    since: Moment
    until: Moment | None = None
    target: Name | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class Begun(msgspec.Struct, kw_only=True, frozen=True):
    """A correction was written down, and begins."""

    since: Moment
    until: Moment
    target: str | None
    reason: str


class Corrected(msgspec.Struct, kw_only=True, frozen=True):
    """A correction and what it did so far: calls looked at and changed, and by how much all of them together."""

    id: int
    at: Moment
    actor: str
    reason: str
    since: Moment
    until: Moment
    target: str | None
    seen: int
    changed: int
    difference_nano_usd: int
    finished: bool


class Corrections(msgspec.Struct, kw_only=True, frozen=True):
    """Corrections, newest first."""

    items: list[Corrected]


def correct(change: Change, asked: Asked) -> Answer:
    """Write down a wish for a correction, and begin it once that is committed."""
    _everywhere(change)
    said = cast("Correction", asked.body)
    until = said.until or rows.time(change.at_ms)
    from_ms, to_ms = seconds_of(said.since, "since") * 1000, seconds_of(until, "until") * 1000
    if from_ms > to_ms:
        raise Unprocessable("`since` is after `until`", param="since")
    begun = Begun(since=said.since, until=until, target=said.target, reason=said.reason)
    change.note("correct", "price", said.target or "*", None, begun)
    begin = functools.partial(
        reprice.begin,
        change.admin.engine,
        actor=change.actor.id,
        reason=said.reason,
        from_ms=from_ms,
        to_ms=to_ms,
        now_ms=change.at_ms,
        target=said.target,
    )
    change.after.append(lambda: _run(change.admin, begin()))
    return Answer(begun)


def list_corrections(look: Look, _asked: Asked) -> Answer:
    """List corrections."""
    _everywhere(look)
    found = look.db.execute(select(repricings).order_by(repricings.c.id.desc()).limit(100))
    items = [
        Corrected(
            id=row.id,
            at=rows.time(row.time_ms),
            actor=row.actor,
            reason=row.reason,
            since=rows.time(row.from_ms),
            until=rows.time(row.to_ms),
            target=row.target,
            seen=row.seen,
            changed=row.changed,
            difference_nano_usd=row.difference_nano_usd,
            finished=row.finished,
        )
        for row in found
    ]
    return Answer(Corrections(items=items))


def go_on(admin: Admin) -> None:
    """Carry out the rest of corrections that were cut off. Blocks: for a thread."""
    with admin.reading() as db:
        open_ = list(db.execute(select(repricings.c.id).where(repricings.c.finished.is_(False))).scalars())
    for id_ in open_:
        _run(admin, id_)


def prices_of(admin: Admin) -> PriceOf:
    """Return what a call costs by the prices of now: the store's by their dates, the configuration's, the shipped."""
    with admin.reading() as db:
        tariff = Tariff(admin.config, db)

    def charged(target: str, usage: Usage, at: float) -> Charge:
        provider, _, model = target.partition("/")
        return charge(tariff.at(provider, model, at), usage, at)

    def told(record: Record) -> reprice.Repriced | None:
        if record.target is None or record.usage is None:
            return None
        at = record.time_ms / 1000
        if record.job is not None:
            provider, _, model = record.target.partition("/")
            found = tariff.at(provider, model, at)
            if not model or (found is not None and sized(found)):
                return None  # its requests were priced by the model or the size of each, which nobody knows any more
            if record.operation == TUNING:
                return _once(charge_training(found, record.usage.total, at))
            return _once(charge(found, record.usage, at))
        parts = [(each.target, each.usage) for each in record.attempts if each.usage is not None]
        if not parts:
            return _once(charged(record.target, record.usage, at))
        each = [charged(target, usage, at) for target, usage in parts]
        costs = [one.cost for one in each]
        whole = sum(cost for cost in costs if cost is not None)
        if None in costs:
            return reprice.Repriced(None, "unpriced", each[-1].row, tuple(costs))
        return reprice.Repriced(whole, each[-1].pricing, each[-1].row, tuple(costs))

    def price(record: Record) -> reprice.Repriced | None:
        found = told(record)
        if found is not None and found.cost is None and record.cost_nano_usd is not None:
            return None  # that nobody knows a price any more is no correction of what a call has cost
        return found

    return price


def _once(charged: Charge) -> reprice.Repriced:
    return reprice.Repriced(charged.cost, charged.pricing, charged.row)


def _run(admin: Admin, id_: int) -> None:
    try:
        done = reprice.run(admin.engine, id_, prices_of(admin))
    except Exception:
        _log.exception("the correction %d of prices was cut off; it goes on with the next start", id_)
        return
    _log.info("the correction %d of prices changed %d calls", id_, done.changed)


def _everywhere(look: Look) -> None:
    if look.actor.level != "all":
        raise Forbidden("prices are of the whole installation")
