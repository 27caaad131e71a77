"""Say which functions of a worker cost what per call, by running its gateway in this process under a profile.

Two ways. Samples (the default) are taken a few hundred times per second of CPU, by interrupting and asking where the
code is: little weight, but a stretch of C code is put on the Python function that calls it or runs next. Counts come
from cProfile: every function with its calls, C functions by name, but small Python functions look dearer than they are.
Both are scaled to the CPU of a call measured without any profile: read shares, not absolutes.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import CodeType, FrameType

import msgspec
import uvloop

from bench import bodies, caller, certificates, machine, mocks, subjects, wrk
from bench.mocks import Mocks
from portico.config.load import load
from portico.gateway import Gateway
from portico.wire.server import Server


class Samples:
    """Where the code was at each interruption: by function, alone and with everything it called."""

    def __init__(self) -> None:
        self.alone: Counter[CodeType] = Counter()
        self.within: Counter[CodeType] = Counter()
        self.taken = 0

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _take(self, _: int, frame: FrameType | None) -> None:
        self.taken += 1
        if frame is not None:
            self.alone[frame.f_code] += 1
        seen: set[CodeType] = set()
        while frame is not None:
            if frame.f_code not in seen:
                seen.add(frame.f_code)
                self.within[frame.f_code] += 1
            frame = frame.f_back

    def told(self, cost: float, top: int) -> str:
        """Return a table: µs of a call alone and with callees, for the `top` functions."""
        lines = [f"{'µs alone':>9} {'µs within':>10}   function"]
        for code, count in self.alone.most_common(top):
            alone, within = count / self.taken * cost, self.within[code] / self.taken * cost
            lines.append(
                f"{alone:9.2f} {within:10.2f}   {_place(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}"
            )
        return "\n".join(lines)


def _place(file: str) -> str:
    path = Path(file)
    return "/".join(path.parts[-3:]) if path.is_absolute() else file


def counted(profile: cProfile.Profile, calls: int, cost: float, top: int) -> str:
    """Return a table from cProfile: calls of each function for one call of the gateway, and µs scaled to `cost`."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # the mapping that print_stats reads
    total = sum(entry[2] for entry in stats.values())
    lines = [f"{'calls':>7} {'µs alone':>9} {'µs within':>10}   function"]
    for (file, line, name), (_, times, alone, within, _) in sorted(stats.items(), key=lambda item: -item[1][2])[:top]:
        place = f"{_place(file)}:{line} {name}" if line else name
        lines.append(f"{times / calls:7.2f} {alone / total * cost:9.2f} {within / total * cost:10.2f}   {place}")
    return "\n".join(lines)


class Load:
    """What drives the gateway: wrk for whole calls, the counting client for streams, on the load's core."""

    def __init__(self, port: int, options: argparse.Namespace, folder: Path, prefix: list[str]) -> None:
        self.port, self.options, self.folder, self.prefix = port, options, folder, prefix
        self.upstream = "paced" if options.stream else "tls" if options.tls else "plain"

    def run(self, seconds: float) -> int:
        """Drive it and return how many calls, or events, came back."""
        model, headers = f"bench-{self.upstream}", subjects.JSON_HEADERS
        if self.options.stream:
            job = caller.Job(
                kind="streams", host="127.0.0.1", port=self.port, path=subjects.PATH, headers=headers, model=model,
                count=768, events=int(seconds * 50), pace=20, include_usage=not self.options.hide_usage,
            )  # fmt: skip
            return self._events(job)
        body, lua = self.folder / "body.json", self.folder / "load.lua"
        body.write_bytes(bodies.body(bodies.SIZES[self.options.size], model))
        lua.write_text(wrk.script(body, headers))
        load = wrk.run(
            f"http://127.0.0.1:{self.port}{subjects.PATH}", lua, connections=64, seconds=seconds, prefix=self.prefix
        )
        if load.failed:
            raise wrk.LoadFailed(f"{load.failed} of {load.requests} calls failed")
        return load.requests

    def _events(self, job: caller.Job) -> int:
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "bench.caller"],
            input=msgspec.json.encode(job),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(machine.ROOT)},
            check=True,
        )
        outcome = msgspec.json.decode(done.stdout, type=caller.Outcome)
        if outcome.faults:
            raise wrk.LoadFailed(f"streams failed: {outcome.faults}")
        return outcome.delivered


async def measure(options: argparse.Namespace, upstreams: Mocks, folder: Path, prefix: list[str]) -> str:
    """Serve from this loop and drive it twice: without a profile for the cost of a call, and with one."""
    config = folder / "portico.yaml"
    config.write_text(subjects.portico_config(upstreams, 0, folder / "data"))
    with (folder / "records").open("wb") as records:
        gateway = Gateway(load(config, os.environ).config, relay=None, records=records.fileno())
        await gateway.start()
        schema = gateway.snapshot.config.server
        server = Server(gateway.handle, schema.limits, schema.timeouts, begin=gateway.begin)
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", 0))
            await server.listen(listening)
            driver = Load(listening.getsockname()[1], options, folder, prefix)
            await asyncio.to_thread(driver.run, 1)
            before = time.process_time()
            calls = await asyncio.to_thread(driver.run, options.seconds)
            cost = (time.process_time() - before) / calls * 1e6
            table = await _profiled(options, driver, cost)
            await server.close()
            await gateway.close()
    unit = "event" if options.stream else "call"
    return f"{cost:.1f} µs of CPU a {unit} ({calls:,} of them, this process, no profile)\n\n{table}"


async def _profiled(options: argparse.Namespace, driver: Load, cost: float) -> str:
    if options.counts:
        profile = cProfile.Profile()
        profile.enable()
        calls = await asyncio.to_thread(driver.run, options.seconds)
        profile.disable()
        return counted(profile, calls, cost, options.top)
    samples = Samples()
    samples.start()
    await asyncio.to_thread(driver.run, options.seconds)
    samples.stop()
    return samples.told(cost, options.top)


def main(arguments: list[str] | None = None) -> int:
    """Profile what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench/profile.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", action="store_true", help="count every call of every function (cProfile)")
    parser.add_argument("--size", choices=bodies.SIZES, default="1 KB", help="size of the request")
    parser.add_argument("--tls", action="store_true", help="over TLS to the upstream")
    parser.add_argument(
        "--stream", action="store_true", help="768 streams of an event each 20 ms instead of whole calls"
    )
    parser.add_argument("--hide-usage", action="store_true", help="callers of streams do not ask for usage")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each of the two runs")
    parser.add_argument("--top", type=int, default=40, help="functions to show")
    options = parser.parse_args(arguments)
    if not shutil.which("wrk"):
        print("SKIPPED the profile: wrk is not installed", file=sys.stderr)
        return 3
    subject_core, load_core = machine.cores()
    if subject_core:
        os.sched_setaffinity(0, {int(subject_core[-1])})
    with tempfile.TemporaryDirectory(prefix="portico-profile-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        upstreams = stack.enter_context(mocks.upstreams(folder, load_core, certificates.make(folder)))
        print(uvloop.run(measure(options, upstreams, folder, load_core)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
