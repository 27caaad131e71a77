"""Hard budgets, and models of which nobody knows the price or the size: what is refused, how, and what helps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.journal import Journal
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

FREE = {"input": 0, "output": 0}
DEAR = {"input": 1, "output": 2}
USD, TOKENS, CLAMPED = [{"usd": 1}], [{"tokens": 100_000}], [{"usd": 1, "mode": "clamp"}]
KEY = "sk-of-the-key-0123456"


def declared(mock: MockProvider, prices: dict[str, Any], budgets: list[dict[str, Any]], **key: Any) -> dict[str, Any]:
    return {
        "providers": {"mine": {"like": "vllm", "base_url": f"{mock.url}/v1"}, "openai": provider(mock)},
        "models": {"mixed": ["mine/llama", "openai/gpt-4o-mini"]},
        "keys": {"k": {"key": KEY, "budgets": budgets, **key}},
        "prices": prices,
    }


@pytest.mark.parametrize(
    ("prices", "budgets", "more", "param", "words"),
    [
        ({}, USD, {}, "model", '`prices: {"mine/llama": {input: 0, output: 0}}`'),
        ({}, USD, {"max_tokens": 10}, "model", "nobody has said what 'mine/llama' costs"),
        ({}, CLAMPED, {"max_tokens": 10}, "model", "nobody has said what 'mine/llama' costs"),
        ({"mine/other": FREE}, USD, {}, "model", "nobody has said what 'mine/llama' costs"),
        ({"mine/llama": DEAR}, USD, {}, "max_completion_tokens", "`default_max_tokens`"),
        ({}, TOKENS, {}, "max_completion_tokens", "set `max_completion_tokens`"),
        ({"mine/llama": FREE}, TOKENS, {}, "max_completion_tokens", "set `max_completion_tokens`"),
        ({"mine/llama": DEAR}, USD, {"max_tokens": 10**15}, None, "set a lower limit for its output"),
        ({"mine/llama": DEAR}, USD, {"max_tokens": 10, "what_is_this": 1}, None, "`unknown_member`"),
        ({}, USD, {"model": "mixed"}, "model", "nobody has said what 'mine/llama' costs"),
    ],
)
async def test_a_call_without_a_bound_is_told_what_to_do(
    portico: Portico,
    mock: MockProvider,
    prices: dict[str, Any],
    budgets: list[dict[str, Any]],
    more: dict[str, Any],
    param: str | None,
    words: str,
) -> None:
    async with portico(declared(mock, prices, budgets)) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat(**{"model": "mine/llama", **more}), key=KEY)
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "unbounded_call", param)
    assert words in error["message"]
    assert "of key 'k' must hold" in error["message"]
    assert mock.ledger.entries == []


@pytest.mark.parametrize("name", ["mine/llama", "mine/*", "mine/l*a"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_tokens": 10},
        {"n": 3},
        {"what_is_this": 1},
        {"stream": True},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    ],
)
async def test_a_model_that_is_said_to_cost_nothing_needs_no_bound_under_a_budget_in_money(
    portico: Portico, mock: MockProvider, name: str, more: dict[str, Any]
) -> None:
    async with portico(declared(mock, {name: FREE}, USD)) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat("mine/llama", **more), key=KEY)
        assert status == 200, body
        record = gateway.records()[-1]
        (usd,) = gateway.gateway.state.counters(["key:k"], moment())
    assert (record["cost_nano_usd"], record["pricing"]) == (0, "table")
    assert "over_bound" not in record
    assert (usd.used, usd.reserved) == (0, 0)


@pytest.mark.parametrize("limit", [10**15, 2**63, 10**20, 10**40])
@pytest.mark.parametrize(
    ("budgets", "status"),
    [
        ([{"usd": 1}], 400),
        ([{"tokens": 100}], 400),
        ([{"usd": 1, "mode": "soft"}], 200),
        ([{"tokens": 100, "mode": "soft"}], 200),
        ([], 200),
    ],
)
async def test_a_limit_beyond_all_measure_is_none_and_its_call_is_recorded(
    portico: Portico, mock: MockProvider, tmp_path: Path, limit: int, budgets: list[dict[str, Any]], status: int
) -> None:
    journal = Journal(str(tmp_path / "journal"), "0" * 16)
    async with portico(declared(mock, {"mine/llama": DEAR}, budgets), journal) as gateway:
        told, _, body = await gateway.call("/v1/chat/completions", chat("mine/llama", max_tokens=limit), key=KEY)
        rows = gateway.gateway.state.counters(["key:k"], moment())
        (record,) = gateway.records()
        journal.flush()
    assert told == status, body
    assert record["status"] == status
    assert [one.reserved for one in rows] == [0] * len(budgets)
    (segment,) = (tmp_path / "journal").glob("*.seg")
    assert record["id"].encode() in segment.read_bytes()


async def test_beside_a_model_that_costs_nothing_what_the_other_costs_is_reserved(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico(declared(mock, {"mine/llama": FREE}, USD)) as gateway:
        status, _, _ = await gateway.call("/v1/chat/completions", chat("mixed"), key=KEY)
        record = gateway.records()[-1]
    assert (status, record["target"], record["cost_nano_usd"]) == (200, "mine/llama", 0)
    assert record["bound_nano_usd"] > 0


async def test_beside_a_model_that_costs_nothing_the_other_needs_a_bound(portico: Portico, mock: MockProvider) -> None:
    config = declared(mock, {"mine/llama": FREE, "mine/dear": DEAR}, USD)
    config["models"]["mixed"] = ["mine/llama", "mine/dear"]
    async with portico(config) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat("mixed"), key=KEY)
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "unbounded_call", "max_completion_tokens")


@pytest.mark.parametrize(
    ("prices", "budgets", "used"),
    [
        ({}, USD, 250_000_000),
        ({"mine/llama": FREE}, USD, 0),
        ({}, TOKENS, None),
        ({"mine/llama": FREE}, TOKENS, None),
    ],
)
async def test_an_allowance_lets_calls_without_a_bound_pass(
    portico: Portico, mock: MockProvider, prices: dict[str, Any], budgets: list[dict[str, Any]], used: int | None
) -> None:
    async with portico(declared(mock, prices, budgets, allowance_usd=0.25)) as gateway:
        status, _, _ = await gateway.call("/v1/chat/completions", chat("mine/llama"), key=KEY)
        record = gateway.records()[-1]
        (one,) = gateway.gateway.state.counters(["key:k"], moment())
    assert status == 200
    assert one.used == (sum(record["usage"].values()) if used is None else used)


async def test_a_file_for_a_model_that_costs_nothing_needs_no_bound(portico: Portico, mock: MockProvider) -> None:
    form = (
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nmine/whisper\r\n'
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n'
    )
    head = {"content-type": "multipart/form-data; boundary=x"}
    for prices, expected in (({}, 400), ({"mine/*": FREE}, 200)):
        config = declared(mock, prices, USD)
        config["providers"]["mine"]["like"] = "openai"
        config["providers"]["mine"]["api_key"] = "sk-upstream-0123456789"
        async with portico(config) as gateway:
            status, _, body = await gateway.call("/v1/audio/transcriptions", form, key=KEY, headers=head)
        assert status == expected, body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "openai/text-embedding-3-small", "input": "Hello"}),
        ("/v2/rerank", {"model": "cohere/rerank-v3.5", "query": "Hello", "documents": ["a", "b"]}),
        ("/v1/images/generations", {"model": "openai/gpt-image-1", "prompt": "a cat"}),
        ("/v1/audio/speech", {"model": "openai/tts-1", "input": "Hello", "voice": "alloy"}),
    ],
)
@pytest.mark.parametrize("rule", [{"usd": 0.000000001}, {"tokens": 1}])
async def test_what_has_no_limit_to_cut_is_refused_by_a_clamping_budget(
    portico: Portico, mock: MockProvider, path: str, body: dict[str, Any], rule: dict[str, Any]
) -> None:
    config = declared(mock, {}, [{**rule, "mode": "clamp"}])
    config["providers"]["cohere"] = provider(mock, "cohere")
    async with portico(config) as gateway:
        status, _, told = await gateway.call(path, body, key=KEY)
        (record,) = gateway.records()
    assert status in (400, 429), told
    assert (record["status"], record["error"] in ("unbounded_call", "budget_exceeded")) == (status, True)
    assert mock.ledger.entries == []
