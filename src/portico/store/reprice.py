"""Correcting a wrong price after the fact: the cost of calls from a date on, the sums with it, and a note of it all.

It goes in small transactions, each of which says how far it is: one that was cut off goes on where it stopped.
"""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from portico.journal.entries import decode_record, encode
from portico.record import MILLION, AttemptRecord, Pricing, Record
from portico.store.dimensions import Names, number_of
from portico.store.engine import writing
from portico.store.ingest import add, combination_of
from portico.store.rows import facts, first_seq
from portico.store.sums import Sums
from portico.store.tables import calls, repricings

CHUNK = 1_000


class Repriced(msgspec.Struct, frozen=True):
    """What a call costs after all, in nano-dollars, who says so, and by which price.

    `parts` is what each of its tries costs that said a part of the answer, in their order.
    """

    cost: int | None
    pricing: Pricing
    price: str | None = None
    parts: tuple[int | None, ...] = ()


PriceOf = Callable[[Record], Repriced | None]
"""From a call to what it costs; None leaves it as it is."""


class Repricing(msgspec.Struct, frozen=True):
    """A correction, and what it did: calls looked at, calls changed, and by how much all of them together."""

    id: int
    actor: str
    reason: str
    from_ms: int
    to_ms: int
    target: str | None
    seen: int
    changed: int
    difference_nano_usd: int
    finished: bool


def begin(
    engine: Engine, *, actor: str, reason: str, from_ms: int, to_ms: int, now_ms: int, target: str | None = None
) -> int:
    """Note down a correction of the calls from `from_ms` to before `to_ms`, of one target or all; return its id."""
    with writing(engine).begin() as connection:
        made = connection.execute(
            insert(repricings).values(
                time_ms=now_ms,
                actor=actor,
                reason=reason,
                from_ms=from_ms,
                to_ms=to_ms,
                target=target,
                done_to=first_seq(from_ms) - 1,
                seen=0,
                changed=0,
                difference_nano_usd=0,
                finished=False,
            )
        )
        assert made.inserted_primary_key is not None
        id_: int = made.inserted_primary_key[0]
        return id_


def run(engine: Engine, id_: int, price: PriceOf) -> Repricing:
    """Carry out a correction, or the rest of it; return what it did. Repeating it changes nothing more.

    What a provider said that a call cost stands, as does what was assumed of a call whose worker died.
    """
    names = Names()
    while True:
        with writing(engine).begin() as connection:
            done = _step(connection, names, id_, price)
        if done:
            break
    return find(engine, id_)


def find(engine: Engine, id_: int) -> Repricing:
    """Return a correction. Raises NoResultFound."""
    with engine.connect() as connection:
        row = connection.execute(select(repricings).where(repricings.c.id == id_)).one()
    return Repricing(
        row.id,
        row.actor,
        row.reason,
        row.from_ms,
        row.to_ms,
        row.target,
        row.seen,
        row.changed,
        row.difference_nano_usd,
        row.finished,
    )


def _step(connection: Connection, names: Names, id_: int, price: PriceOf) -> bool:
    """Correct one chunk; return whether it was the last."""
    job = connection.execute(select(repricings).where(repricings.c.id == id_).with_for_update()).one()
    if job.finished:
        return True
    wanted = (calls.c.seq > job.done_to) & (calls.c.seq < first_seq(job.to_ms))
    if job.target is not None:
        wanted &= calls.c.target == number_of(connection, "target", job.target)
    rows = connection.execute(
        select(calls.c.seq, calls.c.record).where(wanted).order_by(calls.c.seq).limit(CHUNK).with_for_update()
    ).all()
    sums = Sums()
    changes = []
    difference = 0
    for seq, encoded in rows:
        old = decode_record(encoded)
        found = price(old) if _open(old) else None
        if found is None or (found.cost, found.pricing, found.price) == (old.cost_nano_usd, old.pricing, old.price):
            continue
        new = msgspec.structs.replace(
            old, pricing=found.pricing, price=found.price, attempts=_corrected(old.attempts, found.parts)
        )
        new.costing(found.cost, MILLION if old.markup is None else old.markup)
        before, after = facts(old), facts(new)
        combination = combination_of(connection, names, before)
        sums.add(combination, after.whole - before.whole, after.parts - before.parts)
        difference += (found.cost or 0) - (old.cost_nano_usd or 0)
        changes.append({"at": seq, "cost": found.cost, "by": found.pricing, "whole": encode(new)})
    if changes:
        connection.execute(
            update(calls)
            .where(calls.c.seq == bindparam("at"))
            .values(cost_nano_usd=bindparam("cost"), pricing=bindparam("by"), record=bindparam("whole")),
            changes,
        )
        add(connection, sums)
    last = len(rows) < CHUNK
    connection.execute(
        update(repricings)
        .where(repricings.c.id == id_)
        .values(
            done_to=rows[-1].seq if rows else job.done_to,
            seen=repricings.c.seen + len(rows),
            changed=repricings.c.changed + len(changes),
            difference_nano_usd=repricings.c.difference_nano_usd + difference,
            finished=last,
        )
    )
    return last


def _corrected(attempts: list[AttemptRecord], parts: Sequence[int | None]) -> list[AttemptRecord]:
    """Return tries with what each of those costs that said a part of an answer."""
    if not parts:
        return attempts
    costs = iter(parts)
    return [
        each if each.usage is None else msgspec.structs.replace(each, cost_nano_usd=next(costs)) for each in attempts
    ]


def _open(record: Record) -> bool:
    return record.usage is not None and record.pricing != "provider" and record.basis not in ("assumed", "none")
