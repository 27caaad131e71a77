"""The client that counts: streams whose every event is checked, and many slow calls in flight at once.

A program of its own (`python -m bench.caller`), so that it can be pinned to the load's core: a job comes as JSON on
standard input, the outcome goes as JSON to standard output.
"""

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal, cast

import httptools
import msgspec
import uvloop

from bench import bodies, pacer, procfs
from bench.figures import percentile

ENDS = {"chat": pacer.DONE, "messages": b"event: message_stop", "responses": b"event: response.completed"}
"""What a stream of each dialect ends with."""


class Job(msgspec.Struct, kw_only=True):
    """What to do. `watch` are the root processes whose CPU and memory count; `pace` and `wait` are milliseconds."""

    kind: Literal["streams", "calls"]
    host: str
    port: int
    path: str
    headers: dict[str, str]
    model: str
    count: int
    events: int = 0
    pace: int = 0
    wait: int = 0
    seconds: float = 0.0  # calls: how long new ones are begun
    ramp: float = 1.0  # seconds over which the first ones are begun
    limit: float = 60.0  # seconds after which whatever is unfinished counts as such
    include_usage: bool = True
    dialect: Literal["chat", "messages", "responses"] = "chat"  # what callers of streams speak
    watch: list[int] = []
    beside: list[int] = []  # root processes that share the load's core


class Window(msgspec.Struct, kw_only=True):
    """A stretch of steady load: what was delivered in it and what it cost the watched processes."""

    seconds: float
    delivered: int
    cpu: float
    load_cpu: float  # this client and the mock
    rss: int
    largest_rss: int


class Outcome(msgspec.Struct, kw_only=True):
    """What came back. Times are seconds; `faults` counts everything that was not as it should be, by what it was."""

    begun: int
    completed: int
    faults: dict[str, int]
    delivered: int
    expected: int
    first: dict[str, float]  # request written to first event (or whole reply)
    transit: dict[str, float]  # written by the mock to read here
    gap: dict[str, float]  # how far the distance between two events is from the pace, upwards
    window: Window | None
    peak: int = 0


class Tally:
    """What all connections of a job report to."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.begun = self.completed = self.delivered = self.open = self.peak = 0
        self.first: list[float] = []
        self.transit: list[float] = []
        self.gap: list[float] = []

    def enter(self) -> None:
        self.begun += 1
        self.open += 1
        self.peak = max(self.peak, self.open)

    def leave(self, fault: str | None) -> None:
        self.open -= 1
        if fault:
            self.faults[fault] += 1
        else:
            self.completed += 1


class Line(asyncio.Protocol):
    """One HTTP/1.1 connection that carries one call at a time and knows how it ended."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.busy = False
        self.status = 0
        self.ended: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's have no common class with asyncio's

    def call(self, request: bytes) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.busy = True
        self.tally.enter()
        self.sent = time.monotonic_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.over("not HTTP")
            self.transport.close()

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def connection_lost(self, error: Exception | None) -> None:
        self.over("connection lost")

    def over(self, fault: str | None) -> None:
        if self.busy:
            self.busy = False
            self.tally.leave(fault)
            self.ended()


class StreamLine(Line):
    """A call whose reply is a stream; checks that every event is there, once, in order, and its own."""

    def __init__(self, tally: Tally, stream: int, events: int, pace: float, dialect: str = "chat") -> None:
        super().__init__(tally)
        self.end = ENDS[dialect]
        self.repeats = dialect == "responses"
        self.stream, self.events, self.pace = stream, events, pace * 1e6
        self.expected = 0
        self.tail = b""
        self.before = 0
        self.complete = False

    def on_body(self, piece: bytes) -> None:
        now = time.monotonic_ns()
        data = self.tail + piece if self.tail else piece
        cut = data.rfind(b"\n\n") + 2
        if cut < 2:
            self.tail = data
            return
        tally, whole = self.tally, data[:cut]
        self.tail = data[cut:]
        if self.repeats:
            # When its text is whole, a response says it again, several times.
            said, done, _ = whole.partition(b"event: response.output_text.done")
            self.repeats = not done
        else:
            said = b"" if self.end == ENDS["responses"] else whole
        for found in pacer.MARK.finditer(said):
            stream, number, written = int(found[1]), int(found[2]), int(found[3])
            if stream != self.stream:
                tally.faults["event of another stream"] += 1
                continue
            if number < self.expected:
                tally.faults["event twice or out of order"] += 1
                continue
            if number > self.expected:
                tally.faults["event lost"] += number - self.expected
            self.expected = number + 1
            tally.delivered += 1
            tally.transit.append(now - written)
            if self.before:
                tally.gap.append(now - self.before - self.pace)
            else:
                tally.first.append(now - self.sent)
            self.before = now
        self.complete = self.complete or self.end in whole

    def on_message_complete(self) -> None:
        if self.status != 200:
            self.over(f"status {self.status}")
        elif self.expected < self.events:
            self.tally.faults["event lost"] += self.events - self.expected
            self.over("stream ended early")
        else:
            self.over(None if self.complete else "no end mark")
        self.transport.close()


class CallLine(Line):
    """A connection on which one whole call follows another until the time is over."""

    def on_message_begin(self) -> None:
        self.size = 0

    def on_body(self, piece: bytes) -> None:
        self.size += len(piece)

    def on_message_complete(self) -> None:
        if self.status != 200:
            self.over(f"status {self.status}")
        elif self.size < len(bodies.REPLY) // 2:  # a gateway may write the reply anew, shorter by nulls, not by half
            self.over("reply cut")
        else:
            self.tally.delivered += 1
            self.tally.first.append(time.monotonic_ns() - self.sent)
            self.over(None)


def request(job: Job, body: bytes) -> bytes:
    """Return the whole request, headers and body."""
    lines = [f"POST {job.path} HTTP/1.1", f"Host: {job.host}:{job.port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def stream(job: Job, number: int, tally: Tally) -> None:
    """Open one stream and wait for its end."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(number * job.ramp / job.count)
    order = pacer.Order(stream=number, events=job.events, pace=job.pace)
    body = bodies.stream_body(job.model, str(order), include_usage=job.include_usage)
    if job.dialect != "chat":
        from bench.crossing import said  # loads what translates, which no other job needs

        body = said(job.dialect, body, stream=True)
    message = request(job, body)
    try:
        _, line = await loop.create_connection(
            lambda: StreamLine(tally, number, job.events, job.pace, job.dialect), job.host, job.port
        )
    except OSError as error:
        tally.faults[f"connect: {type(error).__name__}"] += 1
        return
    done = asyncio.Event()
    line.ended = done.set
    line.call(message)
    await done.wait()


async def calls(job: Job, number: int, tally: Tally, stop: float) -> None:
    """Make one call after another on one connection, a new one where it was lost, until `stop`."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(number * job.ramp / job.count)
    order = pacer.Order(stream=number, wait=job.wait)
    message = request(job, bodies.marked_body(bodies.CHAT, job.model, str(order)))
    line: CallLine | None = None
    while loop.time() < stop:
        if line is None or line.transport.is_closing():
            try:
                _, line = await loop.create_connection(lambda: CallLine(tally), job.host, job.port)
            except OSError as error:
                tally.faults[f"connect: {type(error).__name__}"] += 1
                await asyncio.sleep(0.1)
                continue
        done = asyncio.Event()
        line.ended = done.set
        line.call(message)
        await done.wait()
    if line is not None:
        line.transport.close()


async def watch(job: Job, tally: Tally, begin: float, end: float) -> Window | None:
    """Measure the watched processes from `begin` to `end` (loop time); memory in the middle."""
    loop = asyncio.get_running_loop()
    if end <= begin:
        return None
    await asyncio.sleep(begin - loop.time())
    start, cpu, load, delivered = loop.time(), _cpu(job.watch), _load(job), tally.delivered
    await asyncio.sleep((begin + end) / 2 - loop.time())
    memory = procfs.footprints(procfs.tree(job.watch))
    await asyncio.sleep(end - loop.time())
    return Window(
        seconds=loop.time() - start,
        delivered=tally.delivered - delivered,
        cpu=_cpu(job.watch) - cpu,
        load_cpu=_load(job) - load,
        rss=sum(one.rss for one in memory),
        largest_rss=procfs.largest(memory),
    )


def _cpu(roots: list[int]) -> float:
    return procfs.cpu_seconds(procfs.tree(roots))


def _load(job: Job) -> float:
    return time.process_time() + _cpu(job.beside)


def summary(nanoseconds: list[float]) -> dict[str, float]:
    """Return p50, p99 and the largest, in seconds; nothing of nothing."""
    if not nanoseconds:
        return {}
    ordered = sorted(nanoseconds)
    return {name: percentile(ordered, percent) / 1e9 for name, percent in (("p50", 50), ("p99", 99), ("max", 100))}


async def work(job: Job) -> Outcome:
    """Do the job: all connections at once, and the measuring beside them."""
    loop = asyncio.get_running_loop()
    tally, start = Tally(), loop.time()
    gc.disable()  # a pause here would be read as a pause there
    if job.kind == "streams":
        lasting = job.events * job.pace / 1000
        tasks = [asyncio.create_task(stream(job, number, tally)) for number in range(job.count)]
        measured = watch(job, tally, start + job.ramp + 0.3, start + lasting - 0.2)
    else:
        stop = start + job.ramp + job.seconds
        tasks = [asyncio.create_task(calls(job, number, tally, stop)) for number in range(job.count)]
        measured = watch(job, tally, start + job.ramp + job.wait / 1000 + 0.2, stop)
    measuring = asyncio.create_task(measured)
    _, late = await asyncio.wait(tasks, timeout=job.limit)
    for task in late:
        task.cancel()
    if late:
        tally.faults["unfinished at the limit"] += len(late)
    return Outcome(
        begun=tally.begun,
        completed=tally.completed,
        faults=dict(tally.faults),
        delivered=tally.delivered,
        expected=job.count * job.events,
        first=summary(tally.first),
        transit=summary(tally.transit),
        gap=summary(tally.gap),
        window=await measuring,
        peak=tally.peak,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(uvloop.run(work(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))))
    )
