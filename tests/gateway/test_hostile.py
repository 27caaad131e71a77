"""Hostile callers among good ones: each gets its refusal or a closed connection, and the good ones notice nothing."""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.hostile import cases
from gateway.hostile.draft import GONE, GOOD, LIMITS, MARK, MODEL, NARROW, TIMEOUTS, Case, Send
from gateway_in_loop import provider
from portico.testing.mock import MockProvider
from portico.testing.running import RunningPortico, running_portico

SEED = 20_261_120
PATIENCE = 20.0
"""Seconds within which every connection must have come to its end; the limits above make it one or two."""
AT_ONCE = 64
GOOD_CALLERS = 4
MEGABYTE = 1024 * 1024


def config(mock: MockProvider, **server: Any) -> dict[str, Any]:
    """Return a gateway that loses patience soon, with two providers, so that a model's bare name is not enough."""
    return {
        "server": {"limits": LIMITS, "timeouts": TIMEOUTS, **server},
        "providers": {"mock": provider(mock), "spare": provider(mock)},
        "keys": {
            "good": {"key": GOOD, "passthrough": ["mock"]},
            "narrow": {"key": NARROW, "models": ["mock/small"]},
        },
    }


# One hostile caller


class Line(asyncio.Protocol):
    """A connection that keeps all it hears, also when it is cut."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def play(case: Case, port: int) -> bytes:
    """Send what a case sends, and return all that came back until the gateway closed the connection."""
    loop = asyncio.get_running_loop()
    transport, line = await loop.create_connection(Line, "127.0.0.1", port)
    try:
        if case.deaf:
            transport.pause_reading()
        for step in case.steps:
            if transport.is_closing():
                break
            if isinstance(step, Send):
                for start in range(0, len(step.data), step.size or len(step.data) or 1):
                    if transport.is_closing():
                        break
                    transport.write(step.data[start : start + (step.size or len(step.data))])
                    await asyncio.sleep(step.pace)
            elif step == "half-close":
                transport.write_eof()
            else:
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                transport.close()
        while case.deaf and not transport.is_closing():
            # Who does not read learns by writing that nobody listens any more.
            transport.write(b"\r\n")
            await asyncio.sleep(0.05)
        await line.over
        return bytes(line.heard)
    finally:
        transport.abort()


def replies(heard: bytes, *, bodies: bool) -> list[tuple[int, dict[str, str], bytes]]:
    """Take apart whole replies with told lengths; AssertionError where they are anything else."""
    found = []
    while heard:
        top, blank, rest = heard.partition(b"\r\n\r\n")
        assert blank, f"a reply is cut in its head: {heard[:200]!r}"
        first, *lines = top.decode("latin-1").split("\r\n")
        version, _, words = first.partition(" ")
        assert version == "HTTP/1.1", first
        pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        headers = dict(pairs)
        assert len(headers) == len(pairs), f"a header stands twice: {pairs}"
        status = int(words[:3])
        length = 0 if status == 100 or not bodies else int(headers["content-length"])
        assert len(rest) >= length, f"a reply is cut in its body: {heard[:500]!r}"
        found.append((status, headers, rest[:length]))
        heard = rest[length:]
    return found


def sent(case: Case) -> bytes:
    """Return all that a case sends."""
    return b"".join(step.data for step in case.steps if isinstance(step, Send))


def verdict(case: Case, heard: bytes) -> str | None:
    """Return what is wrong with what came back, None where nothing is."""
    if case.deaf or "reset" in case.steps:
        return None
    try:
        found = replies(heard, bodies=not sent(case).startswith(b"HEAD "))
        for status, headers, body in found:
            if status == 100:
                assert case.waits, "a body was asked for"
                continue
            assert "x-injected" not in headers, "a header was injected"
            error = json.loads(body) if body else {"message": "a reply without a body"}
            assert error.get("error", error)["message"], body
    except (AssertionError, ValueError, KeyError, TypeError) as error:
        return f"{error!r}: {heard[:300]!r}"
    statuses = [status for status, _, _ in found if status != 100]
    for at, allowed in enumerate(case.replies):
        if at == len(statuses):
            # What may be missing may be missing from here on; and a request that was refused before it was all there
            # is the last of its connection.
            if GONE in allowed or (found and found[-1][1].get("connection") == "close" and at and not case.whole):
                return None
            return f"{statuses}, then nothing, not {set(allowed)}"
        if statuses[at] not in allowed:
            return f"{statuses} where {[set(allowed) for allowed in case.replies]} was due: {heard[-300:]!r}"
    if len(statuses) > len(case.replies):
        return f"{statuses}: more replies than {len(case.replies)}"
    return None


class Attack:
    """Plays cases, many at once, and keeps what went wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.played: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def play(self, all_cases: Iterable[Case]) -> None:
        waiting = iter(all_cases)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._play_on(waiting))

    async def _play_on(self, waiting: Iterable[Case]) -> None:
        for case in waiting:
            try:
                async with asyncio.timeout(PATIENCE):
                    wrong = verdict(case, await play(case, self.port))
            except TimeoutError:
                wrong = f"not over after {PATIENCE} s"
            self.played[case.category] += 1
            if wrong is not None:
                self.wrong.append(f"{case.category} {case.number}: {wrong}\n    sent {sent(case)[:200]!r}")

    def report(self) -> str:
        return f"{len(self.wrong)} of {self.played.total()} cases went wrong:\n" + "\n".join(self.wrong[:40])


# Good callers


class GoodCaller:
    """Calls on one connection, whole and streamed in turn, until told to stop; whatever goes wrong is raised."""

    def __init__(self, port: int, stop: asyncio.Event) -> None:
        self.served = 0
        self._port = port
        self._stop = stop

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while not self._stop.is_set():
                async with asyncio.timeout(PATIENCE):
                    await self._call(reader, writer, stream=self.served % 2 == 1)
                self.served += 1
                await asyncio.sleep(0.002)
        finally:
            writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, stream: bool) -> None:
        body = json.dumps(
            {"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "good"}]}
        ).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
            % (GOOD.encode(), len(body), body)
        )
        top = await reader.readuntil(b"\r\n\r\n")
        assert top.startswith(b"HTTP/1.1 200 OK\r\n"), top
        if not stream:
            length = int(top.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert json.loads(await reader.readexactly(length))["choices"]
            return
        events = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            events += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        assert events.endswith(b"data: [DONE]\n\n"), events


@asynccontextmanager
async def good_callers(port: int) -> AsyncIterator[list[GoodCaller]]:
    """Let good callers call while the block runs; one that is not served fails it."""
    stop = asyncio.Event()
    callers = [GoodCaller(port, stop) for _ in range(GOOD_CALLERS)]
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller.run())
        try:
            yield callers
        finally:
            stop.set()


def resident(pid: int | str = "self") -> int:
    """Return the bytes that a process holds in memory (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def sockets(pid: int) -> int:
    """Return how many sockets a process has open (Linux)."""
    found = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += fd.readlink().name.startswith("socket:")
    return found


def test_a_case_depends_on_the_seed_and_its_number_alone() -> None:
    assert list(cases(SEED, 20, start=10)) == list(cases(SEED, 30))[10:]
    assert list(cases(SEED, 5)) != list(cases(SEED + 1, 5))


@pytest.mark.parametrize("seed", [random.Random(SEED).randrange(10**6)])
async def test_a_thousand_hostile_requests_are_refused_and_disturb_nobody(
    portico: Callable[..., Any], mock: MockProvider, seed: int
) -> None:
    async with portico(config(mock)) as gateway:
        async with good_callers(gateway.port) as callers:
            attack = Attack(gateway.port)
            await attack.play(cases(seed, 1000))
        served = sum(caller.served for caller in callers)
        async with asyncio.timeout(PATIENCE):
            while gateway.server.connections:
                await asyncio.sleep(0.01)
        assert attack.wrong == [], attack.report()
        assert served > 100
        assert mock.ledger.totals.calls == mock.ledger.totals.served == served
        assert not [entry for entry in mock.ledger.entries if MARK.encode() in entry.body]
        assert gateway.server.budget.used == 0
        records = gateway.records()
        assert sum(record["status"] == 200 for record in records if record["attempts"]) == served
        assert not [record for record in records if record["status"] >= 500]
        # `serve` of the gateway and of the mock: one for each kept connection between them
        kept = {task for task in asyncio.all_tasks() if "ServerConnection._serve" in repr(task)}
        assert asyncio.all_tasks() - kept == {asyncio.current_task()}


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize("in_processes", [False, True], ids=["in one process", "in real processes"])
async def test_ten_thousand_hostile_requests_leave_nothing_behind(
    portico: Callable[..., Any], mock: MockProvider, in_processes: bool
) -> None:
    if in_processes:
        with running_portico(config(mock), arguments=("--workers", "2")) as running:
            await attacked_processes(running, mock)
        return
    async with portico(config(mock)) as gateway:
        async with good_callers(gateway.port) as callers:
            attack = Attack(gateway.port)
            await attack.play(cases(SEED, 2000))
            before = resident()
            await attack.play(cases(SEED, 8000, start=2000))
            after = resident()
        served = sum(caller.served for caller in callers)
        async with asyncio.timeout(PATIENCE):
            while gateway.server.connections:
                await asyncio.sleep(0.01)
        print(attack.played, served, before // MEGABYTE, after // MEGABYTE)
        assert attack.wrong == [], attack.report()
        assert attack.played.total() == 10_000
        assert mock.ledger.totals.calls == mock.ledger.totals.served == served
        assert gateway.server.budget.used == 0
        # The ledger of the mock, in the same process, keeps what the good callers asked.
        assert after - before < 60 * MEGABYTE


async def attacked_processes(running: RunningPortico, mock: MockProvider) -> None:
    """Attack a whole Portico: its workers live on as they were."""
    port = running.address[1]
    workers = running.workers()
    async with good_callers(port) as callers:
        attack = Attack(port)
        await attack.play(cases(SEED, 2000))
        before = [resident(pid) for pid in workers]
        await attack.play(cases(SEED, 8000, start=2000))
        after = [resident(pid) for pid in workers]
    served = sum(caller.served for caller in callers)
    print(attack.played, served, [size // MEGABYTE for size in before], [size // MEGABYTE for size in after])
    assert attack.wrong == [], attack.report()
    assert running.workers() == workers
    assert mock.ledger.totals.calls == mock.ledger.totals.served == served
    for was, now in zip(before, after, strict=True):
        assert now - was < 16 * MEGABYTE
    async with asyncio.timeout(PATIENCE):
        # What listens, the supervisor's pipe, the loop's own, and kept connections to the mock and to control.
        while max(sockets(pid) for pid in workers) > 20:
            await asyncio.sleep(0.05)
    async with good_callers(port) as callers:
        while min(caller.served for caller in callers) < 5:
            await asyncio.sleep(0.01)
    assert not [line for line in running.errors.lines if "Traceback" in line], "\n".join(running.errors.lines)
