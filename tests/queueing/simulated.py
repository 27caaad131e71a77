"""Workers, a provider and its callers in simulated time: what lobbies and gates decide, without a loop."""

import itertools
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random

from portico.errors import LimitExceeded
from portico.queueing.line import Waiter
from portico.queueing.lobby import Door, Lobby
from portico.queueing.waiting import SHARED, SOON
from portico.upstream.gate import Gate
from portico.upstream.slots import Slots

NAME = "mock/model"
REFUSED = LimitExceeded("there is no room")
NOTICED = 0.03
"""Seconds that a refusal of the provider's takes."""

Answer = tuple[float, float | None]
"""How long a call takes; and the `Retry-After` of one that is refused (negative for none said), else None."""


class Asked:
    """One call: what its caller wants, and what came of it. `began` is when it was last sent."""

    def __init__(self, team: str, at: float, wait: float, priority: int, weight: float) -> None:
        self.team = team
        self.at = at
        self.deadline = at + wait
        self.priority = priority
        self.weight = weight
        self.began = 0.0
        self.ended = 0.0
        self.refused = False
        self.tries = 0


class Worker:
    """What one worker decides with."""

    def __init__(self, slots: Slots, calls: int, cap: int, adaptive: bool) -> None:
        self.lobby = Lobby(calls, 1 << 30)
        self.lobby.boards = slots
        at = slots.row(NAME)
        assert at is not None
        self.gate = Gate(NAME, slots, at)
        self.gate.bind(cap, adaptive, 1)


class Simulation:
    """Time passes from event to event. `provider` is asked as a call starts: told when, and how many are under way.

    Each of `slots` is one worker's; a call comes to any of them. Without, there is one worker.
    """

    def __init__(
        self,
        provider: Callable[[float, int], Answer],
        *,
        cap: int = 0,
        adaptive: bool = False,
        calls: int = 1000,
        slots: Sequence[Slots] = (),
        seed: int = 0,
    ) -> None:
        self.now = 0.0
        self.workers = [Worker(each, calls, cap, adaptive) for each in slots or (Slots(),)]
        self.asked: list[Asked] = []
        self.sent = self.refusals = 0
        self._random = Random(seed)
        self._provider = provider
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._waiting: dict[Waiter, Asked] = {}

    @property
    def lobby(self) -> Lobby:
        """That of the first worker."""
        return self.workers[0].lobby

    @property
    def gate(self) -> Gate:
        """The gate as the first worker has it."""
        return self.workers[0].gate

    def at(self, when: float, act: Callable[[], None]) -> None:
        heappush(self._events, (when, next(self._numbers), act))

    def callers(
        self,
        random: Random,
        team: str,
        rate: float,
        until: float,
        *,
        since: float = 0.0,
        wait: float = 30.0,
        priority: int = 1,
        weight: float = 1.0,
    ) -> None:
        """Let a team send calls at random times, so many a second."""

        def send() -> None:
            self.arrive(Asked(team, self.now, wait, priority, weight))
            following()

        def following() -> None:
            when = self.now + random.expovariate(rate)
            if when < until:
                self.at(when, send)

        self.at(since, following)

    def run(self) -> None:
        """Let time pass until nothing happens any more."""
        while True:
            wakes = [(wake, at) for at, each in enumerate(self.workers) if (wake := each.lobby.wake()) is not None]
            upcoming = self._events[0][0] if self._events else None
            if not wakes and upcoming is None:
                return
            if upcoming is None or (wakes and min(wakes)[0] <= upcoming):
                wake, at = min(wakes)
                self.now = max(self.now, wake)
                self._look(self.workers[at])
            else:
                self.now, _, act = heappop(self._events)
                act()

    def arrive(self, call: Asked, worker: Worker | None = None) -> None:
        if call.tries == 0:
            self.asked.append(call)
        worker = worker or self._random.choice(self.workers)
        busy = NAME in worker.lobby.lines or self._contested(worker)
        door = (NAME, self.now) if busy else worker.gate.take(self.now)
        if door is None:
            self._begin(call, worker)
            return
        waiter = Waiter(call.team, call.deadline, REFUSED, weight=call.weight, priority=call.priority)
        self._waiting[waiter] = call
        for shed in worker.lobby.join(waiter, [self._politely(door, worker)], self.now):
            self._waiting.pop(shed).refused = True

    def _contested(self, worker: Worker) -> bool:
        assert worker.lobby.boards is not None
        return len(self.workers) > 1 and worker.lobby.boards.others_wait(NAME)

    def _politely(self, door: Door, worker: Worker) -> Door:
        """Return when to try again: more often where other workers wait for the same, as `Waiting` does."""
        if door[1] - self.now <= SOON and self._contested(worker):
            return door[0], self.now + (0.5 + self._random.random()) * SHARED
        return door

    def _look(self, worker: Worker) -> None:
        for late in worker.lobby.late(self.now):
            self._waiting.pop(late).refused = True
        for waiter, _ in worker.lobby.due(self.now):
            door = worker.gate.take(self.now)
            if door is None:
                worker.lobby.granted(waiter, self.now)
                self._begin(self._waiting.pop(waiter), worker)
            else:
                worker.lobby.again(waiter, [self._politely(door, worker)], self.now)

    def _begin(self, call: Asked, worker: Worker) -> None:
        call.began = self.now
        call.tries += 1
        self.sent += 1
        took, retry_after = self._provider(self.now, worker.gate.under_way - 1)

        def end() -> None:
            worker.gate.give_back()
            if retry_after is None:
                call.ended = self.now
                worker.gate.served(self.now)
            else:
                self.refusals += 1
                worker.gate.refused(self.now, call.began, retry_after if retry_after >= 0 else None)
                self.arrive(call, worker)
            worker.lobby.open(NAME, self.now)

        self.at(self.now + took, end)


def p99(calls: list[Asked]) -> float:
    """Return how long all but one in a hundred took, from first to last."""
    took = sorted(call.ended - call.at for call in calls)
    return took[int(len(took) * 0.99)]


class Bucket:
    """A provider that takes so many calls a second, and says when the next one fits."""

    def __init__(self, rate: float, burst: float, random: Random, took: float = 0.4) -> None:
        self.rate = rate
        self.burst = self.left = burst
        self.at = 0.0
        self.random = random
        self.took = took

    def __call__(self, now: float, _: int) -> Answer:
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return NOTICED, (1 - self.left) / self.rate
        self.left -= 1
        return self.random.expovariate(1 / self.took), None


class Crowded:
    """A provider that takes so many calls at once; it refuses more, and may say how long to wait."""

    def __init__(self, most: int, random: Random, took: float = 1.0, retry_after: float | None = None) -> None:
        self.most = most
        self.random = random
        self.took = took
        self.retry_after = -1.0 if retry_after is None else retry_after
        self.served = 0

    def __call__(self, _: float, under_way: int) -> Answer:
        if under_way >= self.most:
            return NOTICED, self.retry_after
        self.served += 1
        return self.random.expovariate(1 / self.took), None
