"""Calls that cross: the caller speaks one dialect, the provider another."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

USER = [{"role": "user", "content": "Hello"}]
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}

MODELS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
}


def caller(dialect: str, model: str, stream: bool) -> tuple[str, dict[str, Any]]:
    """Return the path and body of a call as a client of this dialect makes it."""
    quoted = model.replace("/", "%2F")
    match dialect:
        case "chat":
            return "/v1/chat/completions", {"model": model, "messages": USER, "stream": stream}
        case "responses":
            return "/v1/responses", {"model": model, "input": "Hello", "stream": stream}
        case "messages":
            return "/v1/messages", {"model": model, "messages": USER, "max_tokens": 100, "stream": stream}
        case "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return f"/v1beta/models/{quoted}:{verb}", GEMINI
        case "converse":
            return f"/model/{quoted}/{'converse-stream' if stream else 'converse'}", CONVERSE
    return "/v2/chat", {"model": model, "messages": USER, "stream": stream}


DIALECTS = ["chat", "responses", "messages", "gemini", "converse", "cohere"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("to", MODELS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_client_of_any_dialect_is_served_by_a_provider_of_any(
    portico: Portico, mock: MockProvider, dialect: str, to: str, stream: bool
) -> None:
    mock.script.always({"text": "Rain"})
    more = {"options": {"region": "us-east-1"}} if to == "bedrock" else {}
    async with portico({"providers": {to: provider(mock, to, **more)}}) as gateway:
        path, body = caller(dialect, f"{to}/{MODELS[to]}", stream)
        status, headers, reply = await gateway.call(path, body)
        (record,) = gateway.records()
    entry = mock.ledger.last
    assert status == 200, reply
    assert record.get("error") is None
    assert record["usage"]["output"] == entry.usage.output
    assert record["usage"]["input"] == entry.usage.input
    assert record["cost_nano_usd"] > 0
    assert headers["x-portico-target"] == f"{to}/{MODELS[to]}"
    assert b"Rain" in reply
    own = {"messages": "request-id", "converse": "x-amzn-requestid"}.get(dialect)
    if own is not None and (to, dialect) not in (("anthropic", "messages"), ("bedrock", "converse")):
        assert headers[own] == headers["x-request-id"], "where the caller's SDK looks for it"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_error_of_a_foreign_provider_is_told_in_the_callers_words(
    portico: Portico, mock: MockProvider, dialect: str, stream: bool
) -> None:
    mock.script("status=429&retry_after=7")
    to = "openai" if dialect == "messages" else "anthropic"
    async with portico({"providers": {to: provider(mock, to)}}) as gateway:
        path, body = caller(dialect, f"{to}/{MODELS[to]}", stream)
        status, headers, reply = await gateway.call(path, body)
    assert status == 429
    assert headers["retry-after"] == "7"
    assert headers["x-portico-provider-request-id"].startswith("req_mock")
    assert headers["x-request-id"] != headers["x-portico-provider-request-id"]
    assert "message" in reply.decode()


@pytest.mark.parametrize("fault", ["fault=cut-mid-stream", "fault=end-early", "fault=error-mid-stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_foreign_stream_that_breaks_is_never_passed_off_as_complete(
    portico: Portico, mock: MockProvider, dialect: str, fault: str
) -> None:
    mock.script(f"{fault}&tokens=50")
    to = "openai" if dialect == "messages" else "anthropic"
    async with portico({"providers": {to: provider(mock, to)}}) as gateway:
        path, body = caller(dialect, f"{to}/{MODELS[to]}", True)
        status, _, reply = await gateway.call(path, body, cut=True)
        (record,) = gateway.records()
    assert status == 200
    assert record["error"] in ("upstream_connection_lost", "upstream_failed", "upstream_bad_reply")
    assert b"rror" in reply or b"xception" in reply


async def test_an_endpoint_of_ones_own_is_spoken_to_as_the_configuration_says(
    portico: Portico, mock: MockProvider
) -> None:
    own = provider(mock, "openai", operations=["chat"], quirks=["random_seed", "top_k", "-max_completion_tokens"])
    body = {"model": "mine/some-model", "messages": USER, "seed": 7, "k": 5, "max_tokens": 9}
    async with portico({"providers": {"mine": own}}) as gateway:
        status, headers, reply = await gateway.call("/v2/chat", body)
    assert status == 200, reply
    sent = json.loads(mock.ledger.last.body)
    assert {name: sent.get(name) for name in ("random_seed", "seed", "top_k", "max_tokens")} == {
        "random_seed": 7, "seed": None, "top_k": 5, "max_tokens": 9,
    }  # fmt: skip
    assert "x-portico-dropped" not in headers


async def test_what_cannot_cross_is_named_or_refused(portico: Portico, mock: MockProvider) -> None:
    body = {"model": "anthropic/claude-sonnet-4-5", "messages": USER, "seed": 7}
    async with portico({"providers": {"anthropic": provider(mock, "anthropic")}}) as gateway:
        status, headers, _ = await gateway.call("/v1/chat/completions", body)
        strict, _, refusal = await gateway.call("/v1/chat/completions", body, headers={"x-portico-strict": "true"})
        several, _, choice = await gateway.call("/v1/chat/completions", {**body, "n": 2})
    assert (status, headers["x-portico-dropped"]) == (200, "seed")
    assert strict == several == 400
    assert json.loads(refusal)["error"]["param"] == "seed"
    assert json.loads(choice)["error"]["param"] == "n"


async def test_a_fallback_may_speak_another_dialect(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    mock.script.always("status=503")
    config = {
        "providers": {"anthropic": provider(mock, "anthropic"), "openai": provider(other)},
        "models": {"smart": ["anthropic/claude-sonnet-4-5", "openai/gpt-4o-mini"]},
    }
    async with portico(config) as gateway:
        body = {"model": "smart", "messages": USER, "max_tokens": 100}
        status, headers, reply = await gateway.call("/v1/messages", body, headers={"anthropic-version": "2023-06-01"})
    assert (status, headers["x-portico-target"]) == (200, "openai/gpt-4o-mini")
    assert json.loads(reply)["type"] == "message"
    assert other.ledger.last.header("anthropic-version") is None
