"""Where all targets that stand are at their limits: a call waits for them before it asks one that is down."""

from typing import Any

import pytest

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
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target
from portico.wire.client import Client
from portico.wire.replied import ReplyHead
from simulated_calls import BODY, REPLY, SimulatedLoop, simulate

WAIT = 0.8


def attempted(monkeypatch: pytest.MonkeyPatch, tries: int, *, down: bool) -> tuple[int, list[str], float]:
    """Return the status of a call to `full` and `other`, who was asked, and how long it took.

    `full` has no room for 0.8 seconds; `other` is down and known to be, or serves.
    """
    loop = SimulatedLoop()
    asked: list[str] = []

    async def send(arrival: Arrival, _line: Any, _credential: Any, target: Target, *_more: Any) -> None:
        name = target.upstream.name
        asked.append(name)
        arrival.sent_ns = loop.nanoseconds()
        if name == "other" and down:
            raise ConnectFailed("nobody listens there")
        arrival.asked = True
        kind = (b"content-type", b"application/json")
        if name == "full" and loop.time() < began + WAIT:
            headers = [kind, (b"retry-after-ms", b"%d" % (WAIT * 1000))]
            arrival.whole(ReplyHead(429, headers, dict(headers)), b"{}")
        else:
            arrival.whole(ReplyHead(200, [kind], dict([kind])), REPLY)

    simulate(monkeypatch, loop, send)
    began = loop.time()
    providers = {
        name: {"like": "openai", "base_url": f"http://{name}.invalid/v1", "api_key": "k"} for name in ("full", "other")
    }
    plain = {
        "server": {"master_key": "sk-master-0123456789"},
        "providers": providers,
        "retries": {"by": {"429": {"attempts": tries}}},
    }
    config = load_plain(plain, {}).config

    async def run() -> int:
        client = Client()
        snapshot = made_ready(config, client, MemoryState(), b"x" * 32, 1, Healths(loop.time))
        targets = [snapshot.upstreams[name].target("m", config.timeouts) for name in ("full", "other")]
        if down:
            targets[1].health.limited(loop.time() + 10)
        found = route("POST", "/v1/chat/completions", {})
        assert found is not None
        outgoing = Outgoing(found.operation, [], "", BODY, peek(found.operation, BODY, b"application/json"), 1 << 20)

        async def extend(_target: Target, _billed: bool) -> None:
            return

        policy = Policy(config.retries, draw=lambda: 0.5, clock=loop.time)
        arrival, _ = await attempt_all(targets, outgoing, Call(found), policy, client.fetch, extend)
        await client.close()
        return arrival.status

    try:
        status = loop.run_until_complete(run())
        return status, asked, loop.time() - began
    finally:
        loop.close()


def test_a_limit_is_waited_for_where_the_other_target_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    status, asked, took = attempted(monkeypatch, 2, down=True)
    assert (status, asked) == (200, ["full", "full"])
    assert WAIT <= took < 1.2 * WAIT


def test_nobody_waits_while_another_target_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    status, asked, took = attempted(monkeypatch, 2, down=False)
    assert (status, asked) == (200, ["full", "other"])
    assert took < WAIT


def test_a_target_that_is_down_is_asked_where_no_try_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempted(monkeypatch, 1, down=True)[1] == ["full", "other"]
