"""The file of rows: which of them stands where, and what stands there. Mapped by all processes of a machine.

Each row has two copies, and a transaction writes the older one; the younger one stays as it is. A copy begins with a
number, one more for each transaction that writes rows. Where rows stand, which places are vacant, and the number of the
last transaction is in the books: until these are committed, the copies with the next number are of one that never was.

Who is killed in between leaves such copies behind. So the head of the file says which number is being written: where it
is not the one in the books, whoever begins next strikes out the copies that have it.

Who does not hold the lock reads the younger copy up to the number in the books. That one is written over by the second
transaction after it at the earliest, and so is a place that its row has left: the head says whether there was one.
"""

import os
from collections.abc import Iterable
from mmap import mmap
from struct import Struct
from typing import Final, TypeAlias

import lmdb

from portico.errors import StateFull, StateUnavailable
from portico.state.environment import Environment
from portico.state.rows import ABSENT, NUMBER, Layout, Row, layout_in

Tx: TypeAlias = "lmdb.Transaction[bytes]"

_BEGUN: Final = 0  # word of the head: the number that was written last, whether or not it was committed
_MOVES: Final = 1  # word of the head: how many times a row was to be moved or removed
HEAD: Final = 64
GRAIN: Final = 32
"""Bytes before the first place; and those of which all places have a multiple."""

_entry: Final = Struct("<QI").pack
read_entry: Final = Struct("<QI").unpack_from
"""What the index says of a row: its place, and the length of a copy. The layout's signature is behind that."""
_ENTRY: Final = 12

_vacancy: Final = Struct(">IQ").pack
read_vacancy: Final = Struct(">IQ").unpack
"""How large a vacant place is, and where: ordered by size, as bytes are."""

_number: Final = Struct("<Q").pack
_read_number: Final = Struct("<Q").unpack
_pair: Final = Struct("<QQ").pack
_read_pair: Final = Struct("<QQ").unpack

_TIGHT: Final = 7 / 8  # of the file: from here on it is worth while to join places


class RowFile:
    """Rows at their places. Whoever calls `begin`, or what says that it changes rows, holds the lock of the machine.

    `moves` says how many times one was moved or removed: up to the next, who knows where a row stands need not ask.
    """

    __slots__ = ("_given_up", "_joined", "_last", "_map", "_others", "_words", "index", "moves", "size", "vacant")

    def __init__(self, opened: Environment) -> None:
        self.index = opened.env.open_db(b"rows")
        self.vacant = opened.env.open_db(b"vacant")
        self._others = opened.env.open_db(b"others")
        try:
            file = os.open(opened.rows, os.O_RDWR | os.O_CLOEXEC)
            try:
                if os.fstat(file).st_ino != opened.origin.rows_inode:
                    raise StateUnavailable(f"{str(opened.rows)!r} is not the file of rows that was made with the state")
                self._map = mmap(file, 0)
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise StateUnavailable(f"{str(opened.rows)!r} cannot be opened: {error}") from error
        self.size = len(self._map)
        # A word is read and written at once or not at all; what packs numbers writes zeros first.
        self._words = memoryview(self._map)[: self.size // 8 * 8].cast("Q")
        self.moves = 0
        self._last = -1  # the number that was committed last; unknown
        self._joined = -1  # how many moves there had been when places were joined
        self._given_up: list[tuple[int, int]] = []  # in this transaction: places that are good for others after it

    # One transaction

    def begin(self, tx: Tx) -> bool:
        """Begin a transaction, and strike out what one has left behind that was not committed.

        Returns whether somebody else may have written rows since the last one here.
        """
        self._given_up.clear()
        words = self._words
        self.moves = words[_MOVES]
        begun, known = words[_BEGUN], self._last
        if begun == known:
            return False
        last = self._last = self._committed(tx)
        if begun != last:
            self._mend(tx, last)
        return last != known

    def _committed(self, tx: Tx) -> int:
        """Return the number of the last transaction that has written rows."""
        value = tx.get(b"written", db=self._others)
        number: int = 0 if value is None else _read_number(value)[0]
        return number

    def _mend(self, tx: Tx, last: int) -> None:
        words = self._words
        for value in tx.cursor(self.index).iternext(keys=False):
            place, copy = read_entry(value)
            for at in (place, place + copy):
                if words[at // 8] > last:
                    words[at // 8] = 0
        words[_BEGUN] = last

    def write(self, tx: Tx, rows: Iterable[Row]) -> None:
        """Write rows that have their places: the last that is done before the transaction is committed."""
        if self._given_up:
            end, used = self._filled(tx)
            for size, place in self._given_up:
                tx.put(_vacancy(size, place), b"", db=self.vacant)
                used -= size
            tx.put(b"filled", _pair(end, used), db=self._others)
        number, there = self._last + 1, self._map
        tx.put(b"written", _number(number), db=self._others)
        self._words[_BEGUN] = number
        for row in rows:
            at = row.there
            row.there = row.here
            row.here = at
            row.layout.write(there, at, number, *row.cells)
        self._last = number

    def abort(self) -> None:
        """Take it that nothing was committed of what was written."""
        self._last = -1

    @property
    def vacated(self) -> bool:
        """Whether rows have left their places in this transaction."""
        return bool(self._given_up)

    # A row

    def find(self, tx: Tx, row: Row, likely: Layout) -> bool:
        """Read a row, and say whether there is one. `likely` is how it is laid out, most often."""
        if row.kept is ABSENT or row.moves != self.moves:
            value = tx.get(row.key, None, self.index)
            if value is None:
                row.kept = ABSENT
                return False
            row.kept = likely if value.startswith(likely.signature, _ENTRY) else layout_in(value, _ENTRY)
            row.place = read_entry(value)[0]
            row.moves = self.moves
        words, layout, one = self._words, row.kept, row.place
        other = one + layout.copy
        if words[one // 8] < words[other // 8]:
            one, other = other, one
        row.here, row.there = one, other
        row.lay(layout, layout.unpack(self._map, one + NUMBER))
        return True

    def peek(self, tx: Tx, key: bytes, value: bytes) -> Row | None:
        """Return a row for who only reads, by what the index says of it; None where others have overtaken `tx`."""
        words, last, layout = self._words, self._committed(tx), layout_in(value, _ENTRY)
        one: int = read_entry(value)[0]
        other = one + layout.copy
        first, second = words[one // 8], words[other // 8]
        if first < second:
            one, other = other, one
        row = Row(key)
        younger = one if max(first, second) <= last else other  # one with a greater number is not committed, or was not
        row.lay(layout, layout.unpack(self._map, younger + NUMBER))
        return row if words[_BEGUN] <= last + 1 else None

    def place(self, tx: Tx, row: Row) -> None:
        """Give a row a place that is new, or laid out otherwise than it is kept. Raises StateFull."""
        copy = row.layout.copy
        place = self._take(tx, _rounded(2 * copy))
        self._give_up(tx, row.key)
        tx.put(row.key, _entry(place, copy) + row.layout.signature, db=self.index)
        row.kept, row.place, row.moves = row.layout, place, self.moves
        row.here, row.there = place, place + copy

    def remove(self, tx: Tx, row: Row) -> None:
        """Let a row be no more."""
        self._give_up(tx, row.key)
        tx.delete(row.key, db=self.index)
        row.layout = row.kept = ABSENT

    # Places

    def _give_up(self, tx: Tx, key: bytes) -> None:
        value = tx.get(key, db=self.index)
        if value is not None:
            place, copy = read_entry(value)
            self._given_up.append((_rounded(2 * copy), place))
            self.moves += 1
            self._words[_MOVES] = self.moves

    def _take(self, tx: Tx, size: int) -> int:
        """Return a place of this size, with zeros in it: one that is vacant, one never used, or a part of one."""
        end, used = self._filled(tx)
        cursor = tx.cursor(self.vacant)
        vacant: tuple[int, int] | None = None
        if cursor.set_range(_vacancy(size, 0)):
            vacant = read_vacancy(cursor.key())
        if vacant is not None and (vacant[0] == size or end + size > self.size):
            whole, place = vacant
            cursor.delete()
            if whole > size:
                tx.put(_vacancy(whole - size, place + size), b"", db=self.vacant)
        elif end + size <= self.size:
            place = end
            end += size
        else:
            raise StateFull("the state has no room for another row")
        tx.put(b"filled", _pair(end, used + size), db=self._others)
        self._words[_BEGUN] = self._last + 1  # before there is anything else than what others may be reading
        self._map[place : place + size] = bytes(size)
        return place

    def _filled(self, tx: Tx) -> tuple[int, int]:
        """Return where the part begins that was never used, and how much of what is before it is."""
        value = tx.get(b"filled", db=self._others)
        if value is None:
            return HEAD, HEAD
        end, used = _read_pair(value)
        return end, used

    def tight(self, tx: Tx) -> bool:
        """Say whether so little is left that only what makes room should be written."""
        _, used = self._filled(tx)
        return used > self.size * _TIGHT

    def scattered(self, tx: Tx) -> bool:
        """Say whether it is worth while to `join` places: nearly all was used once, and some of it is vacant now."""
        end, used = self._filled(tx)
        return end > self.size * _TIGHT and used < end and self._joined != self._words[_MOVES]

    def join(self, tx: Tx) -> None:
        """Make one of all vacant places that lie together, so that larger rows find room. Takes as long as `begin` may.

        It is for a transaction in which no row is given a place, or gives one up.
        """
        entries = [read_entry(value) for value in tx.cursor(self.index).iternext(keys=False)]
        tx.drop(self.vacant, delete=False)
        end, used = HEAD, HEAD
        for place, copy in sorted(entries):
            if place > end:
                tx.put(_vacancy(place - end, end), b"", db=self.vacant)
            size = _rounded(2 * copy)
            end = place + size
            used += size
        tx.put(b"filled", _pair(end, used), db=self._others)
        self._joined = self.moves

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()


def _rounded(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
