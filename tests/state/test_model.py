"""Callers by the thousand against a naive model: nothing is overspent, nothing that fits is refused, nothing stays."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.state.desk import BACKENDS, Clock, budget, close, limit
from tests.state.naive import Charge, Counter, Naive

from portico.rules import Bound, Rule
from portico.state.contract import Admission, Permit, Refusal, Scope, Used

DOLLAR = 10**9


def rules_of(*names: str) -> tuple[Rule, ...]:
    choice: dict[str, Rule] = {
        "rpm": limit(11, id="rpm"),
        "rph": limit(97, every="hour", id="rph"),
        "tpm": limit(7_919, "tokens", id="tpm"),
        "itpm": limit(5_003, "input_tokens", id="itpm"),
        "otpm": limit(4_001, "output_tokens", every=90, id="otpm"),
        "flight": limit(7, "in_flight", id="flight"),
        "day": budget(DOLLAR, id="day", zone="Europe/Berlin"),
        "month": budget(2 * DOLLAR, "month", id="month"),
        "week": budget(2 * DOLLAR, "week", id="week", zone="America/New_York"),
        "minute": budget(DOLLAR // 3, "minute", id="minute", mode="clamp"),
        "ever": budget(5 * DOLLAR, "forever", id="ever"),
        "rolling": budget(DOLLAR, "day", id="rolling", rolling=True),
        "short": budget(DOLLAR // 2, 600, id="short", rolling=True),
        "soft": budget(DOLLAR // 10, id="soft", mode="soft"),
        "tokens": budget(50_000, "hour", id="tokens", counts="tokens"),
        "calls": budget(60, "day", id="calls", counts="requests"),
    }
    return tuple(choice[name] for name in names)


KEYS = (
    Scope("key:a", rules_of("rpm", "tpm", "flight", "day")),
    Scope("key:b", rules_of("itpm", "otpm", "rolling", "minute")),
    Scope("key:c", rules_of("soft")),
)
TEAMS = (Scope("team:x", rules_of("week", "tokens", "rph")), Scope("team:y", rules_of("month", "short", "calls")))
TAGS = (Scope("tag:u", rules_of("tpm", "minute", "short")), Scope("tag:v", rules_of("tpm", "minute", "short")))
CUSTOMERS = (Scope("customer:1", rules_of("ever", "flight")), Scope("customer:2", rules_of("day", "rolling")))

SCOPES = [
    (key, *team, *customer)
    for key in KEYS
    for team in ((), *((one,) for one in TEAMS))
    for customer in ((), *((one,) for one in CUSTOMERS))
] + [(KEYS[2], *TAGS), (*TAGS,), (TAGS[1],)]
BOUNDS = st.builds(
    Bound,
    st.integers(0, 900),
    st.integers(0, 900),
    st.one_of(st.just(0), st.integers(1, 1_000), st.integers(1, DOLLAR // 2)),
)


class Callers(RuleBasedStateMachine):
    """A crowd at one state, which is compared with the naive one at every step."""

    backend = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="state-"))
        self.state: Any = BACKENDS[self.backend](self.folder)
        self.clock = Clock()
        self.naive = Naive()
        self.open: list[tuple[Permit, list[tuple[Counter, Charge]]]] = []
        self.number = 0

    def teardown(self) -> None:
        for permit, charges in self.open:
            self.end(permit, charges, Used(requests=0))
        self.loop.run_until_complete(asyncio.sleep(0))
        rows = [scope.row for scope in (*KEYS, *TEAMS, *TAGS, *CUSTOMERS)]
        for counter in self.state.counters(rows, self.clock.now):
            assert counter.reserved == 0, counter
            assert counter.rule_id != "flight" or counter.used == 0, counter
        close(self.state)
        self.loop.close()
        shutil.rmtree(self.folder)

    @initialize(seconds=st.integers(0, 400 * 86_400))
    def begin(self, seconds: int) -> None:
        self.clock.pass_by(seconds)

    @rule(scopes=st.sampled_from(SCOPES), bound=BOUNDS)
    def admit(self, scopes: tuple[Scope, ...], bound: Bound) -> None:
        self.admit_all([(scopes, bound)])

    @rule(seed=st.integers(0, 2**32), crowd=st.integers(2, 60))
    def admit_many(self, seed: int, crowd: int) -> None:
        draw = random.Random(seed)
        self.admit_all(
            [
                (draw.choice(SCOPES), Bound(draw.randrange(900), draw.randrange(900), draw.randrange(DOLLAR // 5)))
                for _ in range(crowd)
            ]
        )

    def admit_all(self, asked: list[tuple[tuple[Scope, ...], Bound]]) -> None:
        at = self.clock.now

        async def ask() -> list[Permit | Refusal]:
            waiting = []
            for scopes, bound in asked:
                self.number += 1
                waiting.append(self.state.admit(Admission(f"call-{self.number}", scopes, bound, at)))
            return [await one for one in waiting]

        for (scopes, bound), answer in zip(asked, self.loop.run_until_complete(ask()), strict=True):
            fits = self.naive.fits(scopes, bound, at)
            assert isinstance(answer, Permit) == fits, (answer, scopes, bound)
            if isinstance(answer, Permit):
                self.open.append((answer, self.naive.reserve(scopes, bound, at)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1))
    def settle(self, data: st.DataObject, share: float) -> None:
        permit, charges = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        bound = permit.bound
        assert bound.cost is not None
        self.end(
            permit,
            charges,
            Used(int(bound.input_tokens * share), int(bound.output_tokens * share), int(bound.cost * share)),
        )

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.end(*self.open.pop(data.draw(st.integers(0, len(self.open) - 1))), Used(requests=0))

    @precondition(lambda self: self.open)
    @rule()
    def die(self) -> None:
        at = self.clock.now
        orphans = self.state.expire(self.state.owner, at)
        assert {orphan.call_id for orphan in orphans} >= {permit.call_id for permit, _ in self.open}
        for permit, charges in self.open:
            assert permit.bound.cost is not None
            assumed = Used(permit.bound.input_tokens, permit.bound.output_tokens, permit.bound.cost)
            self.naive.settle(charges, assumed, at)
        self.open.clear()

    def end(self, permit: Permit, charges: list[tuple[Counter, Charge]], used: Used) -> None:
        at = self.clock.now

        async def ask() -> None:
            answer = asyncio.get_running_loop().create_future()
            if used.requests:
                self.state.settle(permit, used, at, answer.set_result)
            else:
                self.state.release(permit, at, answer.set_result)
            assert not (await answer).over_bound

        self.loop.run_until_complete(ask())
        self.naive.settle(charges, used, at)

    @rule(seconds=st.one_of(st.floats(0, 3), st.floats(0, 300), st.floats(0, 90_000), st.just(3_600)))
    def wait(self, seconds: float) -> None:
        self.clock.pass_by(seconds)

    @rule()
    def tidy(self) -> None:
        self.state.tidy(self.clock.now)

    @invariant()
    def no_budget_is_overspent(self) -> None:
        at = self.clock.now
        for counter in self.naive.counters.values():
            if counter.rule.kind == "budget" and counter.rule.mode != "soft":
                assert counter.taken(at) <= counter.rule.amount

    @invariant()
    def counters_say_what_is_used(self) -> None:
        at = self.clock.now
        found = self.state.counters([scope.row for scope in (*KEYS, *TEAMS, *TAGS, *CUSTOMERS)], at)
        for shown in found:
            counter = self.naive.counters.get((shown.row, shown.rule_id))
            if counter is None or counter.rule.kind == "limit":
                continue
            assert shown.used + shown.reserved == counter.taken(at), shown


class CallersOnLmdb(Callers):
    backend = "lmdb"


MACHINES = [Callers, CallersOnLmdb]
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.parametrize("machine", MACHINES, ids=["memory", "lmdb"])
def test_what_is_admitted_fits_and_what_is_refused_does_not(machine: type[Callers]) -> None:
    run(machine, examples=25, steps=40)


@pytest.mark.prove
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("machine", MACHINES, ids=["memory", "lmdb"])
def test_what_is_admitted_fits_and_what_is_refused_does_not_for_long(machine: type[Callers]) -> None:
    run(machine, examples=400, steps=200)


def run(machine: type[Callers], examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=QUIET,
        derandomize=examples < 100,
        database=None,
    )
    run_state_machine_as_test(machine, settings=how)
