"""Real workers, and a provider that refuses what is too much: who may wait is served, and caps hold over all."""

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portico.testing.hosted import HostedMock
from portico.testing.running import RunningPortico, eventually, running_portico

PATH = "/v1/chat/completions"
KEYS = {"quiet": "sk-of-the-quiet-team-01", "loud": "sk-of-the-loud-team-001"}


def config(mock: HostedMock, *, at_once: int | None = None, **more: Any) -> dict[str, Any]:
    declared = {"like": "openai", "base_url": f"{mock.url}/v1", "api_key": "sk-upstream-0123456789"}
    if at_once is not None:
        declared["max_concurrency"] = at_once  # type: ignore[assignment]  # a number among texts
    return {
        "providers": {"one": declared},
        "teams": {name: {} for name in KEYS},
        "keys": {name: {"key": key, "team": name} for name, key in KEYS.items()},
        **more,
    }


class Calls:
    """Calls from threads, each on a connection of its own, so that they meet every worker."""

    def __init__(self, portico: RunningPortico, count: int, *, team: str = "loud", times: int = 1) -> None:
        self.statuses: Counter[int] = Counter()
        self.bodies: list[bytes] = []
        self._portico = portico
        self._team = team
        self._times = times
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        for _ in range(self._times):
            body = {"model": "one/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
            status, _, reply = self._portico.request("POST", PATH, body, key=KEYS[self._team])
            self.statuses[status] += 1
            self.bodies.append(reply)

    def join(self) -> dict[int, int]:
        """Wait for all answers, and return how many there were of each status."""
        for thread in self._threads:
            thread.join()
        return dict(self.statuses)


@pytest.fixture
def mock() -> Iterator[Callable[..., HostedMock]]:
    started: list[HostedMock] = []

    def start(defaults: str) -> HostedMock:
        started.append(HostedMock(defaults=defaults))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


def most_at_once(mock: HostedMock) -> int:
    """Return how many calls were at the provider at once at most."""
    moments: list[tuple[float, int]] = []
    for entry in mock.ledger.entries:
        moments.append((entry.begun, 1))
        moments.append((entry.ended or entry.begun, -1))
    under_way = most = 0
    for _, change in sorted(moments):
        under_way += change
        most = max(most, under_way)
    return most


def records(portico: RunningPortico, count: int) -> list[dict[str, Any]]:
    eventually(lambda: len(portico.records) >= count, "every call has its record")
    return [json.loads(line) for line in portico.records.lines]


@pytest.mark.parametrize("calls", [24, pytest.param(400, marks=pytest.mark.prove)])
def test_a_cap_holds_over_all_workers_and_who_waits_is_served(mock: Callable[..., HostedMock], calls: int) -> None:
    provider = mock("latency=0.05")
    with running_portico(config(provider, at_once=3, queue={})) as portico:
        made = Calls(portico, 24, times=calls // 24 or 1)
        assert set(made.join()) == {200}
        assert most_at_once(provider) <= 3
        found = records(portico, made.statuses[200])
        assert sum("queued_ms" in record for record in found) > len(found) // 2


@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.prove)])
def test_no_caller_hears_of_a_limit_of_the_provider_while_it_may_wait(
    mock: Callable[..., HostedMock], seconds: int
) -> None:
    provider = mock("rps=20")
    with running_portico(config(provider, queue={"wait": "60s"})) as portico:
        made = Calls(portico, 20, times=seconds)
        assert made.join() == {200: 20 * seconds}
    statuses = Counter(entry.status for entry in provider.ledger.entries)
    assert statuses[200] == 20 * seconds
    assert statuses[429] <= 20 * seconds


def test_a_caller_who_may_not_wait_long_enough_is_told_in_time(mock: Callable[..., HostedMock]) -> None:
    provider = mock("rps=1")
    with running_portico(config(provider, queue={"wait": "0.2s"})) as portico:
        statuses = Calls(portico, 12).join()
    assert statuses.pop(200) >= 1
    assert set(statuses) <= {429, 503}


def test_a_limit_of_a_team_is_waited_for_in_every_worker(mock: Callable[..., HostedMock]) -> None:
    teams = {"loud": {"limits": [{"requests": 10, "per": "1s"}, {"in_flight": 4}]}, "quiet": {}}
    with running_portico(config(mock("latency=0.01"), queue={}, teams=teams)) as portico:
        assert Calls(portico, 20).join() == {200: 20}
        found = records(portico, 20)
    assert sum("queue_position" in record for record in found) >= 10


def test_a_quiet_team_is_served_while_a_loud_one_waits(mock: Callable[..., HostedMock]) -> None:
    with running_portico(config(mock("latency=0.1"), at_once=2, queue={"wait": "60s"})) as portico:
        loud = Calls(portico, 40)
        eventually(lambda: sum(loud.statuses.values()) >= 4, "the loud team is served")
        assert Calls(portico, 4, team="quiet").join() == {200: 4}
        behind = 40 - loud.statuses[200]
        assert loud.join() == {200: 40}
        assert behind > 15


def test_a_reload_loses_nobody_who_waits(mock: Callable[..., HostedMock]) -> None:
    provider = mock("latency=0.2")
    with running_portico(config(provider, at_once=1, queue={})) as portico:
        made = Calls(portico, 24)
        eventually(lambda: len(provider.ledger) >= 2, "some are served")
        portico.rewrite(config(provider, at_once=4, queue={}))
        portico.errors.wait_for("configuration version 2 is in force")
        assert made.join() == {200: 24}
        assert 1 < most_at_once(provider) <= 4


def test_who_waits_as_portico_stops_is_served_or_told(mock: Callable[..., HostedMock]) -> None:
    provider = mock("latency=0.2")
    said = config(provider, at_once=1, queue={"wait": "60s"}, server={"drain": "2s"})
    with running_portico(said) as portico:
        made = Calls(portico, 30)
        eventually(lambda: len(provider.ledger) >= 2, "some are served")
        portico.process.send_signal(signal.SIGTERM)
        statuses = made.join()
        assert sum(statuses.values()) == 30
        assert set(statuses) == {200, 503}
        assert statuses[200] >= 3
        assert sum(b"this worker leaves" in body for body in made.bodies) == statuses[503]
        assert portico.wait() == 0


def test_what_a_killed_worker_had_under_way_is_given_back(mock: Callable[..., HostedMock]) -> None:
    provider = mock("latency=0")
    provider.script("latency=60", times=2)
    with running_portico(config(provider, at_once=2, queue={"wait": "60s"})) as portico:
        callers = [threading.Thread(target=_cut_off, args=(portico,)) for _ in range(2)]
        for caller in callers:
            caller.start()
        eventually(lambda: len(provider.ledger) == 2, "both are at the provider")
        for worker in portico.workers():
            os.kill(worker, signal.SIGKILL)
            portico.errors.wait_for(f"(process {worker}) was killed")
        for caller in callers:
            caller.join()
        assert Calls(portico, 4).join() == {200: 4}


def _cut_off(portico: RunningPortico) -> None:
    """Make a call whose worker is killed."""
    body = {"model": "one/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
    with pytest.raises((OSError, http.client.HTTPException)):
        portico.request("POST", PATH, body, key=KEYS["loud"])
