"""Reading segments, also while they are written: whole frames only, past damage where a next frame can be found."""

import os
from collections.abc import Collection, Iterator

import msgspec

from portico.journal.bodies import Bodies, Damaged, parse_bodies
from portico.journal.entries import Entry, Kind, call_id, decode_record
from portico.journal.frames import FRAME, HEADER, Head, Header, NotASegment, holds, parse_head, parse_header
from portico.journal.segments import segments
from portico.record import Record

WINDOW = 256 * 1024
LAST_SEGMENTS = 4
"""How many of a dead owner's segments are looked through for calls that were under way when it died.

A record is settled in the tick in which it is flushed, so those that were not are from its last flush, or its last few
where settling waits for the disk. A flush goes to two segments when the first is full, to three when the disk is.
"""


class Tally(msgspec.Struct):
    """What was found on the way, beside the entries. `rest` is bytes at the end that make no whole frame (yet)."""

    damaged: int = 0
    """Places at which bytes had to be skipped."""
    lost: int = 0
    """Bytes that were skipped."""
    rest: int = 0


class _Window:
    """A file, a piece of it in memory."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.start = 0
        self.data = b""

    def at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on, or as many as there are."""
        begin = offset - self.start
        if begin < 0 or begin + size > len(self.data):
            self.start = offset
            self.data = os.pread(self.descriptor, max(size, WINDOW), offset)
            begin = 0
        return self.data[begin : begin + size]


def header(path: str) -> Header:
    """Return how a segment begins. Raises NotASegment, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return parse_header(os.pread(descriptor, HEADER.size, 0))
    finally:
        os.close(descriptor)


def read(path: str, offset: int = 0, tally: Tally | None = None) -> Iterator[tuple[int, Entry]]:
    """Yield the entries from `offset` on, each after the offset to go on from later.

    What stands behind the last whole frame is left alone: it may be a write under way. Whether it is a torn tail, who
    knows that the writer is gone can tell from `tally.rest`. Damage is passed over where a whole frame follows.

    Raises NotASegment for another file, OSError.
    """
    tally = tally if tally is not None else Tally()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        begin = parse_header(os.pread(descriptor, HEADER.size, 0))
        size = os.fstat(descriptor).st_size
        window = _Window(descriptor)
        at = max(offset, HEADER.size)
        marker, seed = begin.marker, begin.seed
        while at < size:
            entry = _whole(window, marker, seed, at, size)
            if entry is None:
                following = _next(window, marker, seed, at + 1, size)
                if following is None:
                    break
                tally.damaged += 1
                tally.lost += following - at
                at = following
                continue
            at = entry.end
            yield at, entry
        tally.rest = max(size - at, 0)
    finally:
        os.close(descriptor)


def _whole(window: _Window, marker: bytes, seed: int, at: int, size: int) -> Entry | None:
    """Return the entry of the frame at an offset, if one is there, whole."""
    fixed = window.at(at, FRAME.size)
    head: Head | None = parse_head(marker, fixed) if len(fixed) == FRAME.size else None
    if head is None:
        return None
    begin = at + FRAME.size
    end = begin + head.entry + head.body
    if end > size:
        return None
    payload = window.at(begin, head.entry)
    if len(payload) != head.entry or not holds(seed, head, payload):
        return None
    return Entry(head.kind, payload, at, end, head.body)


def _next(window: _Window, marker: bytes, seed: int, at: int, size: int) -> int | None:
    """Return where the next whole frame begins."""
    while at < size:
        piece = window.at(at, WINDOW)
        if not piece:
            return None
        found = piece.find(marker)
        if found < 0:
            at += max(len(piece) - len(marker) + 1, 1)
            continue
        if _whole(window, marker, seed, at + found, size) is not None:
            return at + found
        at += found + 1
    return None


def blank(path: str, offset: int) -> bool:
    """Say whether nothing but zeros stands behind an offset: room that was allocated and never written to."""
    with open(path, "rb") as file:  # noqa: PTH123  # as everything here: workers do without pathlib
        file.seek(offset)
        while piece := file.read(WINDOW):
            if piece.count(0) != len(piece):
                return False
    return True


def bodies(path: str, offset: int) -> Bodies | None:
    """Return the bodies of the call whose entry is at an offset; None where none were kept.

    Raises NotASegment, Damaged, OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        begin = parse_header(os.pread(descriptor, HEADER.size, 0))
        fixed = os.pread(descriptor, FRAME.size, offset)
        head = parse_head(begin.marker, fixed) if len(fixed) == FRAME.size else None
        if head is None:
            raise Damaged(f"no entry at {offset}")
        if not head.body:
            return None
        if offset + FRAME.size + head.entry + head.body > os.fstat(descriptor).st_size:
            raise Damaged("bodies cut short")
        return parse_bodies(os.pread(descriptor, head.body, offset + FRAME.size + head.entry))
    finally:
        os.close(descriptor)


def call_ids(directory: str, owner: str) -> set[str]:
    """Return the ids of the calls that a dead owner's last segments hold a record of."""
    return {call_id(entry.payload) for entry in _last_records(directory, owner)}


def records_of(directory: str, owner: str, ids: Collection[str]) -> dict[str, Record]:
    """Return the records of these calls, by id, as far as a dead owner's last segments hold them."""
    wanted = set(ids)
    found: dict[str, Record] = {}
    if not wanted:
        return found
    for entry in _last_records(directory, owner):
        if call_id(entry.payload) in wanted:
            record = decode_record(entry.payload)
            found[record.id] = record
    return found


def _last_records(directory: str, owner: str) -> Iterator[Entry]:
    # One without an entry was begun by somebody who died before it had written any.
    written = [segment for segment in segments(directory, owner) if os.path.getsize(segment.path) > HEADER.size]  # noqa: PTH202
    for segment in written[-LAST_SEGMENTS:]:
        try:
            for _, entry in read(segment.path):
                if entry.kind == Kind.RECORD and _readable(entry):
                    yield entry
        except NotASegment:
            continue  # it was begun and never written to: a header is written first, and whole


def _readable(entry: Entry) -> bool:
    try:
        call_id(entry.payload)
    except msgspec.MsgspecError:
        return False
    return True
