"""What a dead worker left behind: its calls under way are charged and recorded, once, before anybody forgets it.

Its permits are settled at their bounds in one step, and what its segments say of these calls then replaces that. A call
without a record gets one here, in a segment of the dead owner: who holds its lock is its only writer. So whoever dies
on the way leaves all that is known of a call in one place, and the next one writes nothing twice. A call that had
started a job leaves it what it has reserved: the job is paid for when it ends. The owner's file goes last.
"""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import msgspec

from portico import jobs, shares
from portico.errors import StateUnavailable
from portico.journal.journal import Journal
from portico.journal.reader import records_of
from portico.journal.segments import discard_reserve
from portico.record import COPY, MILLION, Record
from portico.rules import Bound
from portico.state.contract import Moment, Orphan, Permit, Used
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner, dead_owners

log = logging.getLogger("portico.recover")

_Told = tuple[
    int, str, str | None, str | None, bool, str, str | None, str | None, str | None, str | None, tuple[str, ...]
]
"""What `stages.admit` keeps with a permit."""

_Marked = tuple[
    int, str, str | None, str | None, bool, str, str | None, str | None, str | None, str | None, tuple[str, ...], int
]
"""The same of a call that is billed on at another amount than its cost: its markup is the last."""
_MARKED_LENGTH = b"\x9c"  # what an array of twelve begins with

_told = msgspec.msgpack.Decoder(_Told)
_marked = msgspec.msgpack.Decoder(_Marked)


def recover(state: LmdbState, owners: Path, journals: str, at: Moment) -> bool:
    """Settle and record what the calls of dead owners came to; return whether that is done for all of them.

    Where it cannot be done now (the disk is full), their calls are charged at what they had reserved, and it is to be
    tried again.
    """
    whole = True
    with ExitStack() as found:
        gone = dead_owners(owners)
        for owner in gone:
            found.callback(owner.close)  # one that is not buried is found again
        for owner in gone:
            try:
                _recover_one(owner, state, journals, at)
            except Exception as error:  # whatever it is, it must keep nobody from serving
                log.error("the calls of a worker that died cannot be recorded yet: %s: %s", type(error).__name__, error)
                whole = False
    return whole


def _recover_one(owner: Owner, state: LmdbState, journals: str, at: Moment) -> None:
    orphans = {orphan.call_id: orphan for orphan in state.expire(owner.id, at)}
    recorded = records_of(journals, owner.id, orphans)
    going_on = set()
    if orphans:
        started = {jobs.read(thing).call_id for thing in state.owned_by("", "job", "", jobs.MOST)}
        going_on = {
            call_id
            for call_id in started & orphans.keys()
            if call_id not in recorded or recorded[call_id].basis == "none"
        }
    for call_id, record in recorded.items():
        if (
            record.end != "aborted" and call_id not in going_on
        ):  # else it stands at what was assumed, and so do the books
            state.settle(Permit(call_id, (), orphans[call_id].bound), used_by(record, orphans[call_id].bound), at)
    state.flush()
    if state.waiting:
        raise StateUnavailable("what is known of them could not be booked")
    lost = [orphan for call_id, orphan in orphans.items() if call_id not in recorded]
    if lost:
        journal = Journal(journals, owner.id)
        for orphan in lost:
            journal.append(aborted(orphan, goes_on=orphan.call_id in going_on))
        if not journal.close():
            raise OSError("the journal has no room for them")
    for call_id in going_on:
        state.adopt(call_id, call_id, at)
    discard_reserve(journals, owner.id)
    state.forget(owner.id)
    owner.bury()
    if lost:
        log.warning("a worker died with %d calls under way; they are charged at the most that they can cost", len(lost))


def aborted(orphan: Orphan, *, goes_on: bool = False) -> Record:
    """Return the record of a call that died with its worker. One that goes on as a job costs nothing itself."""
    markup = MILLION
    if orphan.about[:1] == _MARKED_LENGTH:
        *told, markup = _marked.decode(orphan.about)
    else:
        told = list(_told.decode(orphan.about))
    arrived, operation, model, alias, stream, key, team, org, user, customer, tags = cast("_Told", tuple(told))
    cost = None if goes_on else orphan.reserved
    record = Record(
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
        "none" if goes_on else "assumed" if cost is not None else "unknown",
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
    if orphan.call_id.endswith(COPY):
        record.shadow_of = orphan.call_id.removesuffix(COPY)
    record.costing(cost, markup)
    return record


def used_by(record: Record, bound: Bound) -> Used:
    """Return what a recorded call is charged, as `stages.settle` had it. `bound` is that of one attempt."""
    return shares.used_by(record.attempts, record.target, record.usage, record.cost_nano_usd, record.basis, bound)
