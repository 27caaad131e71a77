"""The outage drill in simulated time: real plans, attempts, breakers and rests; the wire and the clock are not."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
from bench.drilled import Drill, Heard, Tried

from bench import drilled, plots
from portico.call import Call
from portico.config.load import load_plain
from portico.dialects.operations import route
from portico.dialects.request import peek
from portico.errors import ConnectFailed
from portico.snapshot import made_ready
from portico.state.memory import MemoryState
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.health import Healths
from portico.upstream.keyring import Credential
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Line, Target
from portico.wire.client import Client
from portico.wire.replied import ReplyHead
from simulated_calls import BODY, REPLY, SimulatedLoop, simulate

USUAL, SLOW = 0.05, 0.5


class Place:
    """A target: it answers after a while, refuses more than its limit in a second, or is not there."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.up = True
        self.takes = USUAL
        self.began = -10.0
        self.used = 0

    def left(self, now: float) -> float | None:
        """Count a call; return None where it is taken, else the seconds until the window ends."""
        if now - self.began >= 1.0:
            self.began, self.used = now, 0
        if self.used >= self.limit:
            return self.began + 1.0 - now
        self.used += 1
        return None


class Wire:
    """What stands in the place of connections."""

    def __init__(self, loop: SimulatedLoop, places: dict[str, Place]) -> None:
        self.loop = loop
        self.places = places
        self.tried: list[Tried] = []
        self.under_way: dict[str, set[Arrival]] = {name: set() for name in places}

    async def send(self, arrival: Arrival, _line: Line, _credential: Credential, target: Target, *_more: Any) -> None:
        name = target.upstream.name
        place = self.places[name]
        arrival.sent_ns = self.loop.nanoseconds()
        if not place.up:
            self.tried.append(Tried(self.loop.time(), name, False))
            raise ConnectFailed(f"nobody listens at {name}")
        arrival.asked = True
        wait = place.left(self.loop.time())
        self.tried.append(Tried(self.loop.time(), name, wait is None))
        self.under_way[name].add(arrival)
        self.loop.call_later(place.takes if wait is None else 0.001, self._reply, name, arrival, wait)

    def _reply(self, name: str, arrival: Arrival, wait: float | None) -> None:
        if arrival not in self.under_way[name]:
            return
        self.under_way[name].discard(arrival)
        kind = (b"content-type", b"application/json")
        if wait is None:
            arrival.whole(ReplyHead(200, [kind], dict([kind])), REPLY)
        else:
            headers = [kind, (b"retry-after-ms", b"%d" % round(wait * 1000))]
            said = b'{"error":{"message":"Too many requests","code":"rate_limit_exceeded"}}'
            arrival.whole(ReplyHead(429, headers, dict(headers)), said)

    def dies(self, name: str) -> None:
        """Take a target away, with what it has under way."""
        self.places[name].up = False
        gone, self.under_way[name] = self.under_way[name], set()
        for arrival in gone:
            arrival.end(ConnectFailed(f"{name} is gone"))


def simulated(monkeypatch: pytest.MonkeyPatch, drill: Drill, seed: int) -> drilled.Outcome:
    """Return what comes of a drill."""
    loop = SimulatedLoop()
    wire = Wire(loop, {name: Place(drill.limit) for name in drilled.TARGETS})
    simulate(monkeypatch, loop, wire.send)
    providers = {
        name: {"like": "openai", "base_url": f"http://{name}.invalid/v1", "api_key": "k"} for name in drilled.TARGETS
    }
    model = {"strategy": "power_of_two", "targets": [f"{name}/m" for name in drilled.TARGETS]}
    plain = {
        "server": {"master_key": "sk-master-0123456789"},
        "providers": providers,
        "models": {"smart": model},
        "retries": {"by": {"429": {"attempts": 4}}},
    }
    config = load_plain(plain, {}).config
    draw = random.Random(seed)
    heard: list[Heard] = []
    found = route("POST", "/v1/chat/completions", {})
    assert found is not None
    asked = peek(found.operation, BODY, b"application/json")

    async def extend(_target: Target, _billed: bool) -> None:
        return

    async def run() -> float:
        began = loop.time()
        client = Client()
        healths = Healths(loop.time)
        snapshot = made_ready(config, client, MemoryState(), b"x" * 32, 1, healths)
        policy = Policy(config.retries, draw=draw.random, clock=loop.time)

        async def one() -> None:
            assert found is not None
            at = loop.time()
            call = Call(found)
            targets = snapshot.routes.targets("smart", "chat", draw.random)
            outgoing = Outgoing(found.operation, [], "", BODY, asked, 1 << 20)
            arrival, _ = await attempt_all(targets, outgoing, call, policy, client.fetch, extend)
            served = arrival.error is None and arrival.status == 200
            heard.append(Heard(at - began, loop.time() - at, "served" if served else f"status {arrival.status}"))

        async def stage() -> float:
            back = 0.0
            for at, what in drill.steps:
                await asyncio.sleep(began + at - loop.time())
                if what == drilled.DIES:
                    wire.dies("a")
                elif what == drilled.RETURNS:
                    wire.places["a"].up = True
                    back = loop.time() - began
                elif what in (drilled.SLOWS, drilled.RECOVERS):
                    wire.places["c"].takes = SLOW if what == drilled.SLOWS else USUAL
            return back

        async with asyncio.TaskGroup() as group:
            staging = group.create_task(stage())
            due = began
            while (due := due + draw.expovariate(drill.rate)) < began + drill.seconds:
                await asyncio.sleep(due - loop.time())
                group.create_task(one())
        assert [health.in_flight for health in map(healths, ("a/m", "b/m", "c/m"))] == [0, 0, 0]
        await client.close()
        wire.tried = [Tried(each.at - began, each.target, each.good) for each in wire.tried]
        return staging.result()

    try:
        back = loop.run_until_complete(run())
    finally:
        loop.close()
    return drilled.outcome(drill, heard, wire.tried, back)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_outage_loses_no_call_that_there_is_capacity_for(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    outcome = simulated(monkeypatch, drilled.of(100, 55, 0.4), seed)
    assert outcome.figures.calls > 2000
    assert outcome.figures.broken_promises() == []


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(20))
def test_an_outage_at_full_length_keeps_what_is_promised(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    assert simulated(monkeypatch, drilled.of(200, 105), seed).figures.broken_promises() == []


def test_the_limits_of_the_drill_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = simulated(monkeypatch, drilled.of(100, 55, 0.4), 1)
    refused = [points for name, points in outcome.lanes.items() if name in ("b failed", "c failed")]
    assert any(rate for points in refused for _, rate in points)


DRILL = drilled.of(10, 10)


def test_capacity_is_what_the_targets_that_stand_take() -> None:
    assert [DRILL.capacity(at) for at in (0.0, 9.9, 10.0, 24.9, 25.0, 60.0)] == [30, 30, 20, 20, 30, 30]


def test_what_no_target_has_room_for_is_not_asked_of_the_gateway() -> None:
    crowd = [Heard(12.0 + number / 1000, 0.1, "served") for number in range(100)]
    assert drilled.allowed(msgspec.structs.replace(DRILL, wait=1.0), crowd) == 40  # its own second, and the next
    assert drilled.allowed(msgspec.structs.replace(DRILL, wait=2.0), crowd) == 60
    assert drilled.allowed(DRILL, crowd) == 100


def test_who_came_first_has_the_capacity_first() -> None:
    drill = msgspec.structs.replace(DRILL, wait=1.0)
    calls = [Heard(12.0 + number // 100, 0.1, "served") for number in range(200)]
    # Of those of the second second, 20 find room in the third.
    assert drilled.allowed(drill, calls) == 60


@pytest.mark.parametrize(
    ("times", "rate", "found"),
    [
        ([0.5, 1.2, 2.3, 2.4, 2.5], 3, 2.3),
        ([0.1, 0.2, 0.3], 3, 0.1),
        ([0.1, 1.2, 2.3], 3, float("inf")),
        ([], 1, float("inf")),
    ],
)
def test_a_target_does_its_share_again_from_the_first_window_that_holds_it(
    times: list[float], rate: float, found: float
) -> None:
    assert drilled.share_back(times, rate) == found


def test_each_broken_promise_is_named() -> None:
    heard = [Heard(at / 10, 0.1, "status 502" if at % 2 else "served") for at in range(600)]
    tried = [Tried(call.at, "b", call.end == "served") for call in heard for _ in range(2)]
    broken = drilled.outcome(DRILL, heard, tried, 25.0).figures.broken_promises()
    assert [line.split()[0] for line in broken] == ["50.0000%", "the", "100.0%"]


def test_the_plot_has_a_lane_for_each_line_and_says_what_happened() -> None:
    lanes = {"a served": [(0.0, 1.0), (1.0, 4.0)], "a failed": [(0.0, 0.0)], "p99, ms": [(0.0, 50.0)]}
    drawn = plots.lanes("Drill", lanes, [(0.5, "a < dies")])
    assert drawn.count("<polyline") == 3
    assert "a &lt; dies" in drawn
    assert ">a failed<" not in drawn
