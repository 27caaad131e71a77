"""The result of a run, and what it says of the promises: which figure, against which bound."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.figures import Spread, differences, paired, spread
from bench.scenarios import Row

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Records:
    """Records that a subject wrote, and how many it had to: one for every call that ended, and for the cut ones."""

    found: int
    least: int
    most: int

    @property
    def right(self) -> bool:
        return self.least <= self.found <= self.most


@dataclass
class Result:
    """Everything that a run found, row by row, and what was left out and why."""

    machine: dict[str, str]
    began: float
    quick: bool
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    started_in: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    records: dict[str, Records] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def skip(self, name: str, reason: str, say: Callable[[str], None]) -> None:
        """Leave `name` out, by name and loudly."""
        self.skipped[name] = reason
        say(f"SKIPPED {name}: {reason}")

    @property
    def stamp(self) -> str:
        """When it began, for file names."""
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self.began))

    def subjects(self, scenario: str) -> list[str]:
        """Return who was measured in `scenario`, in the order of the run."""
        return list(dict.fromkeys(row.subject for row in self.rows if row.scenario == scenario))

    def scenarios(self) -> list[str]:
        """Return the scenarios in the order of the run, without the readings of memory."""
        return list(dict.fromkeys(row.scenario for row in self.rows if not row.scenario.startswith("memory")))

    def rounds(self, scenario: str, subject: str, metric: str) -> dict[int, float]:
        """Return a metric by round; rounds in which it could not be had are not in it."""
        return {
            row.turn: row.values[metric]
            for row in self.rows
            if row.scenario == scenario and row.subject == subject and metric in row.values
        }

    def figure(self, scenario: str, subject: str, metric: str) -> Spread | None:
        """Return the median of a metric with its extremes; None when no round has it."""
        found = self.rounds(scenario, subject, metric)
        return spread(list(found.values())) if found else None

    def against(self, base: str, to: str, scenario: str, subject: str, metric: str) -> Spread | None:
        """Return the median of subject in `scenario` / `to` in the scenario `base`, taken round by round."""
        found = paired(self.rounds(scenario, subject, metric), self.rounds(base, to, metric))
        return spread(found) if found else None

    def ratio(self, scenario: str, subject: str, metric: str, to: str) -> Spread | None:
        """Return the median of subject / `to`, taken round by round."""
        return self.against(scenario, to, scenario, subject, metric)

    def added(self, scenario: str, subject: str, metric: str, to: str) -> Spread | None:
        """Return the median of subject - `to`, taken round by round."""
        found = differences(self.rounds(scenario, subject, metric), self.rounds(scenario, to, metric))
        return spread(found) if found else None

    def faults(self, scenario: str, subject: str) -> dict[str, int]:
        """Return what went wrong in all rounds, by what it was."""
        total: dict[str, int] = {}
        for row in self.rows:
            if row.scenario == scenario and row.subject == subject:
                for fault, count in row.faults.items():
                    total[fault] = total.get(fault, 0) + count
        return total

    def foreign(self) -> Spread | None:
        """Return how much of the cores in use other processes took while calls were measured (0 to 1)."""
        found = [row.values["foreign"] for row in self.rows if "foreign" in row.values]
        return spread(found) if found else None

    def loaded(self, subject: str) -> float | None:
        """Return the largest resident memory of all its processes seen at any reading."""
        seen = [
            row.values["rss"]
            for row in self.rows
            if row.subject == subject and row.values.get("rss") and row.scenario != "memory idle"
        ]
        return max(seen, default=None)

    def sound(self) -> bool:
        """Tell whether Portico was measured (where it was asked for) and nothing went wrong with it."""
        faulty = any(row.faults for row in self.rows if row.subject == "portico")
        return "portico" not in self.skipped and not faulty and all(one.right for one in self.records.values())


@dataclass(frozen=True)
class Promise:
    """One bound, the figure found, and whether it holds; `value` is None where it could not be measured."""

    text: str
    bound: str
    value: float | None
    shown: str
    holds: bool | None


def promises(result: Result) -> list[Promise]:
    """Return the bounds that this project has set itself, each with what this run says of it."""
    held = []
    for scenario in ("call 1 KB plain", "call 1 KB tls", "call 14 KB plain", "call 14 KB tls"):
        small = "1 KB" in scenario and "14" not in scenario
        rate, cpu = (result.ratio(scenario, "portico", metric, "nginx") for metric in ("rate", "cpu"))
        late = _scaled(result.added(scenario, "portico", "p99", "nginx"), 1e-3)
        held.append(_at_least(f"{scenario}: calls a second, of nginx's", 0.30 if small else 0.18, rate))
        if small:
            held.append(_at_most(f"{scenario}: CPU per call, of nginx's", 3.3, cpu))
            held.append(_at_most(f"{scenario}: p99 at one connection over nginx's, ms", 1.0, late))
    rate, cpu = (result.ratio("call 1 KB plain", "governed", metric, "nginx") for metric in ("rate", "cpu"))
    held.append(_at_least("call 1 KB plain, limits, budgets and bodies: calls a second, of nginx's", 0.25, rate))
    held.append(_at_most("call 1 KB plain, limits, budgets and bodies: CPU per call, of nginx's", 4.0, cpu))
    rate = result.ratio("call 14 KB plain", "governed, no bodies", "rate", "nginx")
    held.append(_at_least("call 14 KB plain, limits and budgets: calls a second, of nginx's", 0.18, rate))
    for scenario in ("stream cost", "stream cost, usage hidden"):
        beside = _scaled(result.against("stream cost", "stream", scenario, "portico", "cpu"), 10)
        held.append(_at_most(f"{scenario}: CPU per event where the reference takes 10, µs", 12.0, beside))
    for caller, bound in (("messages", 1.4), ("responses", 1.5)):
        ratio = result.figure("crossing calls", "portico", f"{caller} 1 KB of chat")
        held.append(_at_most(f"crossing {caller} to chat, 1 KB: CPU per call, of chat to chat", bound, ratio))
    for caller in ("messages", "responses"):
        ratio = result.figure("crossing events", "portico", f"{caller} of chat")
        held.append(_at_most(f"crossing chat to {caller}: CPU per event, of one passed", 1.8, ratio))
    worst = [max(agents_turns(row.values)) for row in result.rows if row.scenario == "pairs, 14 KB"]
    told = "an agent's turn of 14 KB parsed and rendered, the slowest pair from chat, messages or responses, µs"
    held.append(_at_most(told, 100, spread(worst) if worst else None))
    for peer, times in (("litellm", 100.0), ("portkey", 10.0)):
        ratio = result.ratio("call 1 KB plain", "portico", "rate", peer)
        held.append(_at_least(f"call 1 KB plain: calls a second, of {peer}'s", times, ratio))
    idle = _scaled(result.figure("memory idle", "portico", "rss"), 1 / MEGABYTE)
    worker = _scaled(result.figure("streams held", "portico", "largest rss"), 1 / MEGABYTE)
    held.append(_at_most("memory idle, all processes, MB", 110, idle))
    held.append(_at_most("memory of the worker with 1,500 streams, MB", 80, worker))
    held.append(_at_most("events lost of 1,500 streams", 0, result.figure("streams held", "portico", "lost")))
    held.append(_at_most("calls failed of 2,000 in flight", 0, result.figure("in flight", "portico", "failed")))
    growth = result.figure("soak", "portico", "growth")
    held.append(_at_most("soak: memory at the end over its plateau", 1.10, growth))
    return held


def agents_turns(values: dict[str, float]) -> list[float]:
    """Return the figures of the pairs that agents use, with the tools of the turn before."""
    callers = ("chat to ", "messages to ", "responses to ")
    return [value for name, value in values.items() if name.startswith(callers) and "," not in name]


def _scaled(found: Spread | None, by: float) -> Spread | None:
    return found.scaled(by) if found else None


def _at_least(text: str, bound: float, found: Spread | None) -> Promise:
    return _promise(text, f"≥ {bound:g}", found, None if found is None else found.median >= bound)


def _at_most(text: str, bound: float, found: Spread | None) -> Promise:
    return _promise(text, f"≤ {bound:g}", found, None if found is None else found.median <= bound)


def _promise(text: str, bound: str, found: Spread | None, holds: bool | None) -> Promise:
    value = found.median if found else None
    return Promise(text, bound, value, shown(found) if found else "not measured", holds)


def number(value: float) -> str:
    """Return a number that a person can read: three significant digits, thousands apart."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


def shown(found: Spread) -> str:
    """Return a median, with its extremes where there was more than one round."""
    if found.rounds == 1 or found.low == found.high:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"


def as_dict(result: Result) -> dict[str, Any]:
    """Return the whole result in plain types: every row, and the promises."""
    return asdict(result) | {"promises": [asdict(one) for one in promises(result)]}
