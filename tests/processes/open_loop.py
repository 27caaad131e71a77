"""Calls of several teams that come when they come, whatever becomes of those before: a light program of its own.

A job comes as JSON on standard input, the outcome goes as JSON to standard output. All times of arrival are drawn
before the first call, and what a call takes counts from then on, so that a load that falls behind cannot hide it.
"""

import asyncio
import gc
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import cast

import httptools
import msgspec
import uvloop

AHEAD = 16
"""Connections of each team that are there before its first call."""


class Caller(msgspec.Struct):
    """One team: its gateway key, and how many calls a second it makes."""

    key: str
    rate: float


class Job(msgspec.Struct, kw_only=True):
    """What to do: calls for so many seconds, of which those that come in the first `warm` ones are not counted.

    Each call has one of the bodies, drawn with its time.
    """

    host: str
    port: int
    path: str
    bodies: list[str]
    callers: dict[str, Caller]
    seconds: float
    warm: float
    seed: int


class Told(msgspec.Struct, kw_only=True):
    """What became of the calls of one team: how often each status came (0 for none), and what each 200 took, in s."""

    statuses: dict[int, int]
    took: list[float]


class Outcome(msgspec.Struct, kw_only=True):
    """What came back, by team. `late` is by how many seconds all calls but one in a hundred were sent late at most."""

    teams: dict[str, Told]
    late: float


class Line(asyncio.Protocol):
    """One connection to the gateway, of one team; it carries a call at a time."""

    def __init__(self, over: Callable[["Line", int], None]) -> None:
        self.due = 0.0
        self.busy = False
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's have no common class with asyncio's
        self._parser = httptools.HttpResponseParser(self)

    def send(self, request: bytes, due: float) -> None:
        self.due, self.busy = due, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._end(self._parser.get_status_code())

    def connection_lost(self, error: Exception | None) -> None:
        if self.busy:
            self._end(0)

    def close(self) -> None:
        self._transport.close()

    def _end(self, status: int) -> None:
        self.busy = False
        self._over(self, status)


class Team:
    """The calls of one team, and their connections."""

    def __init__(self, job: Job, caller: Caller, loop: asyncio.AbstractEventLoop, counted: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.took: list[float] = []
        self.open = 0
        self.idle: list[Line] = []
        self._job = job
        self._loop = loop
        self._counted = counted
        head = (
            f"POST {job.path} HTTP/1.1\r\nHost: {job.host}:{job.port}\r\nAuthorization: Bearer {caller.key}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._requests = [f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in job.bodies]

    async def line(self) -> Line:
        _, protocol = await self._loop.create_connection(lambda: Line(self._over), self._job.host, self._job.port)
        return protocol

    async def call(self, due: float, body: int) -> None:
        """Make a call on a new connection."""
        try:
            (await self.line()).send(self._requests[body], due)
        except OSError:
            self._count(due, 0)

    def send(self, due: float, body: int) -> asyncio.Task[None] | None:
        """Make a call whose time has come; return what is still to be done for it where no connection is free."""
        self.open += 1
        if self.idle:
            self.idle.pop().send(self._requests[body], due)
            return None
        return self._loop.create_task(self.call(due, body))

    def _over(self, line: Line, status: int) -> None:
        if status:
            self.idle.append(line)
        self._count(line.due, status)

    def _count(self, due: float, status: int) -> None:
        self.open -= 1
        if due < self._counted:
            return
        self.statuses[status] += 1
        if status == 200:
            self.took.append(self._loop.time() - due)


async def work(job: Job) -> Outcome:
    """Do a job, until its last call has its answer."""
    loop = asyncio.get_running_loop()
    draw = random.Random(job.seed)
    drawn: list[tuple[float, str, int]] = []
    for name, caller in job.callers.items():
        at = draw.expovariate(caller.rate)
        while at < job.seconds:
            drawn.append((at, name, draw.randrange(len(job.bodies))))
            at += draw.expovariate(caller.rate)
    drawn.sort()
    began = loop.time() + 1.0
    teams = {name: Team(job, caller, loop, began + job.warm) for name, caller in job.callers.items()}
    for team in teams.values():
        team.idle = [await team.line() for _ in range(AHEAD)]
    gc.disable()  # a pause here would be read as a pause there
    late: list[float] = []
    connecting: set[asyncio.Task[None]] = set()
    for at, name, body in drawn:
        due = began + at
        now = loop.time()
        if now < due:
            await asyncio.sleep(due - now)
        task = teams[name].send(due, body)
        if task is not None:
            connecting.add(task)
            task.add_done_callback(connecting.discard)
        late.append(loop.time() - due)
    while any(team.open for team in teams.values()):
        await asyncio.sleep(0.02)
    for team in teams.values():
        for line in team.idle:
            line.close()
    told = {name: Told(statuses=dict(team.statuses), took=team.took) for name, team in teams.items()}
    return Outcome(teams=told, late=sorted(late)[int(len(late) * 0.99)])


if __name__ == "__main__":
    done = uvloop.run(work(msgspec.json.decode(sys.stdin.buffer.read(), type=Job)))
    left = memoryview(msgspec.json.encode(done))
    while left:  # more than a pipe holds
        os.set_blocking(1, True)
        left = left[os.write(1, left) :]
