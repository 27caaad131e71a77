"""Entries of the journal into the store, exactly once: the offsets move in the transaction that writes the rows.

Rows are unique by call id. A record of what was assumed gives way to the true one when that comes, at any time later,
and the sums are corrected by the difference.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from portico.journal.entries import Entry, Kind, decode_event, decode_record
from portico.record import Record
from portico.store import bulk
from portico.store.dimensions import Name, Names
from portico.store.rows import COLUMNS, Facts, facts, row, seq_of, supersedes
from portico.store.sums import Combination, Sums
from portico.store.tables import MEASURES, PARTS, breakdowns, call_tags, calls, events, rollups, segments

ROLLUP_COLUMNS = ("grain", "dimension", "bucket", "value", *MEASURES)
BREAKDOWN_COLUMNS = ("grain", "scope", "dimension", "bucket", "value", *PARTS)
CHUNK = 500
"""Values in one `IN`."""
PART = 1000
"""Records that are made rows at once: each takes some four kilobytes until it is one."""


class Moved(Exception):
    """Somebody else has read on in this segment: begin again from where the store says."""


@dataclass
class Piece:
    """What was read of one segment: the entries from `begin` to `end`.

    `whole` says that the segment ends there for good. `damaged` and `lost` are of this piece alone.
    """

    name: str
    owner: str
    begin: int
    end: int
    entries: Sequence[Entry] = ()
    whole: bool = False
    damaged: int = 0
    lost: int = 0


@dataclass
class Counts:
    """What became of entries."""

    calls: int = 0
    replaced: int = 0
    repeated: int = 0
    events: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class _Incoming:
    """A record that is to become a row."""

    told: Facts
    segment: int
    entry: Entry
    seq: int = 0
    single: tuple[int, ...] = ()
    tags: tuple[int, ...] = ()

    @property
    def record(self) -> Record:
        return self.told.record

    @property
    def combination(self) -> Combination:
        return self.told.minute, self.single, self.tags


@dataclass(slots=True)
class _Segment:
    """How far the store says that a segment is read."""

    id: int
    bodies: int = 0
    last_ms: int = 0
    unreadable: int = 0
    unread: int = field(default=0)


def apply(connection: Connection, names: Names, pieces: Iterable[Piece]) -> Counts:
    """Put what was read into the store, in the transaction that the caller has begun, and return what became of it.

    After the commit say so to `names`. Raises Moved, and what the database raises: then nothing is done.
    """
    counts = Counts()
    sums = Sums()
    incoming: dict[str, _Incoming] = {}
    noted: list[dict[str, Any]] = []
    for piece in pieces:
        segment = _claim(connection, piece)
        for entry in piece.entries:
            try:
                if entry.kind == Kind.RECORD:
                    _take(incoming, _Incoming(facts(decode_record(entry.payload)), segment.id, entry), segment, counts)
                elif entry.kind == Kind.EVENT:
                    event = decode_event(entry.payload)
                    about = json.dumps(event.about, ensure_ascii=True)
                    noted.append({"time_ms": event.time_ms, "name": event.name, "about": about})
            except msgspec.MsgspecError:
                # its checksum was right: a newer Portico wrote it, or a wrong one
                segment.unreadable += 1
                segment.unread += entry.end - entry.start
            if len(incoming) >= PART:  # what fails here is no fault of this entry
                _put(connection, names, incoming, sums, counts)
        counts.unreadable += segment.unreadable
        _release(connection, piece, segment)
    if incoming:
        _put(connection, names, incoming, sums, counts)
    add(connection, sums)
    if noted:
        connection.execute(insert(events), noted)
        counts.events = len(noted)
    return counts


def _put(connection: Connection, names: Names, incoming: dict[str, _Incoming], sums: Sums, counts: Counts) -> None:
    """Make rows of records, and let go of them."""
    taken = list(incoming.values())
    incoming.clear()
    _number(connection, names, taken)
    _write(connection, names, taken, sums, counts)


def add(connection: Connection, sums: Sums) -> None:
    """Add to the sums in the store."""
    bulk.add(connection, rollups, ROLLUP_COLUMNS, sums.rollups())
    bulk.add(connection, breakdowns, BREAKDOWN_COLUMNS, sums.breakdowns())


def combination_of(connection: Connection, names: Names, told: Facts) -> Combination:
    """Return what a call is summed up under."""
    known = names.number(connection, _wanted([told]))
    return told.minute, _numbers(known, told.single), _numbers(known, told.tags)


def _claim(connection: Connection, piece: Piece) -> _Segment:
    """Find a segment in the store, or begin it there. No two transactions hold one at a time."""
    wanted = select(segments.c.id, segments.c.done_to).where(segments.c.name == piece.name).with_for_update()
    found = connection.execute(wanted).one_or_none()
    if found is None:
        row_ = dict.fromkeys(("done_to", "bodies", "last_ms", "damaged", "lost"), 0)
        bulk.insert_missing(
            connection,
            segments,
            ("name", "owner", *row_, "whole", "removed"),
            [(piece.name, piece.owner, *row_.values(), False, False)],
        )
        found = connection.execute(wanted).one()
    if found.done_to != piece.begin:
        raise Moved(f"segment {piece.name!r} is read to {found.done_to}, not to {piece.begin}")
    return _Segment(found.id)


def _release(connection: Connection, piece: Piece, segment: _Segment) -> None:
    """Say how far a segment is read now."""
    youngest = segments.c.last_ms
    if segment.last_ms:
        old = connection.execute(select(youngest).where(segments.c.id == segment.id)).scalar_one()
        segment.last_ms = max(old, segment.last_ms)
    connection.execute(
        update(segments)
        .where(segments.c.id == segment.id)
        .values(
            done_to=piece.end,
            whole=piece.whole,
            bodies=segments.c.bodies + segment.bodies,
            last_ms=segment.last_ms or youngest,
            damaged=segments.c.damaged + piece.damaged + segment.unreadable,
            lost=segments.c.lost + piece.lost + segment.unread,
        )
    )


def _take(incoming: dict[str, _Incoming], new: _Incoming, segment: _Segment, counts: Counts) -> None:
    """Take a record among those of this transaction."""
    segment.bodies += new.entry.body > 0
    segment.last_ms = max(segment.last_ms, new.record.time_ms)
    other = incoming.get(new.record.id)
    if other is None:
        incoming[new.record.id] = new
    elif supersedes(new.record, other.record):
        incoming[new.record.id] = new
        counts.replaced += 1
    else:
        counts.repeated += 1


def _wanted(told: Iterable[Facts]) -> list[Name]:
    wanted: dict[Name, None] = {}
    for each in told:
        for name in each.single:
            if name is not None:
                wanted[name] = None
        for tag in each.tags:
            wanted[tag] = None
    return list(wanted)


def _numbers(known: Mapping[Name | None, int], names: Iterable[Name | None]) -> tuple[int, ...]:
    """Return numbers, 0 for no name. Raises KeyError for one that is not known."""
    return tuple(map(known.__getitem__, names))


def _number(connection: Connection, names: Names, incoming: Sequence[_Incoming]) -> None:
    """Number the names of records, and put them in their order by time."""
    unknown = []
    taken: set[int] = set()
    for each in incoming:
        try:
            _name(each, names.known)
        except KeyError:
            unknown.append(each)
        seq = seq_of(each.record.time_ms, each.record.id)
        while seq in taken:
            seq += 1
        taken.add(seq)
        each.seq = seq
    if unknown:
        known = names.number(connection, _wanted(each.told for each in unknown))
        for each in unknown:
            _name(each, known)


def _name(each: _Incoming, known: Mapping[Name | None, int]) -> None:
    each.single = _numbers(known, each.told.single)
    if each.told.tags:
        each.tags = _numbers(known, each.told.tags)


def _write(connection: Connection, names: Names, incoming: Sequence[_Incoming], sums: Sums, counts: Counts) -> None:
    """Write rows: all at once where none of them is there yet, which is nearly always so."""
    attempt = connection.begin_nested()
    if bulk.insert_missing(connection, calls, COLUMNS, _rows(incoming)) == len(incoming):
        attempt.commit()
    else:
        attempt.rollback()
        incoming = _settle(connection, names, incoming, sums, counts)
        bulk.insert(connection, calls, COLUMNS, _rows(incoming))
    tagged = [(tag, each.seq) for each in incoming for tag in each.tags]
    if tagged:
        bulk.insert(connection, call_tags, ("tag", "seq"), sorted(tagged))
    for each in incoming:
        sums.add(each.combination, each.told.whole, each.told.parts)
    counts.calls += len(incoming)


def _rows(incoming: Sequence[_Incoming]) -> list[tuple[Any, ...]]:
    return [
        row(each.seq, each.told, each.single, each.segment, each.entry.start, each.entry.body, each.entry.payload)
        for each in incoming
    ]


def _settle(
    connection: Connection, names: Names, incoming: Sequence[_Incoming], sums: Sums, counts: Counts
) -> list[_Incoming]:
    """Return what of the records is new, with rows out of their way that they replace."""
    there: dict[str, tuple[int, bytes]] = {}
    ids = [each.record.id for each in incoming]
    for at in range(0, len(ids), CHUNK):
        chosen = select(calls.c.id, calls.c.seq, calls.c.record).where(calls.c.id.in_(ids[at : at + CHUNK]))
        there.update((id_, (seq, record)) for id_, seq, record in connection.execute(chosen))
    new = []
    for each in incoming:
        found = there.get(each.record.id)
        if found is None:
            new.append(each)
            continue
        seq, encoded = found
        old = facts(decode_record(encoded))
        if not supersedes(each.record, old.record):
            counts.repeated += 1
            continue
        numbered = combination_of(connection, names, old)
        sums.add(numbered, -old.whole, -old.parts)
        connection.execute(delete(calls).where(calls.c.seq == seq))
        if numbered[2]:
            connection.execute(delete(call_tags).where(call_tags.c.tag.in_(numbered[2]) & (call_tags.c.seq == seq)))
        counts.replaced += 1
        new.append(each)
    _make_room(connection, new)
    return new


def _make_room(connection: Connection, incoming: Sequence[_Incoming]) -> None:
    """Move records on whose place in the order is taken by another call of the same millisecond."""
    own = {each.seq for each in incoming}
    unsure = list(incoming)
    while unsure:
        taken: set[int] = set()
        wanted = [each.seq for each in unsure]
        for at in range(0, len(wanted), CHUNK):
            chosen = select(calls.c.seq).where(calls.c.seq.in_(wanted[at : at + CHUNK]))
            taken.update(connection.execute(chosen).scalars())
        unsure = [each for each in unsure if each.seq in taken]
        for each in unsure:
            while each.seq in own or each.seq in taken:
                each.seq += 1
            own.add(each.seq)
