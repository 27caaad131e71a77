"""Canaries over simulated hours, counted by several workers in one file."""

import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from portico.config import schema
from portico.plan.rollout import BUCKETS
from portico.upstream import rollouts
from portico.upstream.rollouts import BACK, LANES, Rollouts

SAID = schema.Canary(to="b/m", hold=60.0)


class Machine:
    """Workers that share a file, a clock, and what they note."""

    def __init__(self, folder: Path | None, workers: int = 3, said: schema.Canary = SAID, now: float = 1000.0) -> None:
        self.now = now
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self.folder = folder
        self.said = said
        self.workers = [self.worker(lane) for lane in range(workers)]

    def worker(self, lane: int) -> rollouts.Rollout:
        def note(name: str, about: dict[str, Any]) -> None:
            self.events.append((self.now, name, about))

        return Rollouts(self.folder, note, lane, lambda: self.now)("smart", self.said)

    def run(self, seconds: float, draw: random.Random, *, rate: float = 10.0, **sides: Any) -> None:
        """Let calls come for so long, to a worker at random; the sides are `failing` and `taking` by canary or not."""
        until = self.now + seconds
        while (now := self.now + draw.expovariate(rate)) < until:
            self.now = now
            worker = draw.choice(self.workers)
            if not worker.share:
                continue
            chosen = draw.random() < worker.share
            failing, taking = sides.get("canary", (0.0, 0.1)) if chosen else sides.get("others", (0.0, 0.1))
            failed = draw.random() < failing
            worker.count(chosen=chosen, failed=failed, took=None if failed else taking * draw.lognormvariate(0, 0.2))
        self.now = until

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.events]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_canary_that_does_well_gets_all_calls_step_by_step(tmp_path: Path, seed: int) -> None:
    machine = Machine(tmp_path)
    machine.run(3600, random.Random(seed), canary=(0.01, 0.11), others=(0.01, 0.1))
    assert machine.names == ["canary.stepped"] * 4 + ["canary.done"]
    assert [about["share"] for _, _, about in machine.events] == [0.05, 0.25, 0.5, 1.0, 1.0]
    times = [1000.0, *(at for at, _, _ in machine.events)]
    assert all(later - earlier >= SAID.hold for earlier, later in pairwise(times))
    # A hundredth of ten calls a second: the first step waits for its fifty calls.
    assert times[1] - times[0] > 200
    assert {worker.share for worker in machine.workers} == {1.0}
    assert machine.workers[0].progress().state == "done"


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("sides", "calls"),
    [({"canary": (0.5, 0.1)}, 12), ({"canary": (1.0, 0.1)}, 3), ({"canary": (0.0, 1.0)}, 3)],
    ids=["half of it fails", "all of it fails", "it is ten times slower"],
)
def test_a_canary_that_does_badly_is_taken_back_after_few_calls(
    tmp_path: Path, seed: int, sides: dict[str, Any], calls: int
) -> None:
    machine = Machine(tmp_path)
    machine.run(3600, random.Random(seed), **sides)
    assert machine.names == ["canary.taken_back"]
    [(_, _, about)] = machine.events
    # Each worker looks once a second: some more calls may have come meanwhile.
    assert about["calls"] <= 2 * calls
    assert about["share"] == 0.0
    assert {worker.share for worker in machine.workers} == {0.0}
    assert machine.workers[1].step == BACK


HALVES = schema.Canary(to="b/m", hold=60.0, steps=(0.25, 0.5))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("after", [0, 30, 59, 61, 100])
def test_a_canary_that_turns_bad_later_is_taken_back_from_where_it_is(tmp_path: Path, seed: int, after: float) -> None:
    machine, draw = Machine(tmp_path, said=HALVES), random.Random(seed)
    machine.run(after, draw)
    before = machine.now
    machine.run(60, draw, canary=(0.5, 0.1))
    assert machine.names[-1] == "canary.taken_back"
    assert machine.events[-1][0] - before < 20


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("after", [0, 30, 59, 61, 100])
def test_an_outage_of_all_targets_takes_no_canary_back(tmp_path: Path, seed: int, after: float) -> None:
    machine, draw = Machine(tmp_path, said=HALVES), random.Random(seed)
    machine.run(after, draw)
    machine.run(30, draw, canary=(0.9, 0.1), others=(0.9, 0.1))
    machine.run(600, draw)
    assert machine.names == ["canary.stepped", "canary.done"]


def test_at_its_last_step_it_is_still_set_beside_what_the_others_did_before(tmp_path: Path) -> None:
    said = schema.Canary(to="b/m", hold=60.0, steps=(0.5, 1.0))
    machine, draw = Machine(tmp_path, said=said), random.Random(7)
    machine.run(70, draw)
    assert machine.workers[0].share == 1.0
    machine.run(20, draw, canary=(0.0, 2.0))
    assert machine.names == ["canary.stepped", "canary.taken_back"]


@pytest.mark.parametrize("seed", range(5))
def test_hours_of_the_same_quality_take_no_canary_back(tmp_path: Path, seed: int) -> None:
    machine = Machine(tmp_path, said=schema.Canary(to="b/m", hold=1800.0, calls=10_000))
    machine.run(4 * 3600, random.Random(seed), rate=3, canary=(0.05, 0.1), others=(0.05, 0.1))
    assert "canary.taken_back" not in machine.names


def test_a_worker_that_starts_later_goes_on_where_the_others_are(tmp_path: Path) -> None:
    machine, draw = Machine(tmp_path), random.Random(8)
    machine.run(900, draw)
    share = machine.workers[0].share
    assert share > 0.01
    assert Machine(tmp_path).workers[0].share == share


def test_what_is_declared_otherwise_begins_anew(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.run(30, random.Random(1), rate=100, canary=(1.0, 0.1))
    assert machine.workers[0].share == 0.0
    assert Machine(tmp_path).workers[0].share == 0.0
    again = schema.Canary(to="b/m", hold=60.0, release="second try")
    assert Machine(tmp_path, said=again).workers[0].share == 0.01


@pytest.mark.source
def test_after_a_restart_of_the_machine_a_step_is_held_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, draw = Machine(tmp_path), random.Random(9)
    machine.run(700, draw)
    step = machine.workers[0].step
    boot = tmp_path / "boot_id"
    boot.write_text("another")
    monkeypatch.setattr(rollouts, "BOOT", boot)
    later = Machine(tmp_path, now=5.0)  # the clock of a machine begins anew with it
    assert later.workers[0].step == step
    found = later.workers[0].progress()
    assert 0 <= found.since < 1
    assert found.state == "rising"


def test_without_a_folder_each_worker_is_alone() -> None:
    machine = Machine(None, workers=2)
    for _ in range(100):
        machine.now += 1
        machine.workers[0].count(chosen=True, failed=True, took=None)
    assert [worker.share for worker in machine.workers] == [0.0, 0.01]


def test_counts_of_all_workers_are_added_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path, workers=LANES)
    for lane, worker in enumerate(machine.workers):
        worker.count(chosen=True, failed=not lane, took=0.1)
        worker.count(chosen=False, failed=False, took=0.2)
    canary, others = machine.workers[3].counted()
    assert (canary.calls, canary.failed, canary.answered) == (LANES, 1, LANES - 1)
    assert (others.calls, others.failed, others.answered) == (LANES, 0, LANES)
    assert len(canary.times) == BUCKETS


def test_a_process_claims_a_lane_of_its_own(tmp_path: Path) -> None:
    mine = Rollouts(tmp_path, lambda _, __: None)("smart", SAID)
    [file] = tmp_path.iterdir()
    child = os.fork()
    if not child:
        descriptor = os.open(file, os.O_RDWR)
        os._exit(rollouts.claimed(descriptor))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert mine.share == 0.01
