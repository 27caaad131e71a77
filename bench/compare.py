"""Compare Portico with its peers: the same mock upstream, the same load, the same minutes.

Every subject is started once on one core; mock upstream and load share another. For each scenario the rounds are
interleaved (A B C A B C …), so that whatever else the machine does hits all alike, and ratios are taken within a round.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import certificates, checks, crossing, installing, machine, mocks, report, scenarios, soak, subjects, wrk
from bench.machine import Missing
from bench.mocks import Mocks
from bench.results import Records, Result
from bench.scenarios import Bench, Extent, Row
from bench.subjects import Subject

Scenario = Callable[[Bench, Subject, int], Row | None]
INSTALLED_PEERS = ("litellm", "portkey")


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 0 when Portico was measured and every call to it ended well."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about two minutes; peers only where already installed")
    parser.add_argument("--only", default="", help=f"subjects, by comma: {', '.join(subjects.SUBJECTS)}")
    parser.add_argument("--scenario", default="", help="only scenarios whose name holds this")
    parser.add_argument("--rounds", type=int, help="rounds of each scenario")
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead of tables")
    parser.add_argument("--soak", action="store_true", help="a million calls and 20,000 broken ones to Portico alone")
    parser.add_argument("--soak-calls", type=int, default=1_000_000, help="whole calls of the soak")
    parser.add_argument("--soak-broken", type=int, default=20_000, help="broken calls of the soak")
    parser.add_argument("--out", type=Path, default=machine.ROOT / "bench" / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what was started is stopped too
    chosen = [name for name in options.only.split(",") if name] or list(subjects.SUBJECTS)
    unknown = [name for name in chosen if name not in subjects.SUBJECTS]
    if unknown:
        parser.error(f"no subject is called {', '.join(unknown)}; there are {', '.join(subjects.SUBJECTS)}")
    extent = scenarios.QUICK if options.quick else Extent()
    if options.rounds:
        extent = _with_rounds(extent, options.rounds)
    try:
        machine.require("wrk", "wrk")
        machine.require("nginx", "nginx-light")
    except Missing as missing:
        say(f"SKIPPED the whole comparison: {missing}")
        return 3
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker runs as another user
        result = Result(machine=machine.described(), began=time.time(), quick=options.quick)
        if options.soak:
            soak.run(folder, result, calls=options.soak_calls, broken=options.soak_broken, say=say)
        else:
            _compare(folder, result, chosen, extent, options.scenario, quick=options.quick and not options.only)
    result.seconds = time.time() - result.began
    paths = report.write(result, options.out)
    print(report.as_json(result) if options.json else report.as_text(result))
    for path in paths:
        say(f"wrote {path}")
    return 0 if result.sound() else 1


def say(words: str) -> None:
    """Tell the person at the terminal; standard output is the result's."""
    print(words, file=sys.stderr, flush=True)


def _with_rounds(extent: Extent, rounds: int) -> Extent:
    return replace(extent, rounds=rounds)


def _compare(folder: Path, result: Result, chosen: list[str], extent: Extent, only: str, *, quick: bool) -> None:
    subject_core, load_core = machine.cores()
    if not subject_core:
        result.skipped["pinning"] = "one core, or no taskset: subject, mock and load share everything"
        say(f"WARNING {result.skipped['pinning']}")
    with ExitStack() as stack:
        upstreams = stack.enter_context(mocks.upstreams(folder, load_core, certificates.make(folder)))
        started = []
        for name in chosen:
            if quick and name in INSTALLED_PEERS and not installing.cached(name):
                result.skip(name, "not installed yet, and this is the quick run", say)
                continue
            subject = _start(stack, name, upstreams, folder, subject_core, result)
            if subject is not None:
                started.append(subject)
        pinned = (int(subject_core[-1]), int(load_core[-1])) if subject_core else None
        bench = Bench(load_core, folder, extent, upstreams.roots, pinned)
        _measure(bench, started, result, only)


def _start(
    stack: ExitStack, name: str, upstreams: Mocks, folder: Path, prefix: list[str], result: Result
) -> Subject | None:
    """Start one subject and check its first answers; leave it out by name when it cannot be measured."""
    mine = stack.enter_context(ExitStack())
    try:
        subject = mine.enter_context(subjects.SUBJECTS[name](upstreams, folder, prefix))
        checks.check(subject)
    except Missing as missing:
        mine.close()
        result.skip(name, str(missing), say)
        return None
    result.versions[name] = subject.version
    result.started_in[name] = subject.started_in
    say(f"{name} {subject.version} serves after {subject.started_in:.1f} s")
    return subject


def _plan(extent: Extent) -> dict[str, Scenario]:
    """Return the scenarios in order; what takes long and need not be repeated runs once, in the last lines."""
    plan: dict[str, Scenario] = {}
    for size, upstream in extent.calls:
        plan[f"call {size} {upstream}"] = partial(scenarios.call, size=size, upstream=upstream)
    plan["stream cost"] = scenarios.stream_cost
    plan["stream cost, usage hidden"] = partial(scenarios.stream_cost, include_usage=False)
    plan["crossing calls"] = crossing.calls
    plan["crossing events"] = crossing.events
    plan[crossing.PAIRS] = crossing.pairs
    plan["stream timing"] = scenarios.stream_timing
    plan["streams held"] = scenarios.streams_held
    plan["in flight"] = scenarios.in_flight
    return plan


ONCE = ("streams held", "in flight", crossing.PAIRS)
PORTICO_ONLY = ("stream cost, usage hidden",)


def _measure(bench: Bench, started: list[Subject], result: Result, only: str) -> None:
    scenarios.settle(2.0)
    result.rows += scenarios.memory("idle", started)
    for name, scenario in _plan(bench.extent).items():
        if only not in name:
            continue
        for turn in range(1 if name in ONCE else bench.extent.rounds):
            for subject in started:
                if name in PORTICO_ONLY and subject.name != "portico":
                    continue
                if subject.plain_only and not name.startswith("call"):
                    continue
                if subject.heavy and bench.extent.heavy is not None and name not in bench.extent.heavy:
                    continue
                try:
                    row = scenario(bench, subject, turn)
                except wrk.LoadFailed as failed:
                    row = Row(name, subject.name, turn, {}, {str(failed): 1})
                if row is not None:
                    result.rows.append(row)
                    say(report.progress(row))
        result.rows += scenarios.memory(f"after {name}", started)
    say(f"resting {bench.extent.rest:.0f} s, then reading the memory once more")
    scenarios.settle(bench.extent.rest)
    result.rows += scenarios.memory("at rest", started)
    for subject in started:
        if subject.records is not None:
            found = subjects.count_records(subject.records)
            result.records[subject.name] = Records(found, subject.completed, subject.completed + subject.cut)


if __name__ == "__main__":
    raise SystemExit(main())
