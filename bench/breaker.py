"""The client that breaks calls: every way in which a caller or an upstream can fail, drawn by a seed.

A program of its own (`python -m bench.breaker`): a job comes as JSON on standard input, the outcome goes as JSON to
standard output. Every kind says what may come back; anything else, or nothing in ten seconds, is a fault.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import uvloop

from bench import bodies, pacer

PATIENCE = 10.0


class Job(msgspec.Struct, kw_only=True):
    """What to break: `count` calls, `at_once` together, of `model`, which leads to the paced mock."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    model: str
    count: int
    at_once: int = 50
    seed: int = 0


class Outcome(msgspec.Struct, kw_only=True):
    """How many of each kind came to which end, and which of them were not as they should be."""

    ends: dict[str, int]
    faults: dict[str, int]


@dataclass(frozen=True)
class Kind:
    """One way to break a call: the bytes that are sent, when the caller leaves, and what may come back.

    `leave` is after how many seconds the caller hangs up (None: it waits for the end). `may` are the statuses that are
    right; "closed" stands for a connection closed without a status, "left" for a caller that did not wait.
    """

    name: str
    render: Callable[[Job, random.Random], bytes]
    may: frozenset[str]
    leave: float | None = None


def whole(job: Job, body: bytes, *, without: str = "", extra: str = "", length: int | None = None) -> bytes:
    """Return a request with its headers; `without` leaves one header out, `extra` is put behind them as it is."""
    headers = {
        "Host": f"{job.host}:{job.port}",
        **job.headers,
        "Content-Length": str(len(body) if length is None else length),
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if name != without]
    return f"POST {job.path} HTTP/1.1\r\n{''.join(lines)}{extra}\r\n".encode() + body


def ordered(job: Job, order: pacer.Order, *, stream: bool = False) -> bytes:
    """Return a right request that asks the mock for `order`."""
    if stream:
        return whole(job, bodies.stream_body(job.model, str(order)))
    return whole(job, bodies.marked_body(bodies.CHAT, job.model, str(order)))


def _good(job: Job) -> bytes:
    return ordered(job, pacer.Order())


def _part(request: bytes, rng: random.Random, begin: int, end: int) -> bytes:
    return request[: begin + int(rng.random() * (end - begin))]


def _half_head(job: Job, rng: random.Random) -> bytes:
    request = _good(job)
    return _part(request, rng, 1, request.index(b"\r\n\r\n"))


def _half_body(job: Job, rng: random.Random) -> bytes:
    request = _good(job)
    return _part(request, rng, request.index(b"\r\n\r\n") + 4, len(request) - 1)


def _bad_line(_: Job, rng: random.Random) -> bytes:
    noise = bytes(33 + int(rng.random() * 90) for _ in range(1 + int(rng.random() * 40)))
    return noise + b"\r\n\r\n"


def _chunks(job: Job, _: random.Random) -> bytes:
    return whole(job, b"zz\r\nnot a size\r\n", without="Content-Length", extra="Transfer-Encoding: chunked\r\n")


def _two_lengths(job: Job, _: random.Random) -> bytes:
    return whole(job, b"{}", extra="Content-Length: 3\r\n")


def _large_head(job: Job, _: random.Random) -> bytes:
    return whole(job, b"{}", extra=f"X-Large: {'a' * 100_000}\r\n")


def _wrong_key(job: Job, _: random.Random) -> bytes:
    body = bodies.body(bodies.CHAT, job.model)
    return whole(job, body, without="Authorization", extra="Authorization: Bearer sk-no\r\n")


def _bad_json(job: Job, rng: random.Random) -> bytes:
    return whole(job, _part(bodies.body(bodies.CHAT, job.model), rng, 1, bodies.CHAT - 1))


def _fault(fault: pacer.Fault, *, stream: bool = False) -> Callable[[Job, random.Random], bytes]:
    order = pacer.Order(events=10 if stream else 0, pace=1 if stream else 0, fault=fault)
    return lambda job, _: ordered(job, order, stream=stream)


def _waiting(job: Job, _: random.Random) -> bytes:
    return ordered(job, pacer.Order(wait=2000))


def _streaming(job: Job, _: random.Random) -> bytes:
    return ordered(job, pacer.Order(events=400, pace=5), stream=True)


REFUSED = frozenset({"400", "405", "501", "505", "closed"})
UPSTREAM = frozenset({"500", "502", "503", "504"})
LEFT = frozenset({"left"})
KINDS = (
    Kind("says nothing", lambda _, __: b"", LEFT, leave=0.0),
    Kind("leaves in the headers", _half_head, LEFT, leave=0.02),
    Kind("leaves in the body", _half_body, LEFT, leave=0.02),
    Kind("leaves while waiting", _waiting, LEFT, leave=0.1),
    Kind("leaves in a stream", _streaming, LEFT, leave=0.1),
    Kind("bad request line", _bad_line, REFUSED),
    Kind("no host", lambda job, _: whole(job, b"{}", without="Host"), REFUSED),
    Kind("two lengths", _two_lengths, REFUSED),
    Kind("bad chunks", _chunks, REFUSED),
    Kind("headers too large", _large_head, frozenset({"431", "closed"})),
    Kind("wrong key", _wrong_key, frozenset({"401"})),
    Kind("bad JSON", _bad_json, frozenset({"400"})),
    Kind("unknown model", lambda job, _: whole(job, bodies.body(bodies.CHAT, "bench-nobody")), frozenset({"404"})),
    Kind("upstream cuts", _fault("cut"), UPSTREAM),
    Kind("upstream cuts in the reply", _fault("half"), UPSTREAM),
    Kind("upstream is not HTTP", _fault("garbage"), UPSTREAM),
    Kind("upstream fails", _fault("error"), UPSTREAM),
    Kind("upstream cuts a stream", _fault("midstream", stream=True), frozenset({"200"})),
    Kind("upstream ends a stream early", _fault("half", stream=True), frozenset({"200"})),
)


async def attempt(job: Job, kind: Kind, rng: random.Random) -> str:
    """Break one call and return its end: a status, "closed", "left", "silent" or the name of what went wrong."""
    try:
        reader, writer = await asyncio.open_connection(job.host, job.port)
    except OSError as error:
        return f"connect: {type(error).__name__}"
    try:
        writer.write(kind.render(job, rng))
        if kind.leave is not None:
            await asyncio.sleep(kind.leave)
            return "left"
        async with asyncio.timeout(PATIENCE):
            reply = await reader.readline()
            if b"content-length: 0" not in reply:
                await _rest(reader, streamed=kind.may == {"200"})
        return reply.split(b" ")[1].decode() if reply.startswith(b"HTTP/1.") else "closed"
    except TimeoutError:
        return "silent"
    except OSError:
        return "closed"
    finally:
        writer.close()


async def _rest(reader: asyncio.StreamReader, *, streamed: bool) -> None:
    """Read to the end of a stream (the connection closes or the last chunk came); of another reply, the headers."""
    seen = b""
    while b"\r\n\r\n" not in seen if not streamed else not seen.endswith(b"0\r\n\r\n"):
        piece = await reader.read(65536)
        if not piece:
            break
        seen = (seen + piece)[-4096:]


async def work(job: Job) -> Outcome:
    """Break `count` calls, the kinds drawn evenly by the seed."""
    rng = random.Random(job.seed)
    ends: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    left = job.count

    async def breaker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            kind = KINDS[int(rng.random() * len(KINDS))]
            end = await attempt(job, kind, rng)
            ends[f"{kind.name}: {end}"] += 1
            if end not in kind.may:
                faults[f"{kind.name}: {end}"] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(job.at_once):
            group.create_task(breaker())
    return Outcome(ends=dict(sorted(ends.items())), faults=dict(sorted(faults.items())))


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(uvloop.run(work(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))))
    )
