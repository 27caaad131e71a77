"""What a dead worker left behind: its calls under way are charged and recorded, once, before anybody forgets it.

Its permits are settled at their bounds in one step, and what its segments say of these calls then replaces that. A call
without a record gets one here. Whoever dies on the way is found in turn: the owner's file goes last.
"""

import logging
from pathlib import Path

import msgspec

from portico.journal.journal import Journal
from portico.journal.reader import records_of
from portico.journal.segments import discard_reserve
from portico.record import Record
from portico.state.contract import Moment, Orphan, Permit, Used
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner, dead_owners

log = logging.getLogger("portico.recover")

_Told = tuple[
    int, str, str | None, str | None, bool, str, str | None, str | None, str | None, str | None, tuple[str, ...]
]
"""What `stages.admit` keeps with a permit."""

_told = msgspec.msgpack.Decoder(_Told)


def recover(state: LmdbState, journal: Journal, owners: Path, journals: str, at: Moment) -> int:
    """Settle and record what the calls of dead owners came to; return how many had no record."""
    missing = 0
    for owner in dead_owners(owners):
        try:
            missing += _recover_one(owner, state, journal, journals, at)
        except BaseException:
            owner.close()  # the next to start finds it again
            raise
    return missing


def _recover_one(owner: Owner, state: LmdbState, journal: Journal, journals: str, at: Moment) -> int:
    orphans = {orphan.call_id: orphan for orphan in state.expire(owner.id, at)}
    recorded = records_of(journals, owner.id, orphans)
    for call_id, record in recorded.items():
        state.settle(Permit(call_id, (), orphans[call_id].bound), used_by(record), at)
    lost = [orphan for call_id, orphan in orphans.items() if call_id not in recorded]
    for orphan in lost:
        journal.append(aborted(orphan))
    state.flush()
    if not journal.flush():
        raise OSError("the journal has no room for the calls of a worker that died")
    discard_reserve(journals, owner.id)
    owner.bury()
    if lost:
        log.warning("a worker died with %d calls under way; they are charged at the most that they can cost", len(lost))
    return len(lost)


def aborted(orphan: Orphan) -> Record:
    """Return the record of a call that died with its worker."""
    arrived, operation, model, alias, stream, key, team, org, user, customer, tags = _told.decode(orphan.about)
    cost = orphan.bound.cost
    return Record(
        orphan.call_id,
        arrived,
        key,
        operation,
        model,
        None,
        500,
        stream,
        [],
        None,
        cost,
        "assumed" if cost is not None else "unknown",
        None,
        0,
        0,
        error="aborted",
        user=user,
        end="aborted",
        team=team,
        org=org,
        customer=customer,
        tags=tags,
        alias=alias,
        bound_nano_usd=cost,
        pricing="table" if cost is not None else None,
    )


def used_by(record: Record) -> Used:
    """Return what a recorded call is charged, as `stages.settle` had it."""
    assumed = sum(attempt.assumed_nano_usd or 0 for attempt in record.attempts)
    usage = record.usage
    if usage is None:
        unknown = record.bound_nano_usd or 0 if record.basis == "unknown" else 0
        return Used(0, 0, unknown + assumed, 1 if record.attempts else 0)
    cost = record.cost_nano_usd if record.cost_nano_usd is not None else (record.bound_nano_usd or 0)
    return Used(usage.input_total, usage.output_total, cost + assumed)
