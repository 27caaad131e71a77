"""One team sends fifty times its share to a real worker: the others are all served, and hardly later than before.

The provider takes eight calls at once and 25 to 75 ms for each; three quarters of what that comes to is asked for. The
long form compares what one in a hundred calls of the others takes, with and without that team, in rounds that
alternate; it wants a machine that does nothing else: `nice -n -5 make prove ARGS="tests/processes/test_fairness.py -s"`
says the figures.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from portico.testing.running import RunningPortico, running_portico
from processes.open_loop import Caller, Job, Outcome

AT_ONCE = 8
TOOK = 0.05
SPREAD = 0.025
"""Seconds that a call takes, and by how many it is less or more. With one time for all, those that end together would
begin together, until all eight go in step."""
OTHERS = [f"team-{number}" for number in range(6)]
SHARE = 0.75 * AT_ONCE / TOOK / (len(OTHERS) + 1)
"""Calls a second of each team: together they ask for three quarters of what there is."""
BODIES = [
    json.dumps({"model": "one/gpt-4o-mini", "messages": [{"role": "user", "content": f"Hello [mock latency={took}]"}]})
    for took in (round(TOOK + SPREAD * (number / 25 - 1), 4) for number in range(51))
]
LEAST = 3000
"""Calls of each of the others with and without the greedy team, in the long form."""


def keys() -> dict[str, str]:
    return {name: f"sk-of-the-team-{name}-0123" for name in (*OTHERS, "greedy")}


@pytest.fixture
def provider() -> Iterator[str]:
    """A mock provider as a process of its own."""
    command = [sys.executable, "-P", "-m", "portico", "mock", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@pytest.fixture
def portico(provider: str) -> Iterator[RunningPortico]:
    upstream = {"like": "openai", "base_url": f"{provider}/v1", "api_key": "sk-upstream-0123456789"}
    config = {
        "logs": {"calls": "none"},
        "providers": {"one": {**upstream, "max_concurrency": AT_ONCE}},
        "queue": {"wait": "30s"},
        "teams": {name: {} for name in keys()},
        "keys": {name: {"key": key, "team": name} for name, key in keys().items()},
    }
    with running_portico(config, arguments=("--workers", "1")) as running:
        yield running


def made(portico: RunningPortico, seconds: float, warm: float, seed: int, *, greed: float = 1.0) -> Outcome:
    """Let all teams call for so long, one of them `greed` times its share."""
    host, port = portico.address
    callers = {name: Caller(key, SHARE * (greed if name == "greedy" else 1)) for name, key in keys().items()}
    path = "/v1/chat/completions"
    job = Job(host=host, port=port, path=path, bodies=BODIES, callers=callers, seconds=seconds, warm=warm, seed=seed)
    program = Path(__file__).with_name("open_loop.py")
    done = subprocess.run(
        [sys.executable, "-P", str(program)], input=msgspec.json.encode(job), stdout=subprocess.PIPE, check=True
    )
    return msgspec.json.decode(done.stdout, type=Outcome)


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def test_all_calls_of_the_others_are_served_beside_one_that_sends_fifty_times_its_share(
    portico: RunningPortico,
) -> None:
    told = made(portico, 3.0, 0.5, 1, greed=50.0).teams
    for name in OTHERS:
        assert set(told[name].statuses) == {200}
        assert len(told[name].took) > 20
    greedy = told["greedy"].statuses
    assert greedy[200] > len(told[OTHERS[0]].took)
    assert set(greedy) <= {200, 429, 503}
    assert greedy[503] + greedy.get(429, 0) > 500


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_the_others_wait_hardly_longer_beside_one_that_sends_fifty_times_its_share(
    portico: RunningPortico,
) -> None:
    rounds, warm = 4, 3.0
    seconds = warm + 1.1 * LEAST / SHARE / rounds
    took: dict[float, dict[str, list[float]]] = {1.0: {}, 50.0: {}}
    greedy: dict[float, Counter[int]] = {1.0: Counter(), 50.0: Counter()}
    for number in range(rounds):
        for greed in (1.0, 50.0) if number % 2 else (50.0, 1.0):
            outcome = made(portico, seconds, warm, number, greed=greed)
            for name in OTHERS:
                told = outcome.teams[name]
                assert set(told.statuses) == {200}
                took[greed].setdefault(name, []).extend(told.took)
            greedy[greed].update(outcome.teams["greedy"].statuses)
            found = p99([each for name in OTHERS for each in outcome.teams[name].took])
            late = 1000 * outcome.late
            print(f"\nround {number}, {greed:g} times its share: p99 {1000 * found:.1f} ms, sent {late:.1f} ms late")
    assert min(len(each) for each in (*took[1.0].values(), *took[50.0].values())) >= LEAST
    assert sum(greedy[50.0].values()) > 45 * sum(greedy[1.0].values())
    before, after = (p99([each for name in OTHERS for each in took[greed][name]]) for greed in (1.0, 50.0))
    print(f"p99 of the others {1000 * before:.1f} ms, beside the greedy {1000 * after:.1f} ms: {after / before:.2f}")
    print(f"the greedy team, once and fifty times its share: {dict(greedy[1.0])}, {dict(greedy[50.0])}")
    assert after < 1.2 * before
