"""Recorded calls, planned anew by another configuration: where they would go, what they would cost, which would fail.

Nothing is sent. Plans are the gateway's own, made in the order of time with what the recorded calls had measured by
then: times, failures, breakers. Whether a target would have served is told by the calls that were there at about that
time. Both configurations of a comparison get the same draws.
"""

import asyncio
import heapq
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, Literal

import msgspec

from portico.config.schema import Config
from portico.errors import PorticoError
from portico.plan.evidence import Evidence, began, failed, outcomes
from portico.plan.facts import Facts, tagged
from portico.plan.health import size_class
from portico.plan.traits import usable
from portico.plan.wish import Wish
from portico.providers.prices import charge
from portico.providers.resolve import resolve
from portico.record import AttemptRecord, Record
from portico.types import Usage
from portico.upstream.health import Healths
from portico.upstream.rollouts import standing
from portico.upstream.routes import Routes
from portico.upstream.target import Target, Upstream
from portico.upstream.trial import LIMITED
from portico.wire.client import Client

UNSEEN: Final = frozenset(
    ("headers", "has_tools", "has_images", "json_schema", "reasoning", "max_tokens", "budget_left")
)
"""What rules may speak of and no record tells."""
WHATEVER: Final = Wish()
"""The wish of a caller who wants nothing: with it, every target is weighed."""
MOST_MOVES: Final = 50

How = Literal["served", "perhaps", "failed"]
"""What would have become of a call: served by a target that did well then; perhaps served, by one of which nobody
knows how it did; or failed at all of them."""


class Move(msgspec.Struct, kw_only=True, frozen=True):
    """Calls of one model that would be served elsewhere."""

    model: str
    source: str
    target: str
    calls: int
    cost_nano_usd: int
    cost_before_nano_usd: int


class Failures(msgspec.Struct, kw_only=True, frozen=True):
    """Calls that failed at their targets: `before`, and what would become of these; `caused` are new ones.

    `perhaps` are those that would go to a target of which nobody knows how it did at that time.
    """

    before: int
    avoided: int
    perhaps: int
    left: int
    caused: int


class Cost(msgspec.Struct, kw_only=True, frozen=True):
    """What the calls cost that have a cost on both sides, in nano-dollars; `unpriced` are those that lack one."""

    before_nano_usd: int
    after_nano_usd: int
    calls: int
    unpriced: int


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """What another configuration would have done with recorded calls.

    `compared_with` is `records`, what happened, or `configuration`, what another one would have done. `left_out` are
    calls that were not planned, by the reason. `unknown_targets` were asked by no recorded call: nobody knows how fast
    or reliable they are, and they are taken to be like those that served. `unseen` is what rules ask that no record
    tells, which counts as if it were not there, and `traits` where a scorer is asked of calls whose records have none.
    """

    calls: int
    compared_with: Literal["records", "configuration"]
    left_out: dict[str, int]
    moved: int
    moves: list[Move]
    cost: Cost
    failures: Failures
    unknown_targets: list[str]
    unseen: list[str]


class Outcome(msgspec.Struct, frozen=True):
    """What would become of a call: which target serves it, or the last that fails."""

    how: How
    target: Target


class Planner:
    """Plans calls by a configuration as time goes by. `now` is the time of the call that is planned."""

    def __init__(self, config: Config, client: Client, environ: Mapping[str, str]) -> None:
        self.now = 0.0
        self._healths = Healths(lambda: self.now)
        self._healths.declare(config.breaker, dict(config.providers))
        upstreams = {
            name: Upstream(resolve(name, provider, environ), client, config.prices, self._healths)
            for name, provider in config.providers.items()
        }
        self._routes = Routes(
            config.models,
            upstreams,
            config.timeouts,
            config.routing,
            health=self._healths,
            now=lambda: self.now,
            rollouts=partial(standing, None),
            wall=lambda: self.now,
        )
        self._coming: list[tuple[float, int, Record, AttemptRecord, bool]] = []
        self._count = 0
        self.asked: set[str] = set()

    def __repr__(self) -> str:
        return f"<Planner by {self._routes!r}>"

    def plan(self, record: Record, draw: Callable[[], float]) -> Sequence[Target]:
        """Return where a recorded call would go, best first. Raises PorticoError for nowhere."""
        at = record.time_ms / 1000
        while self._coming and self._coming[0][0] <= at:
            self.now, _, other, attempt, good = heapq.heappop(self._coming)
            self._learn(other, attempt, good)
        self.now = at
        found: Sequence[Target] = self._routes.plan(facts_of(record), draw, WHATEVER).targets
        self.asked.update(target.name for target in found)
        return found

    def assume(self, record: Record, target: str) -> None:
        """Take a target of which nothing is known to have done as well as that by which a call was served."""
        first = next((attempt.first_byte_us for attempt, good in outcomes(record) if good), None)
        if first is not None:
            self._push(record, AttemptRecord(target, status=200, first_byte_us=first), good=True)

    def learn(self, record: Record) -> None:
        """Take in what a call measured, each attempt at the time when it was over."""
        for attempt, good in outcomes(record):
            self._push(record, attempt, good=good)

    def _push(self, record: Record, attempt: AttemptRecord, *, good: bool) -> None:
        over = began(record, attempt) + (attempt.first_byte_us or 0) / 1e6
        self._count += 1
        heapq.heappush(self._coming, (over, self._count, record, attempt, good))

    def _learn(self, record: Record, attempt: AttemptRecord, good: bool) -> None:
        health, usage = self._healths(attempt.target), record.usage
        if attempt.status == 429:
            health.limited(self.now + LIMITED)
            return
        if not good:
            health.failed(self.now)
            return
        health.served(self.now)
        size = size_class(usage.input_total if usage is not None else 0)
        if attempt.first_byte_us is not None:
            health.answered(self.now, attempt.first_byte_us / 1e6, size, streamed=record.stream)
            if usage is not None and usage.output_total and len(record.attempts) == 1:
                took = record.total_us - (attempt.first_byte_us if record.stream else 0)
                health.spoke(self.now, max(took, 0) / 1e6 / usage.output_total, size)


def replay(
    records: Iterable[Record],
    config: Config,
    base: Config | None = None,
    *,
    seed: int = 0,
    environ: Mapping[str, str] = os.environ,
) -> Report:
    """Plan calls anew by a configuration, and set that beside what happened, or what `base` would have done.

    Raises PorticoError for a configuration that cannot be used.
    """
    told = sorted((record for record in records if not record.shadow_of), key=lambda record: record.time_ms)
    evidence = Evidence(told)
    with _client() as client:
        planner = Planner(config, client, environ)
        other = Planner(base, client, environ) if base is not None else None
        sums = _Sums()
        for record in told:
            _replay_one(record, planner, other, evidence, seed, sums)
        return sums.report(
            "records" if base is None else "configuration",
            sorted(planner.asked - evidence.targets),
            unseen(config, told),
        )


def _replay_one(
    record: Record, planner: Planner, other: Planner | None, evidence: Evidence, seed: int, sums: "_Sums"
) -> None:
    planners = (planner, other) if other is not None else (planner,)
    try:
        why = passed_over(record)
        if why is None:
            found = []
            for each in planners:
                chance = random.Random(f"{seed} {record.id}")  # noqa: S311  # draws, not secrets
                found.append(outcome(record, each.plan(record, chance.random), evidence))
                if found[-1].target.name not in evidence.targets:
                    each.assume(record, found[-1].target.name)
            before = recorded(record, found[1] if other is not None else None)
            sums.add(record, before, found[0])
    except PorticoError as error:
        why = error.code
    if why is not None:
        sums.left_out[why] += 1
    for each in planners:
        each.learn(record)


def passed_over(record: Record) -> str | None:
    """Return why a recorded call is not planned anew; None where it is."""
    if record.end in ("refused", "aborted"):
        return record.end
    if record.operation == "passthrough" or not record.model:
        return "no model"
    return None


def facts_of(record: Record) -> Facts:
    """Return what a record tells a plan of its call: who asked, for what, how large it was. Its body is not there."""
    facts = Facts(record.model or "", record.operation, stream=record.stream, arrived=record.time_ms / 1000)
    usage = record.usage
    facts.input_tokens = usage.input_total if usage is not None else 0
    facts.size = size_class(facts.input_tokens)
    if usage is not None and usage.output_total:
        facts.output_tokens = usage.output_total
    facts.key, facts.team, facts.org = record.key or "", record.team or "", record.org or ""
    facts.user, facts.customer = record.user or "", record.customer or ""
    facts.session, facts.tags = record.session or "", tagged(record.tags)
    facts.traits = record.traits if usable(record.traits) else None
    return facts


def outcome(record: Record, targets: Sequence[Target], evidence: Evidence) -> Outcome:
    """Return what would have become of a call with these targets, best first.

    What the call itself found out counts before what others did.
    """
    own = {attempt.target: good for attempt, good in outcomes(record)}
    at = record.time_ms / 1000
    for target in targets:
        good = own.get(target.name)
        state = evidence.state(target.name, at) if good is None else "up" if good else "down"
        if state != "down":
            return Outcome("served" if state == "up" else "perhaps", target)
    return Outcome("failed", targets[-1])


class Before(msgspec.Struct, frozen=True):
    """What a call is compared with: where it was served, whether it failed, and its cost."""

    target: str
    failed: bool
    cost: int | None


def recorded(record: Record, planned: Outcome | None) -> Before:
    """Return what became of a call, or what would have by the configuration that is compared with."""
    if planned is not None:
        return Before(planned.target.name, planned.how == "failed", cost_at(record, planned.target))
    last = record.target or (record.attempts[-1].target if record.attempts else "")
    return Before(last, failed(record), record.cost_nano_usd)


def cost_at(record: Record, target: Target) -> int | None:
    """Return what a call would have cost at a target by what it used, in nano-dollars; None where nobody knows."""
    usage = record.usage
    if usage is None:
        return None
    if target.name != record.target:
        # What its provider said of itself does not hold elsewhere.
        usage = msgspec.structs.replace(usage, reported_cost=None, tier=None, geo=None)
    return charge(target.price, usage, record.time_ms / 1000).cost


class _Sums:
    """Adds up what becomes of calls."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._calls = 0
        self._moves: dict[tuple[str, str, str], list[int]] = {}
        self._cost = [0, 0, 0, 0]
        self._failures: Counter[str] = Counter()

    def add(self, record: Record, before: Before, after: Outcome) -> None:
        self._calls += 1
        cost = cost_at(record, after.target) if record.usage != Usage() else None
        moved = after.how != "failed" and after.target.name != before.target
        if moved:
            move = self._moves.setdefault((record.model or "", before.target, after.target.name), [0, 0, 0])
            move[0] += 1
        if record.usage is not None:
            if before.cost is None or cost is None:
                self._cost[3] += 1
            else:
                self._cost[0] += before.cost
                self._cost[1] += cost
                self._cost[2] += 1
                if moved:
                    move[1] += cost
                    move[2] += before.cost
        if before.failed:
            self._failures["before"] += 1
            self._failures[{"served": "avoided", "perhaps": "perhaps", "failed": "left"}[after.how]] += 1
        elif after.how == "failed" and record.end == "served":
            self._failures["caused"] += 1

    def report(
        self, compared_with: Literal["records", "configuration"], unknown: list[str], unseen: list[str]
    ) -> Report:
        moves = [
            Move(
                model=model, source=source, target=target, calls=calls, cost_nano_usd=cost, cost_before_nano_usd=before
            )
            for (model, source, target), (calls, cost, before) in self._moves.items()
        ]
        moves.sort(key=lambda move: (-move.calls, move.model, move.source, move.target))
        before, after, calls, unpriced = self._cost
        names = ("before", "avoided", "perhaps", "left", "caused")
        return Report(
            calls=self._calls,
            compared_with=compared_with,
            left_out=dict(self.left_out),
            moved=sum(move.calls for move in moves),
            moves=moves[:MOST_MOVES],
            cost=Cost(before_nano_usd=before, after_nano_usd=after, calls=calls, unpriced=unpriced),
            failures=Failures(**{name: self._failures[name] for name in names}),
            unknown_targets=unknown,
            unseen=unseen,
        )


def unseen(config: Config, records: Sequence[Record]) -> list[str]:
    """Return what the rules and scorers of a configuration ask that records do not tell."""
    scored = any(model.strategy == "complexity" for model in config.models.values())
    read: set[str] = set()
    rules = [*config.routing.rules, *(rule for model in config.models.values() for rule in model.rules)]
    if rules:
        from portico.plan.rules import names  # what reads expressions takes 10 MB

        read.update(name for rule in rules for name in names(rule.when))
    scored = scored or "complexity" in read
    untold = ["traits"] if scored and not all(usable(record.traits) for record in records) else []
    return [*untold, *sorted(read & UNSEEN)]


@contextmanager
def _client() -> Iterator[Client]:
    """Give targets what connections belong to: a loop on which nothing runs."""
    loop = asyncio.new_event_loop()
    try:
        yield Client(loop=loop)
    finally:
        loop.close()
