"""The scopes of a call, ready to be counted, and the short ways through their rows. No I/O, no clock."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec

from portico.rules import Bound
from portico.state.contract import Used
from portico.state.counting import Fetch, Reserved, Rules
from portico.state.rows import BUCKET, BUDGET, Row, packing

_Figure = TypeVar("_Figure")

Changed = dict[Row, None]
"""Rows that may have been changed, each once."""

Figures = tuple[int, ...]
"""The amounts and lengths of a plan: all that tells it, for the functions, from others of its shape."""

Cells = Sequence[Sequence[int]]
"""The integers of all rows of a plan."""

Take = Callable[[Figures, Cells, Bound, int, int], tuple[tuple[int, ...], tuple[int, ...], Cells] | None]
"""Says what `reserve` does for a call with this bound, a `plain` one, at boot and wall time, where nothing is out of
the ordinary: what was reserved, and what becomes of the cells. Else None."""

Put = Callable[[Figures, Cells, Bound, Sequence[int], Used], Cells | None]
"""Says what `correct` makes of the cells of all rows, for a call that `Take` admitted, where nothing is out of the
ordinary. Else None."""

Ways = tuple[Take, Figures, Put, Figures]
"""The short ways through a plan, and the figures of each."""


@lru_cache(4_096)
def shared(figures: tuple[_Figure, ...]) -> tuple[_Figure, ...]:
    """Return the one tuple that stands for all that are the same: what many plans share stays at hand."""
    return figures


class Plan:
    """The scopes of a call, ready to be counted: for each its row in the books, its name and its rules.

    `ways` are the short ways through them, where there are any (see `straight`).
    """

    __slots__ = (
        "_at",
        "_figures",
        "_layouts",
        "_put",
        "_raised",
        "_take",
        "encoded",
        "limits",
        "pack",
        "rows",
        "scopes",
        "short",
    )

    def __init__(
        self,
        scopes: object,
        rows: tuple[tuple[Row, str, Rules], ...],
        ways: Ways | None = None,
    ) -> None:
        self.scopes = scopes  # held, so that its identity is its own for as long as the plan is kept
        self.rows = rows
        self.short = ways is not None
        # What is looked at with every call lies together.
        self._at = tuple([row for row, _, _ in rows])
        self._layouts = shared(tuple([rules.layout for _, _, rules in rows]))
        self._take: Take | None = None
        self._put: Put | None = None
        self._figures: Figures = ()
        self._raised: Figures = ()
        if ways is not None:
            self._take, self._figures, self._put, self._raised = ways
        ops = [op for _, _, rules in rows for op in rules.ops]
        self.limits = shared(
            tuple(
                (at, op[7].counts, op[3], op[4])
                for at, op in enumerate(ops)
                if op[0] == BUCKET and op[3] and op[7].window.every != "forever"
            )
        )
        """Limits on requests and tokens: which of the rules each is, what it counts, how much, in how many ns."""
        self.pack = packing(sum(op[0] >= BUDGET for op in ops))[0]
        """Writes the keys of the windows that a call is charged in."""
        slots = [(row.key, [slot for slot, _ in rules.slots]) for row, _, rules in rows]
        self.encoded = msgspec.Raw(msgspec.msgpack.encode(slots))

    def take(self, changed: Changed, fetch: Fetch, bound: Bound, boot: int, wall: int) -> Reserved | None:
        """Do the short way what `reserve` does for a call with this bound, a `plain` one.

        Where anything is out of the ordinary, or there is no short way: nothing, and None.
        """
        way, cells = self._take, self._at_hand(fetch)
        taken = None if way is None or cells is None else way(self._figures, cells, bound, boot, wall)
        if taken is None:
            return None
        keys, room, after = taken
        self._change(changed, after)
        return keys, room

    def put(self, changed: Changed, fetch: Fetch, bound: Bound, keys: Sequence[int], used: Used) -> bool:
        """Do the short way what `correct` does in all rows, for a call that `take` admitted; return whether it is done.

        Where anything is out of the ordinary, or there is no short way, nothing is.
        """
        way, cells = self._put, self._at_hand(fetch)
        after = None if way is None or cells is None else way(self._raised, cells, bound, keys, used)
        if after is None:
            return False
        self._change(changed, after)
        return True

    def _at_hand(self, fetch: Fetch) -> list[Sequence[int]] | None:
        """Return the cells of all rows; None where a row is not laid out as its rules are, or there is no short way."""
        if not self.short:
            return None
        cells = []
        layouts = self._layouts
        for n, row in enumerate(self._at):
            layout = layouts[n]
            if row.layout is not layout and fetch(row, self.rows[n][2]).layout is not layout:
                return None
            cells.append(row.cells)
        return cells

    def _change(self, changed: Changed, after: Cells) -> None:
        for n, row in enumerate(self._at):
            row.cells = after[n]
            changed[row] = None
