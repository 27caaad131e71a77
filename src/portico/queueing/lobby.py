"""All lines of a worker, and the decision: who tries now, who is shed, whose time is up. No I/O, and no clock.

A call that something refuses joins the line of what refused it. One call of a line tries at a time: the one whose turn
it is. If it gets through, the next tries at once; if not, the line sleeps until it is worth trying again, or somebody
says that something was given back. A call may stand in several lines (one for each target that could serve it) and
leaves all of them at once.

With `boards`, workers that have lines for the same thing serve them as one: each tells the virtual time of its next
call, and stands back where another's is less.

The room is bounded, by calls and by bytes. Where it is full, the flow that has most of it for its weight gives way: of
its calls of the least priority the one whose deadline is the nearest.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from portico.queueing.line import Boards, Key, Line, Waiter

Door = tuple[Key, float]
"""What refused a call, and when it is worth trying again."""

MEASURED: Final = 16
"""Grants of a line after which it is known how fast it moves."""
HOPE: Final = 2.0
"""A call is not taken in whose turn would come after so many times the time that it has: lines are estimated."""
RECENT: Final = 0.1
"""The weight of the last time between two grants."""
POLITE: Final = 0.003
"""Seconds after which a line that stands back for those of other workers looks again."""
PATIENCE: Final = 0.25
"""Seconds that it does so at most: another worker may hang."""
TRYING: Final = 0.01
"""Seconds that a call has more whose time is up just as it tries."""


class Crowd:
    """All calls of one flow, in whatever line. `heap` has them by priority and deadline, with some who have left."""

    __slots__ = ("calls", "heap", "size", "weight")

    def __init__(self) -> None:
        self.calls = 0
        self.size = 0
        self.weight = 1.0
        self.heap: list[tuple[int, float, int, Waiter]] = []


class Lobby:
    """Who waits. At most `calls` calls, and `size` bytes that are held for them."""

    def __init__(self, calls: int, size: int) -> None:
        self.calls = calls
        self.room = size
        self.lines: dict[Key, Line] = {}
        self.held = 0
        self.boards: Boards | None = None
        self._waiters: set[Waiter] = set()
        self._crowds: dict[str, Crowd] = {}
        self._wakes: list[tuple[float, int, Key]] = []
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._numbers = 0
        self._serial = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def __repr__(self) -> str:
        return f"<Lobby of {len(self)} calls in {len(self.lines)} lines>"

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._waiters

    def join(self, waiter: Waiter, doors: Sequence[Door], now: float) -> list[Waiter]:
        """Take a call in; return who has to go for it, perhaps the call itself: there is no room, or no hope for it.

        Its position is what is served before it in the line where that is the least, and one.
        """
        if not waiter.number:
            self._numbers += 1
            waiter.number = self._numbers
        if all(at >= waiter.deadline for _, at in doors):
            return [waiter]
        self._waiters.add(waiter)
        self.held += waiter.size
        crowd = self._crowds.get(waiter.flow)
        if crowd is None:
            crowd = self._crowds[waiter.flow] = Crowd()
        crowd.calls += 1
        crowd.size += waiter.size
        crowd.weight = waiter.weight
        heappush(crowd.heap, (waiter.priority, waiter.deadline, waiter.number, waiter))
        heappush(self._deadlines, (waiter.deadline, waiter.number, waiter))
        self._stand(waiter, doors)
        lines = [self.lines[key] for key in waiter.keys]
        waiter.position = 1 + min(line.ahead(waiter) for line in lines)
        left = waiter.deadline - now
        if all(line.grants >= MEASURED and line.ahead(waiter) * line.interval > HOPE * left for line in lines):
            self.leave(waiter, now)
            return [waiter]
        shed = []
        while len(self._waiters) > self.calls or self.held > self.room:
            least = self._least()
            if least is None:
                break
            self.leave(least, now)
            shed.append(least)
        return shed

    def due(self, now: float) -> list[tuple[Waiter, Key]]:
        """Return who is to try now, and at what; each is told once, and has to come back by one of the verbs below."""
        found: list[tuple[Waiter, Key]] = []
        while self._wakes and self._wakes[0][0] <= now:
            at, _, key = heappop(self._wakes)
            line = self.lines.get(key)
            if line is None or line.at != at or line.trying is not None:
                continue
            waiter = line.head()
            if waiter is None or waiter.trying is not None:
                continue  # how its try in another line ends, brings it back here
            if self._yields(line, now):
                line.at = now + POLITE
                self._wake(key)
                continue
            line.trying = waiter
            waiter.trying = key
            found.append((waiter, key))
        return found

    def granted(self, waiter: Waiter, now: float) -> None:
        """Let a call go that got through: the next one of its line tries at once."""
        line = self.lines.get(waiter.trying)
        if line is not None:
            if line.grants:
                passed = now - line.granted_at
                line.interval += (passed - line.interval) * max(RECENT, 1 / line.grants)
            line.granted_at = now
            line.grants += 1
            line.granted(waiter)
            line.at = now
            self._tell(line)
        self.leave(waiter, now)

    def again(self, waiter: Waiter, doors: Sequence[Door], now: float) -> None:
        """Keep a call waiting that was refused once more: where it is refused now, and with its place among its own."""
        key = waiter.trying
        line = self.lines.get(key)
        waiter.trying = None
        if line is not None:
            line.trying = None
            line.at = now
        wanted = {door for door, _ in doors}
        for other in [each for each in waiter.keys if each not in wanted]:
            waiter.keys.remove(other)
            self._empty(other, waiter)
        for door, at in doors:
            held = self.lines.get(door)
            if held is not None and (door == key or at > held.at) and held.trying is None:
                held.at = at
        self._stand(waiter, doors)
        for other in {*waiter.keys, key}:
            self._wake(other)

    def leave(self, waiter: Waiter, now: float) -> None:
        """Let a call go that does not wait any more: its caller hung up, its time is up, or it got through."""
        if waiter not in self._waiters:
            return
        self._waiters.remove(waiter)
        self.held -= waiter.size
        crowd = self._crowds[waiter.flow]
        crowd.calls -= 1
        crowd.size -= waiter.size
        if not crowd.calls:
            del self._crowds[waiter.flow]
        elif len(crowd.heap) > 2 * crowd.calls + 16:
            crowd.heap = [entry for entry in crowd.heap if entry[3] in self._waiters]
            heapify(crowd.heap)
        if len(self._deadlines) > 2 * len(self._waiters) + 64:
            self._deadlines = [entry for entry in self._deadlines if entry[2] in self._waiters]
            heapify(self._deadlines)
        key, waiter.trying = waiter.trying, None
        if key is not None and key in self.lines:
            line = self.lines[key]
            line.trying = None
            line.at = min(line.at, now)
        for each in waiter.keys:
            self._empty(each, waiter)
            self._wake(each)
        waiter.keys = []

    def open(self, key: Key, at: float) -> bool:
        """Note that something was given back, to be tried for from then on; return whether somebody waits for it."""
        line = self.lines.get(key)
        if line is None:
            return False
        if line.at > at:
            line.at = at
            self._wake(key)
        return True

    def late(self, now: float) -> list[Waiter]:
        """Return whose time is up, and let them go; who is trying is let finish."""
        found: list[Waiter] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, waiter = heappop(self._deadlines)
            if waiter in self._waiters and waiter.deadline <= now:
                if waiter.trying is None:
                    self.leave(waiter, now)
                    found.append(waiter)
                else:
                    waiter.deadline = now + TRYING
                    heappush(self._deadlines, (waiter.deadline, waiter.number, waiter))
        return found

    def hurry(self, until: float) -> None:
        """Let nobody wait longer than until then."""
        for waiter in self._waiters:
            if waiter.deadline > until:
                waiter.deadline = until
                heappush(self._deadlines, (until, waiter.number, waiter))

    def wake(self) -> float | None:
        """Return when `due` and `late` have something to say, None for never as things stand."""
        while self._wakes:
            at, _, key = self._wakes[0]
            line = self.lines.get(key)
            if line is not None and line.at == at and line.trying is None:
                break
            heappop(self._wakes)
        while self._deadlines and self._deadlines[0][2] not in self._waiters:
            heappop(self._deadlines)
        upcoming = [entries[0][0] for entries in (self._wakes, self._deadlines) if entries]
        return min(upcoming, default=None)

    def _stand(self, waiter: Waiter, doors: Sequence[Door]) -> None:
        """Put a call into the lines where it does not stand yet."""
        for key, at in doors:
            if key in waiter.keys:
                continue
            line = self.lines.get(key)
            if line is None:
                line = self.lines[key] = Line(at, key, self.boards)
                if self.boards is not None:
                    line.board = self.boards.stand(key)
                    self._tell(line)
            line.join(waiter)
            waiter.keys.append(key)
            self._tell(line)
            self._wake(key)

    def _empty(self, key: Key, waiter: Waiter) -> None:
        line = self.lines[key]
        line.leave(waiter)
        if not line:
            del self.lines[key]
            if self.boards is not None:
                self.boards.depart(line.board)
        else:
            self._tell(line)

    def _tell(self, line: Line) -> None:
        """Let other workers know who is next here, and hear how far their lines are."""
        if self.boards is not None and line.board is not None:
            line.virtual = max(line.virtual, self.boards.tell(line.board, line.start(), line.virtual))

    def _yields(self, line: Line, now: float) -> bool:
        """Return whether a line stands back for one of another worker, whose next call comes before."""
        boards = self.boards
        if boards is None or line.board is None or boards.first(line.board, line.start()):
            line.yields = 0.0
            return False
        line.yields = line.yields or now
        if now - line.yields > PATIENCE:
            line.yields = 0.0
            return False
        return True

    def _wake(self, key: Key | None) -> None:
        line = self.lines.get(key)
        if line is not None and line.trying is None:
            self._serial += 1
            heappush(self._wakes, (line.at, self._serial, key))

    def _least(self) -> Waiter | None:
        """Return who gives way where there is no room."""
        by_size = self.held > self.room

        def part(crowd: Crowd) -> float:
            return (crowd.size if by_size else crowd.calls) / crowd.weight

        crowds = self._crowds.values()
        found = self._least_of(max(crowds, key=part))
        if found is None:  # all that it has is a call that tries
            found = next(filter(None, map(self._least_of, sorted(crowds, key=part, reverse=True))), None)
        return found

    def _least_of(self, crowd: Crowd) -> Waiter | None:
        kept = []
        found = None
        while crowd.heap and found is None:
            entry = heappop(crowd.heap)
            if entry[3] in self._waiters:
                kept.append(entry)
                if entry[3].trying is None:
                    found = entry[3]
        for entry in kept:
            heappush(crowd.heap, entry)
        return found
