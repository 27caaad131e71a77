"""An hour of calls in simulated time: fair to teams, by priority, within deadlines, and gentle to the provider."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from portico.upstream.slots import Slots
from queueing.simulated import Answer, Asked, Bucket, Crowded, Simulation, p99

HOUR = 3600.0
QUARTER = 900.0
TEAMS = [f"team-{number}" for number in range(9)]


def steady(random: Random, slots: Sequence[Slots] = ()) -> "Simulation":
    """Return a provider with room for twelve calls of about two seconds: six a second."""

    def provider(_: float, __: int) -> Answer:
        return random.lognormvariate(0.48, 0.6), None

    return Simulation(provider, cap=12, slots=slots)


def day(seed: int, length: float, hog: float, slots: Sequence[Slots] = ()) -> Simulation:
    """Let ten teams share three quarters of what there is; one sends `hog` times its share."""
    random = Random(seed)
    found = steady(random, slots)
    share = 0.75 * 6 / 10
    for team in TEAMS:
        found.callers(random, team, share, length)
    found.callers(random, "hog", share * hog, length)
    found.run()
    return found


def quick(seed: int, length: float, hog: float) -> Simulation:
    """Let the same teams share a provider with room for eight calls that all take 50 ms: what differs is the wait."""
    random = Random(seed)
    found = Simulation(lambda _, __: (0.05 + random.random() / 1000, None), cap=8)
    share = 0.75 * 8 / 0.05 / 10
    for team in TEAMS:
        found.callers(random, team, share, length)
    found.callers(random, "hog", share * hog, length)
    found.run()
    return found


def of(simulation: Simulation, *teams: str) -> list[Asked]:
    return [call for call in simulation.asked if call.team in teams]


@pytest.mark.parametrize(
    ("length", "seed", "workers"),
    [
        (QUARTER, 1, 1),
        (QUARTER / 3, 4, 2),
        pytest.param(HOUR, 2, 1, marks=pytest.mark.prove),
        pytest.param(HOUR, 3, 1, marks=pytest.mark.prove),
        pytest.param(QUARTER, 1, 2, marks=pytest.mark.prove),
        pytest.param(QUARTER, 1, 4, marks=pytest.mark.prove),
    ],
)
def test_a_team_that_sends_fifty_times_its_share_delays_no_other(
    tmp_path: Path, length: float, seed: int, workers: int
) -> None:
    slots = [Slots(tmp_path / "slots") for _ in range(workers)] if workers > 1 else []
    before, after = day(seed, length, 1, slots), day(seed, length, 50, slots)
    others_before, others_after = of(before, *TEAMS), of(after, *TEAMS)
    assert not any(call.refused for call in others_before)
    assert not any(call.refused for call in others_after)
    assert p99(others_after) < 1.2 * p99(others_before)
    hog = of(after, "hog")
    served = [call for call in hog if not call.refused]
    assert len(hog) > 40 * len(of(before, "hog"))
    # It gets what is left, and no less than its share.
    assert len(served) > 2 * len(of(before, "hog"))
    assert after.gate.under_way == 0
    assert not any(len(worker.lobby) for worker in after.workers)
    for each in slots:
        assert not each.others_wait()
        each.close()


@pytest.mark.parametrize(
    ("length", "seed"),
    [(60.0, 1), (60.0, 2), *(pytest.param(QUARTER, seed, marks=pytest.mark.prove) for seed in (3, 4))],
)
def test_where_others_wait_more_than_they_are_served_the_hog_still_delays_none(length: float, seed: int) -> None:
    before, after = of(quick(seed, length, 1), *TEAMS), of(quick(seed, length, 50), *TEAMS)
    assert not any(call.refused for call in (*before, *after))
    assert p99(before) > 2 * 0.05
    assert p99(after) < 1.2 * p99(before)


@pytest.mark.parametrize("length", [QUARTER, pytest.param(HOUR, marks=pytest.mark.prove)])
def test_priorities_hold_within_a_team_and_deadlines_for_all(length: float) -> None:
    random = Random(11)
    here = steady(random)
    for priority, rate in ((2, 1.0), (1, 2.0), (0, 5.0)):  # eight a second, of which six can be served
        here.callers(random, "team", rate, length, priority=priority, wait=20.0)
    here.callers(random, "strict", 0.5, length, wait=2.0)
    here.run()
    team = of(here, "team")
    waits = {rank: [c.began - c.at for c in team if c.priority == rank and not c.refused] for rank in (0, 1, 2)}
    assert not any(call.refused for call in team if call.priority)
    assert sum(waits[2]) / len(waits[2]) < 0.5
    assert sum(waits[2]) / len(waits[2]) < sum(waits[1]) / len(waits[1]) < sum(waits[0]) / len(waits[0])
    assert not any(call.refused for call in of(here, "strict"))
    for call in here.asked:
        assert call.refused or call.began <= call.deadline + 0.011
    # What is refused is what there is no room for.
    assert len(of(here, "team", "strict")) - sum(call.refused for call in here.asked) > 0.95 * 6 * length


@pytest.mark.parametrize("weights", [(1.0, 3.0), (2.0, 1.0)])
def test_teams_that_all_want_more_get_it_by_their_weights(weights: tuple[float, float]) -> None:
    random = Random(5)
    here = steady(random)
    for team, weight in zip(("one", "two"), weights, strict=True):
        here.callers(random, team, 12.0, QUARTER, weight=weight)
    here.run()
    one, two = (sum(not call.refused for call in of(here, team)) for team in ("one", "two"))
    assert one / two == pytest.approx(weights[0] / weights[1], rel=0.05)


def test_the_room_is_bounded_and_who_is_shed_is_told_while_others_wait() -> None:
    random = Random(6)
    here = steady(random)
    here.lobby.calls = 50
    here.callers(random, "hog", 100.0, 60.0)
    here.callers(random, "other", 0.5, 60.0)
    here.run()
    assert not any(call.refused for call in of(here, "other"))
    assert max(call.began - call.at for call in of(here, "hog") if not call.refused) < 30.0


@pytest.mark.parametrize("rate", [1.0, 5.0, 20.0])
def test_a_provider_that_counts_calls_is_used_to_the_full_and_refuses_few(rate: float) -> None:
    random = Random(7)
    here = Simulation(Bucket(rate, max(1.0, rate), random), adaptive=True)
    here.callers(random, "team", 1.5 * rate, QUARTER, wait=60.0)
    here.run()
    served = sum(not call.refused for call in here.asked)
    assert served > 0.85 * rate * QUARTER
    assert here.refusals < 0.2 * served


@pytest.mark.parametrize(("retry_after", "share"), [(None, 0.75), (1.0, 0.65)])
def test_a_provider_that_counts_calls_at_once_is_used_well_and_refuses_few(
    retry_after: float | None, share: float
) -> None:
    random = Random(8)
    provider = Crowded(10, random, retry_after=retry_after)
    here = Simulation(provider, adaptive=True)
    here.callers(random, "team", 15.0, QUARTER, wait=60.0)
    here.run()
    served = sum(not call.refused for call in here.asked)
    assert served > share * 10 * QUARTER
    assert here.refusals < 0.2 * served


def test_the_window_follows_a_provider_that_has_more_room_again() -> None:
    random = Random(9)
    provider = Crowded(4, random)
    here = Simulation(provider, adaptive=True)
    here.callers(random, "team", 15.0, QUARTER, wait=60.0)

    def more() -> None:
        provider.most = 12

    here.at(QUARTER / 2, more)
    here.run()
    late = [call for call in here.asked if not call.refused and call.began > QUARTER / 2 + 30.0]
    assert len(late) > 0.75 * 12 * (QUARTER / 2 - 30.0)
