"""Budgets that clamp: an answer is cut to what is left, and the call is served."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import provider
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

PRICE = {"input": 1, "output": 2}
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
LEFT = 4_000_000
"""Nano-dollars that are left under the tightest budget in money."""


def clamping(**said: Any) -> dict[str, Any]:
    return {"per": "day", "mode": "clamp", **said}


@pytest.mark.parametrize("maker", MODELS)
@pytest.mark.parametrize("more", [{}, {"max_tokens": 6_000}, {"tools": TOOLS}, {"stream": True}])
@pytest.mark.parametrize(
    "budgets",
    [
        [clamping(usd=0.004)],
        [clamping(usd=0.004), clamping(usd=0.006, **{"for": {"provider": ["one"]}})],
        [clamping(usd=0.006), clamping(usd=0.004, **{"for": {"provider": ["one"]}})],
        [clamping(tokens=2_500), clamping(usd=0.004)],
        [clamping(usd=0.006), clamping(output_tokens=900, usd=0.004, **{"for": {"provider": ["one"]}})],
    ],
)
async def test_an_answer_is_cut_to_what_is_left_of_every_budget(
    portico: Portico, mock: MockProvider, maker: str, more: dict[str, Any], budgets: list[dict[str, Any]]
) -> None:
    model = f"one/{MODELS[maker]}"
    config = {"providers": {"one": provider(mock, maker)}, "prices": {model: PRICE}, "budgets": budgets}
    said = 'Say "it" \n\n in many words: é [mock tokens=20000]'
    body = {"model": model, "messages": [{"role": "user", "content": said}], **more}
    async with portico(config) as gateway:
        status, _, reply = await gateway.call("/v1/chat/completions", body)
        (record,) = gateway.records()
        state = gateway.gateway.state
        counters = state.counters([row.decode() for row in state._rows], moment())
    assert status == 200, reply
    finished = json.loads(reply)["choices"][0]["finish_reason"] if not more.get("stream") else None
    assert finished in (None, "length")
    assert 0 < record["usage"]["output"] < 6_000
    assert 0 < record["cost_nano_usd"] <= record["bound_nano_usd"] <= LEFT
    assert "over_bound" not in record
    assert {counter.reserved for counter in counters} == {0}


async def test_what_does_not_fit_with_the_shortest_answer_is_refused(portico: Portico, mock: MockProvider) -> None:
    config = {
        "providers": {"one": provider(mock)},
        "prices": {"one/gpt-4o-mini": PRICE},
        "budgets": [clamping(usd=0.00005)],
    }
    body = {"model": "one/gpt-4o-mini", "messages": [{"role": "user", "content": "a word " * 20}]}
    async with portico(config) as gateway:
        status, _, reply = await gateway.call("/v1/chat/completions", body)
    assert (status, json.loads(reply)["error"]["code"]) == (429, "budget_exceeded")
    assert mock.ledger.entries == []
