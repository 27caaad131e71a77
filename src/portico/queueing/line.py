"""One line of calls that wait for the same thing: start-time fair queueing over teams, by priority within a team.

Each flow (a team) has a virtual time at which its next call starts; the flow with the least is served next and moves on
by the cost of the call over its weight, so that a burst of one flow waits behind itself (Goyal, Vin and Cheng,
"Start-time Fair Queueing", 1996). A flow that comes anew starts a few turns before where the line is by then: who asks
for less than its share asks for it unevenly, and would wait for each of a bunch of calls behind one who always has
some. More than these turns nobody saves up. No I/O, no clock.
"""

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Final, Protocol

from portico.errors import PorticoError

Key = Hashable
"""What is waited for: the name of a target or a provider, or a rule in a row of the state."""

SPARED: Final = 8.0
"""Turns, for a weight of one, that a flow saves up while it has no calls."""
FORGET: Final = 64
"""Flows that have left and have not all of these, beyond which those that have are forgotten."""


class Waiter:
    """A call that waits. Times are seconds of one clock; `size` is bytes that are held for it, `cost` what it takes.

    `number` is in the order of arrival, and stays when it changes lines or has to wait once more. `trying` is the line
    whose turn it has. `error` is what it is told if nothing comes of it.
    """

    __slots__ = (
        "cost",
        "deadline",
        "error",
        "flow",
        "keys",
        "number",
        "position",
        "priority",
        "size",
        "trying",
        "weight",
    )

    def __init__(
        self,
        flow: str,
        deadline: float,
        error: PorticoError,
        *,
        weight: float = 1.0,
        priority: int = 0,
        cost: float = 1.0,
        size: int = 0,
    ) -> None:
        self.flow = flow
        self.weight = weight
        self.priority = priority
        self.cost = cost
        self.size = size
        self.deadline = deadline
        self.error = error
        self.number = 0
        self.position = 0
        self.keys: list[Key] = []
        self.trying: Key | None = None

    def __repr__(self) -> str:
        return f"<Waiter {self.number} of {self.flow}>"

    def __lt__(self, other: "Waiter") -> bool:
        return False  # several parts of one call have one number


class Boards(Protocol):
    """Where workers read of each other's lines and flows. Virtual times are those of `Line`."""

    def stand(self, key: Key) -> int | None:
        """Tell that a line or a flow begins here; return its board, None for none."""

    def depart(self, board: int | None) -> None:
        """Tell that it is no more."""

    def tell(self, board: int, start: float, virtual: float) -> float:
        """Tell the virtual times of the next call here and of the line; return the latter by all workers."""

    def first(self, board: int, start: float) -> bool:
        """Return whether no other worker has a call that comes before this one."""

    def standing(self, board: int) -> int:
        """Return how many workers have this line or flow."""

    def others_wait(self, key: Key = None) -> bool:
        """Return whether calls of another worker wait for something; None for anything at all."""


class Flow:
    """The calls of one team in a line. `start` is the virtual time at which the next of them starts."""

    __slots__ = ("board", "count", "heap", "ranks", "start", "weight")

    def __init__(self, start: float, weight: float) -> None:
        self.start = start
        self.weight = weight
        self.board: int | None = None
        self.count = 0
        self.heap: list[tuple[int, int, Waiter]] = []
        self.ranks: dict[int, int] = {}


class Line:
    """Who waits for one thing, and in which order.

    `at` is when it is worth trying again; `trying` is who does. `interval` is the time from one grant to the next, of
    late, and `grants` how many there were; `board` is where other workers read of it, `yields` since when it has let
    them go first: see `Lobby`. `virtual` is the time at which the last call started.
    """

    __slots__ = (
        "_behind",
        "_crowded",
        "_flows",
        "_members",
        "_order",
        "_serial",
        "at",
        "board",
        "boards",
        "granted_at",
        "grants",
        "interval",
        "key",
        "trying",
        "virtual",
        "yields",
    )

    def __init__(self, at: float = 0.0, key: Key = None, boards: Boards | None = None) -> None:
        self.at = at
        self.key = key
        self.boards = boards
        self.trying: Waiter | None = None
        self.interval = 0.0
        self.grants = 0
        self.granted_at = 0.0
        self.board: int | None = None
        self.yields = 0.0
        self._flows: dict[str, Flow] = {}
        self._order: list[tuple[float, int, Flow]] = []
        self._members: set[Waiter] = set()
        self._behind: dict[str, float] = {}
        self._crowded = FORGET
        self.virtual = 0.0
        self._serial = 0

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<Line of {len(self)} calls, {len(self._flows)} flows>"

    def join(self, waiter: Waiter) -> None:
        """Put a call behind those of its flow that have its priority or more."""
        flow = self._flows.get(waiter.flow)
        if flow is None:
            start = max(self.virtual - SPARED * waiter.cost, self._behind.pop(waiter.flow, 0.0))
            flow = self._flows[waiter.flow] = Flow(start, waiter.weight)
            if self.boards is not None:
                flow.board = self.boards.stand((self.key, waiter.flow))
            self._queue(flow)
        flow.weight = waiter.weight
        heappush(flow.heap, (-waiter.priority, waiter.number, waiter))
        flow.count += 1
        flow.ranks[waiter.priority] = flow.ranks.get(waiter.priority, 0) + 1
        self._members.add(waiter)

    def head(self) -> Waiter | None:
        """Return who is next, None where nobody waits."""
        order = self._order
        while order:
            start, _, flow = order[0]
            if not flow.count or start != flow.start:
                heappop(order)
                continue
            heap = flow.heap
            while heap[0][2] not in self._members:
                heappop(heap)
            return heap[0][2]
        return None

    def start(self) -> float:
        """Return the virtual time at which the next call starts."""
        return self._order[0][0] if self.head() is not None else self.virtual

    def granted(self, waiter: Waiter) -> None:
        """Let a call go that got what it waited for: its flow moves on by what it cost."""
        flow = self._flows[waiter.flow]
        self.virtual = max(self.virtual, flow.start)
        # A flow that waits in several workers has one share, and not one in each.
        share = self.boards.standing(flow.board) if self.boards is not None and flow.board is not None else 1
        flow.start += waiter.cost * share / flow.weight
        if flow.count > 1:
            self._queue(flow)
        self.leave(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Let a call go that does not wait any more."""
        if waiter not in self._members:
            return
        self._members.remove(waiter)
        flow = self._flows[waiter.flow]
        flow.count -= 1
        flow.ranks[waiter.priority] -= 1
        if not flow.count:
            del self._flows[waiter.flow]
            if self.boards is not None:
                self.boards.depart(flow.board)
            self._behind[waiter.flow] = flow.start
            if len(self._behind) > self._crowded:
                spared = self.virtual - SPARED * waiter.cost
                self._behind = {name: start for name, start in self._behind.items() if start > spared}
                self._crowded = FORGET + 2 * len(self._behind)

    def ahead(self, waiter: Waiter) -> int:
        """Return how many calls are served before the last of this flow and priority, as things stand."""
        own = self._flows[waiter.flow]
        before = sum(count for rank, count in own.ranks.items() if rank >= waiter.priority) - 1
        starts = own.start + before * waiter.cost / own.weight
        for flow in self._flows.values():
            if flow is not own and flow.start <= starts:
                before += min(flow.count, int((starts - flow.start) * flow.weight / waiter.cost) + 1)
        return before

    def _queue(self, flow: Flow) -> None:
        self._serial += 1
        heappush(self._order, (flow.start, self._serial, flow))
