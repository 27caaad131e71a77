"""A load for a running gateway: so many calls at once for so long, each timed to its first byte and to its end."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from time import perf_counter

import msgspec

from portico.errors import PorticoError
from portico.wire.client import Client, Connection, Deadlines, Origin, Pool, Settings, Sink
from portico.wire.replied import ReplyHead

EXAMPLES = 200
"""Bytes of a refusal that are kept, to show what it said."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, and how much of it.

    `head` is the whole request head, with its blank line. `seconds` ends it, or `calls` when they come first. Replies
    that are `streamed` are read line by line; a whole one holds `end`, where that is given.
    """

    origin: Origin
    head: bytes
    body: bytes
    at_once: int
    seconds: float
    calls: int | None = None
    streamed: bool = False
    end: bytes | None = None
    settings: Settings = Settings()
    deadlines: Deadlines = Deadlines()


class Times(msgspec.Struct, frozen=True):
    """How some durations are spread, in seconds."""

    p50: float
    p90: float
    p99: float
    max: float


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a load.

    `rate` is whole replies a second. `first` runs from the request written to the first byte of the reply's body,
    `whole` to its end; both are of good replies only. `events` are the data lines of streams. `overhead` and `cost`
    are what the gateway itself says in its headers: the first in seconds, the second in dollars. `faults` counts what
    was no good reply, by status or by what broke; `example` is what the first refusal said.
    """

    seconds: float
    good: int
    rate: float
    faults: dict[str, int]
    example: str | None
    first: Times | None
    whole: Times | None
    overhead: Times | None
    events: int
    cost: str | None


class Tally:
    """What is counted while the load runs."""

    def __init__(self) -> None:
        self.begun = self.good = self.events = 0
        self.faults: Counter[str] = Counter()
        self.example: str | None = None
        self.first: list[float] = []
        self.whole: list[float] = []
        self.overhead: list[float] = []
        self.cost: Decimal | None = None

    def fault(self, what: str, said: bytes = b"") -> None:
        """Count what was no good reply."""
        self.faults[what] += 1
        if self.example is None and said:
            self.example = said.decode(errors="replace")


class Reply(Sink):
    """The sink of one call: notes when it began and whether it was good."""

    __slots__ = ("_began", "_clock", "_ended", "_finished", "_plan", "_said", "_sent", "_status", "_tail", "_tally")

    def __init__(self, plan: Plan, tally: Tally, ended: "asyncio.Future[None]", clock: Callable[[], float]) -> None:
        self._plan = plan
        self._tally = tally
        self._ended = ended
        self._clock = clock
        self._sent = clock()
        self._began: float | None = None
        self._status = 0
        self._finished = plan.end is None
        self._tail = b""
        self._said = b""

    def head(self, head: ReplyHead) -> None:
        """Take the status, and what the gateway says of itself."""
        self._status = head.status
        for name, value in head.headers:
            if name == b"x-portico-overhead-us" and value.isdigit():
                self._tally.overhead.append(int(value) / 1e6)
            elif name == b"x-portico-cost-usd":
                with contextlib.suppress(InvalidOperation):  # not a number: no figure
                    self._tally.cost = (self._tally.cost or Decimal(0)) + Decimal(value.decode())

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self._began is None:
            self._began = self._clock()
        if self._status != 200:
            self._said = (self._said + chunk)[:EXAMPLES]
        elif self._plan.streamed:
            # a line may be cut anywhere: what has no end yet waits for it
            *lines, self._tail = (self._tail + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._tally.events += 1
                    self._finished = self._finished or (self._plan.end or b"") in line

    def end(self, error: PorticoError | None) -> None:
        """Judge the reply, and let the next call begin."""
        now, tally = self._clock(), self._tally
        if error is not None:
            tally.fault(error.code, error.message.encode())
        elif self._status != 200:
            tally.fault(f"status {self._status}", self._said)
        elif self._plan.streamed and not self._finished:
            tally.fault("stream without its end")
        else:
            tally.good += 1
            tally.whole.append(now - self._sent)
            tally.first.append((self._began if self._began is not None else now) - self._sent)
        if not self._ended.done():
            self._ended.set_result(None)


async def drive(plan: Plan) -> Outcome:
    """Run the load to its end: calls in flight when the time is over are waited for, and count."""
    loop = asyncio.get_running_loop()
    client, tally = Client(loop), Tally()
    pool = client.pool(plan.origin, plan.settings)
    begun = loop.time()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.at_once):
                group.create_task(_caller(plan, pool, tally, begun + plan.seconds))
    finally:
        await client.close()
    return outcome(tally, loop.time() - begun)


async def _caller(plan: Plan, pool: Pool, tally: Tally, until: float) -> None:
    """Make one call after another."""
    loop = asyncio.get_running_loop()
    while loop.time() < until and (plan.calls is None or tally.begun < plan.calls):
        tally.begun += 1
        try:
            connection: Connection = pool.take() or await pool.acquire(loop.time() + plan.deadlines.connect)
        except PorticoError as error:
            tally.fault(error.code, error.message.encode())
            await asyncio.sleep(0.1)  # what refuses connections would be asked thousands of times a second
            continue
        ended = loop.create_future()
        connection.send(plan.head, (plan.body,), Reply(plan, tally, ended, perf_counter), plan.deadlines)
        try:
            await ended
        except asyncio.CancelledError:
            connection.abort()
            raise


def outcome(tally: Tally, seconds: float) -> Outcome:
    """Sum up a tally."""
    return Outcome(
        seconds=seconds,
        good=tally.good,
        rate=tally.good / seconds if seconds else 0.0,
        faults=dict(tally.faults),
        example=tally.example,
        first=times(tally.first),
        whole=times(tally.whole),
        overhead=times(tally.overhead),
        events=tally.events,
        cost=None if tally.cost is None else f"{tally.cost:f}",
    )


def times(durations: Sequence[float]) -> Times | None:
    """Return how durations are spread, by nearest rank; None of none."""
    if not durations:
        return None
    ordered = sorted(durations)
    p50, p90, p99 = (ordered[-(-percent * len(ordered) // 100) - 1] for percent in (50, 90, 99))
    return Times(p50, p90, p99, ordered[-1])
