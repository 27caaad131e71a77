"""LiteLLM's reply headers: what its callers read, where it was asked for, and nothing where it was not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import Running, chat, provider
from portico.calls.litellm_headers import VERSION
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

KEY = "sk-caller-with-a-budget-0001"
ASKED = {"x-portico-litellm-headers": "true"}


def config(mock: MockProvider, other: MockProvider, **server: Any) -> dict[str, Any]:
    """Return a configuration with a model of two targets, a pattern, and a key that has bounds of its own."""
    return {
        "server": server,
        "providers": {"openai": provider(mock, region="eu"), "second": provider(other)},
        "models": {"smart": ["openai/gpt-4o-mini", "second/gpt-4o-mini"], "fast-*": ["second/*"]},
        "prices": {"openai/gpt-4o-mini": {"input": 100, "output": 100}},
        "keys": {
            "web": {
                "key": KEY,
                "limits": [{"requests": 100}, {"tokens": 50000}],
                "budgets": [{"usd": 20, "per": "day"}, {"usd": 5, "per": "month"}, {"usd": 1, "mode": "soft"}],
                "aliases": {"mine": "smart"},
            }
        },
    }


async def told(gateway: Running, body: Any, key: str = KEY, **headers: str) -> dict[str, str]:
    """Make a call; return LiteLLM's headers of its reply."""
    _, found, _ = await gateway.call("/v1/chat/completions", body, key=key, headers=headers)
    return {name[10:]: value for name, value in found.items() if name.startswith("x-litellm-")}


async def test_who_does_not_ask_gets_none(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    async with portico(config(mock, other)) as gateway:
        assert await told(gateway, chat("smart")) == {}
        assert await told(gateway, chat("smart"), **{"x-portico-litellm-headers": "false"}) == {}
        assert await told(gateway, chat("smart"), **ASKED) != {}
    assert not any(name.startswith(b"x-portico") for entry in mock.ledger.entries for name, _ in entry.headers)


async def test_a_reply_says_where_it_is_from_and_what_it_cost(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(config(mock, other, litellm_headers=True)) as gateway:
        found = await told(gateway, chat("mine"))
        (record,) = gateway.records()
        cost = record["cost_nano_usd"]
        assert cost > 0
        assert float(found.pop("response-duration-ms")) >= float(found.pop("overhead-duration-ms")) >= 0
        assert found == {
            "call-id": record["id"],
            "version": VERSION,
            "model-group": "mine",
            "model-id": "smart.0",
            "model-name": "openai/gpt-4o-mini",
            "model-api-base": f"{mock.url}/v1",
            "model-region": "eu",
            "response-cost": f"0.{cost:09d}",
            "attempted-retries": "0",
            "attempted-fallbacks": "0",
            "key-rpm-limit": "100",
            "key-tpm-limit": "50000",
            "key-max-budget": "5.000000000",
            "key-spend": f"0.{cost:09d}",
        }
        again = await told(gateway, chat("mine"))
        assert float(again["key-spend"]) == pytest.approx(2 * cost / 1e9)


async def test_what_callers_say_of_a_call_in_its_words_is_heard(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    said = {
        "x-litellm-customer-id": "c-1",
        "x-litellm-tags": "prod, jobID:214590",
        "x-litellm-num-retries": "2",
        "x-litellm-timeout": "30",
        "x-litellm-session-id": "s-1",
    }
    settings = config(mock, other, litellm_headers=True) | {"retries": {"backoff": {"first": 0.001}, "budget": 1.0}}
    async with portico(settings) as gateway:
        mock.script("status=500", "status=500")
        found = await told(gateway, chat("smart"), **said)
        (record,) = gateway.records()
        assert (found["attempted-retries"], found["attempted-fallbacks"]) == ("2", "0")
        assert (record["customer"], record["tags"]) == ("c-1", ["jobID:214590", "tag:prod"])
        await told(gateway, chat("smart"), **{"x-litellm-end-user-id": "c-2", "x-portico-tags": "env:prod"})
        assert gateway.records()[1]["customer"] == "c-2"
        await told(gateway, chat("smart"), **{"x-portico-customer": "c-3", **said})
        assert gateway.records()[2]["customer"] == "c-3"
        status, _, body = await gateway.call(
            "/v1/chat/completions", chat("smart"), key=KEY, headers={"x-litellm-num-retries": "many"}
        )
        assert (status, b"x-litellm-num-retries is a number" in body) == (400, True)
    assert not any(name.startswith(b"x-litellm") for entry in mock.ledger.entries for name, _ in entry.headers)


async def test_tags_in_a_body_are_read_in_every_dialect_and_do_not_go_on(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    tags = {"tags": ["prod", "jobID:214590"]}
    messages = {"model": "openai/gpt-4o-mini", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {**chat("smart"), "metadata": tags}),
        ("/v1/chat/completions", {**chat("smart"), "stream": True, "litellm_metadata": {**tags, "trace": "t"}}),
        ("/v1/responses", {"model": "openai/gpt-4o-mini", "input": "hi", "metadata": {**tags, "kept": "yes"}}),
        ("/v1/messages", {**messages, "metadata": {"user_id": "u-1"}, "litellm_metadata": tags}),
    ]
    async with portico(config(mock, other)) as gateway:
        for path, body in asked:
            status, _, reply = await gateway.call(path, body, key=KEY, headers={"x-litellm-tags": "more"})
            assert status == 200, reply
            record = gateway.records()[-1]
            assert record["tags"] == ["jobID:214590", "tag:more", "tag:prod"], path
        assert record["customer"] == "u-1"
        bad = {**chat("smart"), "metadata": {"tags": [1]}}
        status, _, reply = await gateway.call("/v1/chat/completions", bad, key=KEY)
        assert (status, b"metadata.tags" in reply) == (400, True)
    sent = [json.loads(entry.body) for entry in (*mock.ledger.entries, *other.ledger.entries)]
    assert len(sent) == len(asked)
    assert not any("litellm_metadata" in body or "tags" in (body.get("metadata") or {}) for body in sent)
    assert {"kept": "yes"} in [body.get("metadata") for body in sent]


async def test_tries_and_fall_backs_are_told_apart(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    settings = config(mock, other, litellm_headers=True) | {
        "retries": {"attempts": 3, "backoff": {"first": 0.001}, "budget": 1.0}
    }
    async with portico(settings) as gateway:
        mock.script("status=500", "status=500", "status=500")
        found = await told(gateway, chat("smart"))
    assert (found["attempted-retries"], found["attempted-fallbacks"]) == ("2", "1")
    assert (found["model-id"], found["model-api-base"]) == ("smart.1", f"{other.url}/v1")
    assert "model-region" not in found


async def test_a_model_of_a_pattern_is_its_entrys(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    async with portico(config(mock, other, litellm_headers=True)) as gateway:
        found = await told(gateway, chat("fast-gpt-4o-mini"))
        assert (found["model-group"], found["model-id"]) == ("fast-gpt-4o-mini", "fast-*.0")
        found = await told(gateway, chat("openai/gpt-4o-mini"))
        assert found["model-id"] == found["model-name"] == "openai/gpt-4o-mini"


async def test_streams_refusals_and_errors_have_what_is_known_of_them(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(config(mock, other, litellm_headers=True)) as gateway:
        found = await told(gateway, chat("smart", stream=True))
        assert found["model-id"] == "smart.0"
        assert "response-cost" not in found, "nobody knows yet"
        found = await told(gateway, chat("nowhere/x"))
        assert {"call-id", "version", "model-group"} <= found.keys()
        assert "model-id" not in found
        assert await told(gateway, chat("smart"), key="sk-nobody-has-this-one") == {}
