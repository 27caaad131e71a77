"""Calls that meet everything that can go wrong at once: each has one record, and the books hold what was served."""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from gateway_in_loop import Running, chat, provider
from portico.config.schema import Price
from portico.control.under import used_for
from portico.record import Record
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

KEY = "sk-of-the-key-0123456"
TROUBLE: list[dict[str, Any]] = [
    {},
    {"status": 429},
    {"status": 500},
    {"latency": 0.05},
    {"usage": "never"},
    {"fault": "cut-before-head"},
    {"fault": "cut-after-head"},
    {"fault": "cut-mid-stream", "at": 5},
    {"fault": "cut-mid-chunk", "at": 6},
    {"fault": "end-early", "at": 5},
    {"fault": "error-in-200"},
    {"fault": "error-mid-stream", "at": 4},
    {"fault": "broken-json"},
    {"fault": "empty"},
    {"fault": "stall", "at": 4, "hold": 0.2},
]
PRICES = {
    "one": Price(input=1.0, output=2.0),
    "two": Price(input=2.0, output=6.0),
    "three": Price(input=3.0, output=9.0),
}
AT_ONCE = 10


def config(mocks: dict[str, MockProvider]) -> dict[str, Any]:
    """Return two names of the same targets: one is raced, gone on with, and falls back to a third, dearer one."""
    targets = ["one/gpt-4o-mini", "two/claude-sonnet-4-5"]
    return {
        "providers": {
            "one": provider(mocks["one"]),
            "two": provider(mocks["two"], "anthropic"),
            "three": provider(mocks["three"]),
        },
        "prices": {f"{name}/*": {"input": price.input, "output": price.output} for name, price in PRICES.items()},
        "models": {
            "smart": {
                "targets": targets,
                "resume": True,
                "hedge": {"after": "20ms", "share": 0.5},
                "fallbacks": {"outage": ["dear"], "rate_limit": ["dear"]},
            },
            "plain": {"targets": targets},
            "dear": ["three/gpt-4.1"],
        },
        "retries": {"attempts": 2, "budget": 5},
        "timeouts": {"between_chunks": "100ms"},
        "keys": {
            "k": {
                "key": KEY,
                "budgets": [{"usd": 100, "tokens": 10**9, "requests": 10**6}],
                "limits": [{"in_flight": 500}],
            }
        },
        "budgets": [{"usd": 50, "for": {"provider": [name]}} for name in PRICES],
    }


async def call(gateway: Running, body: dict[str, Any], leaves: float | None) -> None:
    """Make a call whose caller takes what comes to its end, or leaves after so many seconds."""
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    try:
        async with asyncio.timeout(leaves):
            await reader.read()
    except TimeoutError:
        pass  # it leaves
    finally:
        writer.close()


async def settled(gateway: Running) -> None:
    """Wait until no call is under way."""
    async with asyncio.timeout(10):
        while gateway.gateway.state._permits:  # type: ignore[attr-defined]  # of the state in memory
            await asyncio.sleep(0.01)


def at(provider: str, record: Record) -> int:
    """Return what a call is charged for what it used at a provider, in nano-dollars."""
    used = used_for(record)
    targets = {attempt.target for attempt in record.attempts if attempt.target.startswith(f"{provider}/")}
    return used.at(targets).cost if used.parts else used.cost if targets else 0


@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(1, 4), *(pytest.param(seed, 30, marks=pytest.mark.prove) for seed in range(2, 12))],
)
async def test_every_call_has_one_record_and_budgets_hold_what_was_served(
    portico: Portico, seed: int, rounds: int
) -> None:
    draw = random.Random(seed)
    async with AsyncExitStack() as stack:
        mocks = {name: await stack.enter_async_context(MockProvider(price=price)) for name, price in PRICES.items()}
        for name in ("one", "two"):
            mocks[name].script.next(*(draw.choice(TROUBLE) for _ in range(rounds * AT_ONCE * 4)))
        gateway = await stack.enter_async_context(portico(config(mocks)))
        for _ in range(rounds):
            bodies = [
                chat(draw.choice(["smart", "plain"]), max_tokens=draw.choice([50, 200]), stream=draw.random() < 0.7)
                for _ in range(AT_ONCE)
            ]
            leaving = [draw.choice([None, None, None, 0.001, 0.005, 0.02]) for _ in bodies]
            await asyncio.gather(*(call(gateway, body, leaves) for body, leaves in zip(bodies, leaving, strict=True)))
        await settled(gateway)
        records = [msgspec.convert(record, Record) for record in gateway.records()]
        state = gateway.gateway.state
        counters = state.counters([row.decode() for row in state._rows], moment())
        served = sum(mock.ledger.totals.cost for mock in mocks.values())
    reached = [record for record in records if record.attempts]
    assert len({record.id for record in records}) == len(records) <= rounds * AT_ONCE
    assert len(reached) > rounds * AT_ONCE // 2
    assert not any(record.over_bound for record in records)
    assert {record.error for record in records if record.end == "refused"} <= {"caller_gone"}, "no budget was closed"
    assert {counter.rule_id: counter.reserved for counter in counters if counter.reserved} == {}
    used = {counter.rule_id: counter.used for counter in counters}
    assert used["key:k/limit/in_flight"] == 0
    charged = [used_for(record) for record in records]
    assert used["key:k/budget/cost/forever"] == sum(one.cost for one in charged) >= served
    assert used["key:k/budget/requests/forever"] == sum(one.requests for one in charged) == len(reached)
    for name in PRICES:
        (mine,) = [counter for counter in counters if counter.row == f"provider:{name}"]
        assert mine.used == sum(at(name, record) for record in records), "each provider's budget counts what is its own"
