"""Hedging on providers that answer late now and then: simulated time, real attempts, a fake wire."""

import asyncio
import random
from typing import Any

import pytest

from portico.call import Call
from portico.config import schema
from portico.config.load import load_plain
from portico.dialects.operations import route
from portico.dialects.request import peek
from portico.snapshot import made_ready
from portico.state.memory import MemoryState
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.hedge import Hedging
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target
from portico.wire.client import Client
from portico.wire.replied import ReplyHead
from simulated_calls import BODY, REPLY, SimulatedLoop, simulate

pytestmark = pytest.mark.source

CALLS = 4000
RUN_IN = 500
"""Calls at the start in which times are only measured."""


class _Wire:
    """Answers each request after a time that is drawn: one in fifty very late. Counts what was asked and given up."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.asked = 0
        self.given_up = 0

    async def send(self, arrival: Arrival, *_more: Any) -> None:
        loop = asyncio.get_running_loop()
        late = self.draw.random() < 0.02
        took = self.draw.uniform(5, 10) if late else self.draw.lognormvariate(-1.5, 0.3)
        self.asked += 1
        arrival.asked = True
        arrival.sent_ns = int(loop.time() * 1e9)

        def reply() -> None:
            kind = (b"content-type", b"application/json")
            arrival.whole(ReplyHead(200, [kind], dict([kind])), REPLY)

        timer = loop.call_later(took, reply)
        arrival.connection = _Connection(self, timer)  # type: ignore[assignment]  # it is only ever given up


class _Connection:
    def __init__(self, wire: _Wire, timer: asyncio.TimerHandle) -> None:
        self._wire = wire
        self._timer = timer

    def abort(self) -> None:
        self._timer.cancel()
        self._wire.given_up += 1


def simulated(monkeypatch: pytest.MonkeyPatch, hedge: schema.Hedge | None, seed: int) -> tuple[list[float], _Wire, int]:
    """Return how long calls took, what the wire saw, and how many attempts the records of calls name."""
    loop, wire = SimulatedLoop(), _Wire(seed)
    simulate(monkeypatch, loop, wire.send)
    providers = {
        name: {"like": "openai", "base_url": f"http://{name}.invalid/v1", "api_key": "k"} for name in ("a", "b")
    }
    config = load_plain({"server": {"master_key": "sk-master-0123456789"}, "providers": providers}, {}).config

    async def run() -> tuple[list[float], int]:
        client = Client()
        snapshot = made_ready(config, client, MemoryState(), b"x" * 32, 1)
        targets: list[Target] = [snapshot.upstreams[name].target("m", config.timeouts) for name in ("a", "b")]
        hedging = Hedging(hedge, loop.time) if hedge is not None else None
        found = route("POST", "/v1/chat/completions", {})
        assert found is not None
        asked = peek(found.operation, BODY, b"application/json")
        policy = Policy(config.retries, clock=loop.time)
        times, attempts = [], 0

        async def extend(_target: Target, _billed: bool) -> None:
            return

        for _ in range(CALLS):
            call = Call(found)
            outgoing = Outgoing(found.operation, [], "", BODY, asked, 1 << 20)
            began = loop.time()
            arrival, _ = await attempt_all(targets, outgoing, call, policy, client.fetch, extend, None, hedging)
            assert arrival.error is None
            times.append(loop.time() - began)
            attempts += len(call.attempts)
        assert [target.health.in_flight for target in targets] == [0, 0]
        await client.close()
        return times, attempts

    try:
        times, attempts = loop.run_until_complete(run())
    finally:
        loop.close()
    return times[RUN_IN:], wire, attempts


def p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hedging_cuts_the_tail_by_half_at_under_six_percent_more(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    plain, _, once = simulated(monkeypatch, None, seed)
    hedged, wire, attempts = simulated(monkeypatch, schema.Hedge(), seed)
    assert once == CALLS
    assert p99(hedged) <= p99(plain) / 2
    # Each attempt is counted at its full price, those that were given up too.
    assert attempts == wire.asked
    assert CALLS < attempts < 1.06 * CALLS
    assert wire.given_up == attempts - CALLS
