"""The outage drill: a steady load on three limited targets, of which one dies and comes back, and another slows.

`python -m bench.drill` (or `make drill`) runs it with real processes and writes a plot and the figures into the
documentation; it ends with 1 where a promise is not kept. What is measured of it is in `bench.drilled`.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import uvloop

from bench import drilled, machine, plots
from bench.drilled import Drill, Heard, Tried
from portico.testing.running import RunningPortico, eventually, running_portico

DOCS = machine.ROOT / "docs" / "explanation"
MASTER = "sk-master-0123456789"
PATIENCE = 60.0
"""Seconds after which a call that has no answer has failed."""
LATE = 0.5
"""Seconds that a target takes that is slow."""
USUAL = 0.05


class Mock:
    """One target: `portico mock` as a process of its own, limited in calls a second."""

    def __init__(self, folder: Path, name: str, rps: int) -> None:
        self.name = name
        self.port = machine.free_port()
        self._folder = folder
        self._rps = rps
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        say = f"latency={USUAL}&rps={self._rps}&tokens=8&pace=0.005"
        command = [sys.executable, "-m", "portico", "mock", "--port", str(self.port), "--say", say]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(lambda: machine.listening(self.port), f"the target {self.name} listens")

    def kill(self) -> None:
        """End it as a machine that fails does: with all that it has under way."""
        if self._process is not None:
            self._process.kill()  # one that stands still, too
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Let it stand still: it takes connections, and says nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on where it stood still."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def slow(self, seconds: float) -> None:
        """Let it take this long to answer, from now on."""
        body = json.dumps({"always": f"latency={seconds}"}).encode()
        request = urllib.request.Request(f"{self.url}/_mock/script", body)
        with urllib.request.urlopen(request, timeout=5) as reply:
            reply.read()


def configuration(mocks: list[Mock], drill: Drill, *, hang: bool) -> dict[str, object]:
    """Return what the gateway is given: three targets under one name."""
    # One that stands still is found out by its deadlines alone.
    timeouts = {"timeouts": {"connect": "1s", "first_byte": "2s"}} if hang else {}
    return {
        **timeouts,
        "server": {"master_key": MASTER},
        "providers": {
            mock.name: {"like": "openai", "base_url": f"{mock.url}/v1", "api_key": "sk-drill-0123456789"}
            for mock in mocks
        },
        "prices": {f"{mock.name}/m": {"input": 1.0, "output": 2.0} for mock in mocks},
        # Where all that stand are at their limits, a call waits for its turn.
        "queue": {"wait": drill.wait},
        "models": {
            "drill": {
                "strategy": "power_of_two",
                "resume": True,
                "targets": [f"{mock.name}/m" for mock in mocks],
            }
        },
    }


class Callers:
    """Calls that come at a rate, whatever becomes of those before: half of them streamed."""

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        self._address = address
        self._draw = random.Random(seed)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.heard: list[Heard] = []

    async def run(self, rate: float, seconds: float, began: float) -> None:
        """Make calls for so long. Times are from `began` on, of the monotonic clock."""
        number = 0
        due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while (due := due + self._draw.expovariate(rate)) < began + seconds:
                await asyncio.sleep(due - time.monotonic())
                number += 1
                group.create_task(self._one(number, streamed=number % 2 == 0, began=began))
        for _, writer in self._idle:
            writer.close()

    async def _one(self, number: int, *, streamed: bool, began: float) -> None:
        at = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                end = await self._call(number, streamed=streamed)
        except TimeoutError:
            end = "no answer"
        except (OSError, asyncio.IncompleteReadError) as error:
            end = type(error).__name__
        self.heard.append(Heard(at - began, time.monotonic() - at, end))

    async def _call(self, number: int, *, streamed: bool) -> str:
        """Return how a call ended: "served", or what its caller saw instead."""
        message = {"role": "user", "content": f"drill {number}"}
        body = json.dumps({"model": "drill", "messages": [message], "stream": streamed}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: drill\r\nAuthorization: Bearer {MASTER}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        line = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        reader, writer = line
        try:
            writer.write(head.encode() + body)
            status, reply = await read_reply(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append(line)
        if status != 200:
            return f"{status} {json.loads(reply)['error']['code']}"
        if streamed:
            return "served" if reply.rstrip().endswith(b"data: [DONE]") and b'"error"' not in reply else "cut stream"
        return "served" if json.loads(reply)["choices"][0]["finish_reason"] == "stop" else "no whole answer"


async def read_reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of a reply with a length or in chunks; IncompleteReadError for one that breaks off."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" not in head:
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        return status, await reader.readexactly(length)
    body = b""
    while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return status, body


async def staged(drill: Drill, mocks: list[Mock], began: float, say: Callable[[str], None], *, hang: bool) -> float:
    """Do to the targets what the drill says, when it says so; return when the dead one could serve again."""
    loop = asyncio.get_running_loop()
    dead, slow = mocks[0], mocks[2]
    back = 0.0
    for at, what in drill.steps:
        await asyncio.sleep(began + at - time.monotonic())
        say(f"{at:5.1f} s  {what}")
        if what == drilled.DIES:
            await loop.run_in_executor(None, dead.hang if hang else dead.kill)
        elif what == drilled.RETURNS:
            await loop.run_in_executor(None, dead.go_on if hang else dead.start)
            back = time.monotonic() - began
        elif what in (drilled.SLOWS, drilled.RECOVERS):
            await loop.run_in_executor(None, slow.slow, LATE if what == drilled.SLOWS else USUAL)
    return back


@contextmanager
def targets(folder: Path, drill: Drill) -> Iterator[list[Mock]]:
    """Run the three targets for the block."""
    with ExitStack() as stack:
        mocks = [Mock(folder, name, drill.limit) for name in drilled.TARGETS]
        for mock in mocks:
            stack.callback(mock.kill)
            mock.start()
        yield mocks


def tried(portico: RunningPortico, began_wall: float) -> list[Tried]:
    """Return every attempt that the records of calls name, in seconds from the beginning on."""
    found = []
    for line in portico.records.lines:
        record = json.loads(line)
        came = record["time_ms"] / 1000 - began_wall
        for attempt in record["attempts"]:
            at = came + attempt.get("started_us", 0) / 1e6
            good = attempt.get("status", 0) == 200 and not attempt.get("error")
            found.append(Tried(at, attempt["target"].partition("/")[0], good))
    return found


def run(drill: Drill, seed: int, say: Callable[[str], None], *, hang: bool = False) -> drilled.Outcome:
    """Run the drill with real processes, and return what came of it. With `hang`, one stands still and does not die."""
    with (
        tempfile.TemporaryDirectory(prefix="portico-drill-") as name,
        targets(Path(name), drill) as mocks,
        running_portico(configuration(mocks, drill, hang=hang), arguments=("--workers", "2")) as portico,
    ):

        async def both() -> tuple[Callers, float, float]:
            callers = Callers(portico.address, seed)
            began, wall = time.monotonic(), time.time()
            async with asyncio.TaskGroup() as group:
                staging = group.create_task(staged(drill, mocks, began, say, hang=hang))
                group.create_task(callers.run(drill.rate, drill.seconds, began))
            return callers, staging.result(), wall

        callers, back, wall = uvloop.run(both())
        eventually(lambda: len(portico.records) >= len(callers.heard), "every call has its record")
        return drilled.outcome(drill, callers.heard, tried(portico, wall), back)


def main(arguments: list[str]) -> int:
    """Run the drill, write plot and figures, and say whether what is promised was kept."""
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="calls a second")
    parser.add_argument("--limit", type=int, default=95, help="calls a second that each target takes")
    parser.add_argument("--scale", type=float, default=1.0, help="of how long each phase lasts")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hang", action="store_true", help="let the target stand still in place of dying")
    parser.add_argument("--into", type=Path, default=DOCS, help="the folder for drill.svg and drill.json")
    given = parser.parse_args(arguments)
    drill = drilled.of(given.rate, given.limit, given.scale)
    outcome = run(drill, given.seed, lambda line: print(line, flush=True), hang=given.hang)
    given.into.mkdir(parents=True, exist_ok=True)
    about = {"drill": msgspec.to_builtins(drill), "machine": machine.described()}
    figures = {**msgspec.to_builtins(outcome.figures), **about}
    (given.into / "drill.json").write_text(json.dumps(figures, indent=2) + "\n")
    (given.into / "drill.svg").write_text(plots.lanes("Three targets through an outage", outcome.lanes, drill.steps))
    print(json.dumps(msgspec.to_builtins(outcome.figures), indent=2))
    broken = outcome.figures.broken_promises()
    for promise in broken:
        print(f"NOT KEPT: {promise}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
