"""A million calls and 20,000 broken ones to Portico: does its memory come to rest, and does it still serve."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench import bodies, breaker, certificates, checks, machine, mocks, procfs, subjects, wrk
from bench.figures import spread
from bench.machine import Missing
from bench.results import Result
from bench.scenarios import Row
from bench.subjects import Subject

SLICES = 20
RATE_SECONDS = 3.0


def run(folder: Path, result: Result, *, calls: int, broken: int, say: Callable[[str], None]) -> None:
    """Add the rows of a soak to `result`.

    The work comes in twenty equal slices, each of whole calls and then broken ones. The plateau is the median of the
    readings after the third to sixth slice (by then every pool and cache has its size); growth is the median of the
    last four over it.
    """
    subject_core, load_core = machine.cores()
    with ExitStack() as stack:
        upstreams = stack.enter_context(mocks.upstreams(folder, load_core, certificates.make(folder)))
        try:
            subject = stack.enter_context(subjects.portico(upstreams, folder, subject_core))
            checks.check(subject)
        except Missing as missing:
            result.skip("portico", str(missing), say)
            return
        result.versions["portico"] = subject.version
        readings, done, faults, ends = _slices(subject, folder, load_core, result, calls, broken, say)
        plateau, end = spread(readings[2:6]).median, spread(readings[-4:]).median
        values = {
            "calls": float(done),
            "broken": float(sum(ends.values())),
            "plateau": plateau,
            "end": end,
            "growth": end / plateau,
        }
        checks.check(subject)  # raises when it serves no more
        result.rows.append(Row("soak", "portico", 0, values, dict(faults)))
        result.notes += [f"broken calls ended: {end}: {count:,}" for end, count in sorted(ends.items())]


def _slices(
    subject: Subject, folder: Path, load_core: list[str], result: Result, calls: int, broken: int,
    say: Callable[[str], None],
) -> tuple[list[float], int, Counter[str], Counter[str]]:  # fmt: skip
    place = subject.places["plain"]
    body, lua = folder / "soak.json", folder / "soak.lua"
    body.write_bytes(bodies.body(bodies.CHAT, place.model))
    lua.write_text(wrk.script(body, place.headers))
    begun, done = time.monotonic(), 0
    readings: list[float] = []
    faults: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for part in range(SLICES):
        while done < calls * (part + 1) // SLICES:
            load = wrk.run(place.url, lua, connections=64, seconds=RATE_SECONDS, prefix=load_core)
            done += load.requests
            if load.failed:
                faults["whole call failed"] += load.failed
            if not load.requests:
                raise wrk.LoadFailed("portico answers no call any more")
        share = broken * (part + 1) // SLICES - broken * part // SLICES
        outcome = _break(subject, load_core, share, seed=part)
        faults.update(outcome.faults)
        ends.update(outcome.ends)
        time.sleep(1.0)
        memory = procfs.footprints(procfs.tree(subject.roots))
        readings.append(float(sum(one.rss for one in memory)))
        result.rows.append(Row("soak memory", "portico", round(time.monotonic() - begun), {"rss": readings[-1]}))
        say(f"  slice {part + 1}: {done:,} calls, {sum(ends.values()):,} broken, {readings[-1] / 1024 / 1024:.1f} MB")
    return readings, done, faults, ends


def _break(subject: Subject, load_core: list[str], count: int, seed: int) -> breaker.Outcome:
    place = subject.places["paced"]
    job = breaker.Job(
        host="127.0.0.1",
        port=place.port,
        path=place.path,
        headers=place.headers,
        model=place.model,
        count=count,
        seed=seed,
    )
    done = subprocess.run(
        [*load_core, sys.executable, "-m", "bench.breaker"],
        input=msgspec.json.encode(job),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(machine.ROOT)},
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise wrk.LoadFailed(done.stderr.decode(errors="replace").strip()[-600:])
    return msgspec.json.decode(done.stdout, type=breaker.Outcome)
