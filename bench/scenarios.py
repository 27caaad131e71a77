"""The measurements: one subject, one scenario, one round gives one row of numbers.

A row that holds an error has no figures, only the errors: being fast at refusing is not being fast.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench import bodies, procfs, wrk
from bench.caller import Job, Outcome
from bench.machine import ROOT
from bench.nginx import Upstream
from bench.subjects import Place, Subject

Values = dict[str, float]


@dataclass(frozen=True)
class Row:
    """What one round of one scenario found of one subject."""

    scenario: str
    subject: str
    turn: int
    values: Values
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Extent:
    """How long and how often everything is done. Seconds, unless named otherwise."""

    rounds: int = 3
    busy: float = 3.0  # at 64 connections
    single: float = 2.0  # at one connection
    in_flight: int = 2000
    in_flight_seconds: float = 6.0
    cost_streams: int = 768
    cost_events: int = 250
    held_streams: int = 1500
    held_events: int = 100
    timing_events: int = 150
    rest: float = 60.0
    heavy: tuple[str, ...] | None = None  # the only scenarios for heavy subjects; None: all
    calls: tuple[tuple[str, Upstream], ...] = (
        ("1 KB", "plain"),
        ("14 KB", "plain"),
        ("1 KB", "tls"),
        ("14 KB", "tls"),
    )


QUICK = Extent(
    rounds=1, busy=2.0, single=1.0, in_flight_seconds=3.0, cost_events=150, held_events=50, timing_events=75, rest=10.0,
    calls=(("1 KB", "plain"), ("14 KB", "plain"), ("1 KB", "tls")), heavy=("call 1 KB plain", "stream cost"),
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What a measurement needs besides its subject: the load's core, a folder for scripts, the mock's processes."""

    prefix: list[str]
    folder: Path
    extent: Extent
    mock_roots: list[int]
    cores: tuple[int, int] | None = None  # the subject's and the load's, where they are pinned


DISTURBED = 0.1
"""What others may take of a core, who store another subject's records among them, before a round is measured again;"""
ROUNDS = 4
"""this often at most, in all. No call that fails in any of them is left out."""
LEFT_ALONE, AT_MOST = 1.0, 60.0
"""Seconds without others that are waited for before that, and for how long."""


def call(bench: Bench, subject: Subject, turn: int, size: str, upstream: Upstream) -> Row | None:
    """Whole calls: rate and CPU a call at 64 connections, then latency at one. None: the subject has no such place."""
    place = subject.places.get(upstream)
    if place is None or subject.streams_only or (subject.plain_only and upstream != "plain"):
        return None
    scenario = f"call {size} {upstream}"
    body = bodies.body(bodies.SIZES[size], place.model)
    lua = script(bench, f"{subject.name}-{place.model}", place, size, body)
    if turn == 0:
        # Until each of many callers has called a few times.
        drive(bench, subject, place, lua, 16, 3.0 if subject.heavy or place.keys else 1.0)
    failed = sent = 0
    for again in range(ROUNDS):
        if again:
            left_alone(bench)
        load, cpu, busy, foreign = drive(bench, subject, place, lua, 64, bench.extent.busy)
        failed, sent = failed + load.failed, sent + load.requests
        if foreign <= DISTURBED:
            break
    alone, *_ = drive(bench, subject, place, lua, 1, bench.extent.single)
    failed, sent = failed + alone.failed, sent + alone.requests
    if failed or not load.requests or not alone.requests:
        return Row(scenario, subject.name, turn, {}, {f"failed of {sent}": failed})
    values = {
        "rate": load.rate,
        "busy p50": load.p50,
        "busy p99": load.p99,
        "p50": alone.p50,
        "p99": alone.p99,
        "load core": busy,
        "foreign": foreign,
        "calls": float(load.requests + alone.requests),
    }
    if subject.roots:
        values["cpu"] = cpu / load.requests * 1e6
        values["own core"] = cpu / load.seconds
    return Row(scenario, subject.name, turn, values)


def script(bench: Bench, name: str, place: Place, size: str, content: bytes) -> Path:
    """Write, once, what wrk is to send to a place under this name, and return where."""
    stem = f"{name}-{size.replace(' ', '')}"
    body, lua = bench.folder / f"{stem}.json", bench.folder / f"{stem}.lua"
    if not lua.exists():
        body.write_bytes(content)
        lua.write_text(wrk.script(body, place.headers, place.keys))
    return lua


def drive(
    bench: Bench, subject: Subject, place: Place, lua: Path, connections: int, seconds: float
) -> tuple[wrk.Load, float, float, float]:
    """Run wrk; return what it did, CPU seconds of the subject, how busy load and mock kept their core (0 to 1), and how
    much of either core processes of others took (0 to 1, the worse of the two; 0 where nothing is pinned)."""
    before = procfs.cpu_seconds(procfs.tree(subject.roots))
    others, children, cores = procfs.cpu_seconds(procfs.tree(bench.mock_roots)), _children(), _cores(bench)
    load = wrk.run(place.url, lua, connections=connections, seconds=seconds, prefix=bench.prefix)
    subject.completed += load.requests
    subject.cut += connections
    cpu = procfs.cpu_seconds(procfs.tree(subject.roots)) - before
    spent = procfs.cpu_seconds(procfs.tree(bench.mock_roots)) - others + _children() - children
    own = (cpu, spent)
    foreign = [now - then - mine for now, then, mine in zip(_cores(bench), cores, own, strict=True)]
    return load, cpu, spent / load.seconds, max(0.0, *foreign) / load.seconds


def left_alone(
    bench: Bench, clock: Callable[[], float] = time.monotonic, wait: Callable[[float], None] = time.sleep
) -> bool:
    """Wait until others let both cores be; return whether they did."""
    end = clock() + AT_MOST
    while clock() < end:
        before = _cores(bench)
        wait(LEFT_ALONE)
        if max(now - then for now, then in zip(_cores(bench), before, strict=True)) <= DISTURBED * LEFT_ALONE:
            return True
    return False


def _cores(bench: Bench) -> tuple[float, float]:
    if bench.cores is None:
        return 0.0, 0.0
    busy = procfs.parse_busy((procfs.PROC / "stat").read_text())
    return busy[bench.cores[0]], busy[bench.cores[1]]


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_flight(bench: Bench, subject: Subject, turn: int) -> Row | None:
    """Many calls at once that each take a second: how many came back whole, what they cost, how much memory."""
    extent = bench.extent
    outcome = _caller(
        bench, subject, kind="calls", count=extent.in_flight, wait=1000, seconds=extent.in_flight_seconds, limit=45.0
    )
    if outcome is None:
        return None
    values = {
        "completed": float(outcome.completed),
        "failed": float(sum(outcome.faults.values())),
        "at once": float(outcome.peak),
        "calls": float(outcome.begun),
        **_latency("reply", outcome.first),
        **_window(outcome),
    }
    return Row("in flight", subject.name, turn, values, outcome.faults)


def stream_cost(bench: Bench, subject: Subject, turn: int, *, include_usage: bool = True) -> Row | None:
    """Streams at 20 ms an event: CPU of the subject for each event that arrived."""
    count = bench.extent.cost_streams // (16 if subject.heavy else 1)
    scenario = "stream cost" if include_usage else "stream cost, usage hidden"
    outcome = _caller(
        bench, subject, kind="streams", count=count, events=bench.extent.cost_events, pace=20, limit=60.0,
        include_usage=include_usage,
    )  # fmt: skip
    if outcome is None:
        return None
    return _streams(scenario, subject, turn, outcome)


def streams_held(bench: Bench, subject: Subject, turn: int) -> Row | None:
    """Many streams at 100 ms an event: is every event there, once, in order; and the memory it takes."""
    if subject.heavy:
        return None
    extent = bench.extent
    outcome = _caller(
        bench, subject, kind="streams", count=extent.held_streams, events=extent.held_events, pace=100, limit=60.0
    )
    if outcome is None:
        return None
    return _streams("streams held", subject, turn, outcome)


def stream_timing(bench: Bench, subject: Subject, turn: int) -> Row | None:
    """Eight streams at 20 ms an event: time to the first event, and how evenly the others come."""
    outcome = _caller(
        bench, subject, kind="streams", count=8, events=bench.extent.timing_events, pace=20, ramp=0.16, limit=60.0
    )
    if outcome is None:
        return None
    return _streams("stream timing", subject, turn, outcome)


def _streams(scenario: str, subject: Subject, turn: int, outcome: Outcome) -> Row:
    values = {
        "completed": float(outcome.completed),
        "lost": float(outcome.expected - outcome.delivered),
        "at once": float(outcome.peak),
        "calls": float(outcome.begun),
        **_latency("first", outcome.first),
        **_latency("transit", outcome.transit),
        **_latency("gap", outcome.gap),
        **_window(outcome),
    }
    return Row(scenario, subject.name, turn, values, outcome.faults)


def _latency(name: str, seconds: dict[str, float]) -> Values:
    return {f"{name} {which}": value * 1e6 for which, value in seconds.items()}


def _window(outcome: Outcome) -> Values:
    window = outcome.window
    if window is None or not window.delivered:
        return {}
    values = {"rate": window.delivered / window.seconds, "load core": window.load_cpu / window.seconds}
    if window.rss:  # there is a process to watch
        values |= {
            "cpu": window.cpu / window.delivered * 1e6,
            "own core": window.cpu / window.seconds,
            "rss": float(window.rss),
            "largest rss": float(window.largest_rss),
        }
    return values


def _caller(bench: Bench, subject: Subject, **job: object) -> Outcome | None:
    place = subject.places.get("paced")
    if place is None:
        return None
    whole = Job(
        host="127.0.0.1", port=place.port, path=place.path, headers=place.headers, model=place.model,
        watch=subject.roots, beside=bench.mock_roots, **job,  # type: ignore[arg-type]
    )  # fmt: skip
    outcome = run_caller(bench.prefix, whole)
    subject.completed += outcome.completed
    subject.cut += outcome.begun - outcome.completed
    return outcome


def run_caller(prefix: list[str], job: Job) -> Outcome:
    """Run the client as a program on the load's core; `LoadFailed` with its last words when it fails."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "bench.caller"],
        input=msgspec.json.encode(job),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=job.limit + 60,
        check=False,
    )
    if done.returncode:
        raise wrk.LoadFailed(done.stderr.decode(errors="replace").strip()[-600:])
    return msgspec.json.decode(done.stdout, type=Outcome)


def memory(when: str, subjects: Iterable[Subject], turn: int = 0) -> list[Row]:
    """Resident memory of all processes of each subject, and of the largest of them."""
    rows = []
    for subject in subjects:
        prints = procfs.footprints(procfs.tree(subject.roots))
        if prints:
            values = {
                "rss": float(sum(one.rss for one in prints)),
                "pss": float(sum(one.pss for one in prints)),
                "largest rss": float(procfs.largest(prints)),
                "processes": float(len(prints)),
            }
            rows.append(Row(f"memory {when}", subject.name, turn, values))
    return rows


def settle(seconds: float) -> None:
    """Let everything rest."""
    time.sleep(seconds)
