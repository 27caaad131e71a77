"""Calls under way that no rule counts: one place each, in a file that outlives who wrote it.

Such a call has nothing to reserve, but nobody may forget it: whoever finds its worker dead must write its record. So it
is put down before it goes to a provider, and struck out once it is recorded. The file is mapped into memory: what was
written is there for the next process as soon as it is written, and a call costs a copy of some two hundred bytes.
"""

import logging
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

import msgspec

from portico.hashing import blake2b
from portico.rules import NO_BOUND
from portico.state.contract import Allowances, Left, Orphan, Permit
from portico.state.preallocate import preallocate

PLACES: Final = 4096
"""Calls that may be under way here at once; others are kept with those that rules count."""
PLACE: Final = 512
"""Bytes of a place: the length of what is in it, and that. A call of which there is more to tell is kept elsewhere."""
_ROOM: Final = PLACE - 4
_HEAD: Final = 64
"""Bytes before the places: a mark of the state that the calls were admitted in."""

log = logging.getLogger("portico.state")

_length: Final = Struct("<I")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[str, bytes]).decode


class Flight:
    """What the permit of such a call has for a token: its place, or none any more."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place

    def allowances(self) -> Allowances:
        """Return nothing: there are no limits."""
        return (), ()

    def left(self) -> tuple[Left, ...]:
        """Return nothing: there are no rules."""
        return ()


class Flights:
    """The calls of one owner that no rule counts."""

    def __init__(self, path: Path, tag: str) -> None:
        """Make the file; `tag` names the state that is in use. Raises OSError where there is no room for it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        size = _HEAD + PLACES * PLACE
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            preallocate(file, size)  # a page that the disk has no room for could not be written to
            os.pwrite(file, _mark(tag), 0)
            self._memory = mmap.mmap(file, size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        self._end = size
        self._next = _HEAD  # the first place that was never used
        self._free: list[int] = []  # those before it: the last one that was left is the next one that is taken

    def __repr__(self) -> str:
        return f"<Flights, {len(self)} calls under way>"

    def __len__(self) -> int:
        return (self._next - _HEAD) // PLACE - len(self._free)

    def begin(self, call_id: str, about: bytes) -> Permit | None:
        """Put a call down and return its permit; None where there is no place for it."""
        told = _encode((call_id, about))
        size = len(told)
        if size > _ROOM:
            return None
        free = self._free
        if free:
            place = free.pop()
        elif self._next < self._end:
            place = self._next
            self._next = place + PLACE
        else:
            return None
        memory = self._memory
        memory[place + 4 : place + 4 + size] = told
        _length.pack_into(memory, place, size)  # from here on it is there
        return Permit(call_id, (), NO_BOUND, Flight(place))

    def about(self, flight: Flight) -> bytes:
        """Return what was told of a call that is under way."""
        size = _length.unpack_from(self._memory, flight.place)[0]
        return _decode(self._memory[flight.place + 4 : flight.place + 4 + size])[1]

    def end(self, flight: Flight) -> None:
        """Strike a call out; a second time changes nothing."""
        place = flight.place
        if place:
            flight.place = 0
            _length.pack_into(self._memory, place, 0)
            self._free.append(place)

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._memory.close()


def left_behind(path: Path, tag: str) -> Iterator[Orphan]:
    """Yield the calls of a dead owner, where they were admitted in the state that is in use.

    What they cost nobody knows: nobody had to reserve it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    if data[: len(_mark(tag))] != _mark(tag):
        return
    for place in range(_HEAD, len(data) - PLACE + 1, PLACE):
        size = _length.unpack_from(data, place)[0]
        if 0 < size <= _ROOM:
            try:
                call_id, about = _decode(data[place + 4 : place + 4 + size])
            except msgspec.MsgspecError as error:  # nothing that we have written, and no reason to look at no other
                log.error("a call that was under way in %s cannot be read: %s", path.name, error)
                continue
            yield Orphan(call_id, NO_BOUND, about)


def _mark(tag: str) -> bytes:
    return b"portico1" + blake2b(tag.encode(), digest_size=32).digest()
