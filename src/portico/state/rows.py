"""One scope's counters: a list of integers, in which every rule has a slot; and how they are kept. No I/O, no clock.

What the integers of a slot mean, and how calls change them, is `counting`'s to say.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

from portico.compiled import mypyc_attr
from portico.hashing import blake2b
from portico.rules import Rule
from portico.state import windows

if TYPE_CHECKING:
    from mmap import mmap

    from portico.state.counting import Rules

BUCKET: Final = 0
IN_FLIGHT: Final = 1
BUDGET: Final = 2
ROLLING: Final = 3
"""Kinds of slots."""

SLOT_BYTES: Final = 10
NUMBER: Final = 8
"""Bytes of the number that a copy of a row in a file begins with."""
_CELLS: Final = {BUCKET: 2, IN_FLIGHT: 1, BUDGET: 6}


def slot_of(rule: Rule) -> bytes:
    """Name a rule's counter: the same for as long as what it counted still means the same under the rule.

    A budget whose amount or mode changes goes on with what it has counted; a bucket of another size, or a window of
    another length, begins anew.
    """
    window = rule.window
    if rule.counts == "in_flight":
        kind, parts, means = IN_FLIGHT, 0, ""
    elif rule.kind == "limit":
        kind, parts, means = BUCKET, 0, f"{rule.counts}|{window.every}|{rule.amount}"
    elif window.rolling and window.every != "forever":
        kind, parts, means = ROLLING, windows.granules(window), f"{rule.counts}|{window.every}"
    else:
        kind, parts, means = BUDGET, 0, f"{rule.counts}|{window.every}|{window.zone}"
    named = blake2b(f"{rule.id}|{kind}|{means}".encode(), digest_size=SLOT_BYTES - 2).digest()
    return named + bytes((kind, parts))


def cells_of(slot: bytes) -> int:
    """Return how many integers a slot takes."""
    kind = slot[-2]
    return 5 + slot[-1] + 1 if kind == ROLLING else _CELLS[kind]


class Layout:
    """Which slots a row has, and where.

    `signature` tells it from all others. A row is kept in copies of `copy` bytes, a number and the integers behind it:
    `write` writes both, and `unpack` reads the integers.
    """

    __slots__ = ("copy", "places", "signature", "size", "slots", "unpack", "write")

    def __init__(self, slots: Sequence[bytes]) -> None:
        self.slots = tuple(slots)
        self.signature = bytes((len(slots),)) + b"".join(slots)
        self.places: dict[bytes, int] = {}
        self.size = 0
        for slot in slots:
            self.places[slot] = self.size
            self.size += cells_of(slot)
        self.copy = NUMBER + 8 * self.size
        self.write, self.unpack = _copying(self.size)


@lru_cache(256)
def _copying(size: int) -> tuple[Callable[..., None], Callable[["mmap", int], tuple[int, ...]]]:
    """How a number and so many integers are written, and how those integers are read."""
    return Struct(f"@Q{size}q").pack_into, packing(size)[1]


@lru_cache(4_096)
def layout_of(slots: tuple[bytes, ...]) -> Layout:
    """The layout of these slots: the same object wherever they are the same, which is how rows are told at a glance."""
    return Layout(slots)


def layout_in(value: bytes, at: int) -> Layout:
    """Return the layout whose signature is at this place."""
    first = at + 1
    end = first + value[at] * SLOT_BYTES
    return layout_of(tuple([value[n : n + SLOT_BYTES] for n in range(first, end, SLOT_BYTES)]))


@lru_cache(256)
def packing(size: int) -> tuple[Callable[..., bytes], Callable[["bytes | mmap", int], tuple[int, ...]]]:
    """How so many integers are written and read: as this machine does, in half the time of any other order."""
    one = Struct(f"@{size}q")
    return one.pack, one.unpack_from


ABSENT: Final = Layout(())
"""The layout of a row whose counters are not at hand: they are read before they are used."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Row:
    """The counters of one scope: whoever counts by its `key` has the same row, and looks for it once.

    `given` are rules that were given slots since it was read. Where it is in a file, it is `kept` as it was laid out
    there, at its `place`, which is good until a row is moved once more than `moves` times; `here` is the younger of
    its copies, and `there` the one that is written next.
    """

    __slots__ = ("cells", "given", "here", "kept", "key", "layout", "moves", "place", "there")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.layout = ABSENT
        self.cells: Sequence[int] = ()
        self.given: tuple[Rules, ...] = ()
        self.kept = ABSENT
        self.place = self.here = self.there = self.moves = 0

    def __repr__(self) -> str:
        return f"<Row {self.key!r}, {len(self.layout.slots)} slots>"

    def begin(self, rules: "Rules") -> None:
        """Begin with nothing counted by any of these rules."""
        self.lay(rules.layout, (0,) * rules.layout.size)

    def lay(self, layout: Layout, cells: Sequence[int], rules: "Rules | None" = None) -> None:
        """Put other counters in the place of these; `rules` are those that had no slots here."""
        self.layout, self.cells = layout, cells
        self.given = () if rules is None else self.given if rules in self.given else (*self.given, rules)

    def changing(self) -> list[int]:
        """Return the counters, to be changed in their places."""
        cells = self.cells
        if not isinstance(cells, list):
            cells = self.cells = list(cells)
        return cells
