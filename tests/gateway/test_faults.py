"""Every fault of a provider, streamed or whole, in every dialect: another target serves, or the caller hears of it.

Nothing is billed twice: what a provider served or began to serve is an attempt of the record.
"""

import asyncio
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

DIALECTS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "chat": ("openai", "/v1/chat/completions", {"messages": USER}, "gpt-4o-mini"),
    "responses": ("openai", "/v1/responses", {"input": "Hello"}, "gpt-4o-mini"),
    "messages": ("anthropic", "/v1/messages", {"messages": USER, "max_tokens": 50}, "claude-sonnet-4-5"),
    "gemini": ("gemini", "/v1beta/models/smart:{}", GEMINI, "gemini-2.5-flash"),
    "converse": ("bedrock", "/model/smart/{}", CONVERSE, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "cohere": ("cohere", "/v2/chat", {"messages": USER}, "command-a-03-2025"),
}
"""The provider's row, the path, the body and the provider's model, by the caller's dialect."""
PATHS = {
    ("gemini", False): "generateContent",
    ("gemini", True): "streamGenerateContent?alt=sse",
    ("converse", False): "converse",
    ("converse", True): "converse-stream",
}
END = {
    "chat": b"data: [DONE]\n\n",
    "responses": b"response.completed",
    "messages": b"message_stop",
    "gemini": b'"finishReason"',
    "converse": b"messageStop",
    "cohere": b"message-end",
}
"""What a stream that came to its end holds."""

FAULTS: dict[str, tuple[str, int]] = {
    "408": ("status=408", 408),
    "409": ("status=409", 409),
    "429": ("status=429", 429),
    "429 with Retry-After": ("status=429&retry_after=30", 429),
    "500": ("status=500", 500),
    "501": ("status=501", 501),
    "502": ("status=502", 502),
    "503": ("status=503", 503),
    "504": ("status=504", 504),
    "529": ("status=529", 529),
    "401": ("status=401", 401),
    "403": ("status=403", 403),
    "cut before the head": ("fault=cut-before-head", 502),
    "reset before the head": ("fault=cut-before-head&reset=true", 502),
    "cut after the head": ("fault=cut-after-head", 502),
    "reset after the head": ("fault=cut-after-head&reset=true", 502),
    "a stall before the head": ("latency=30", 504),
    "a stall before the first event": ("fault=stall&at=0", 504),
    "an error in 200": ("fault=error-in-200", 502),
    "broken JSON": ("fault=broken-json&at=0", 502),
    "a wrong type": ("fault=wrong-type", 502),
    "nothing": ("fault=empty", 502),
    "a bad chunk": ("fault=bad-chunk&at=0", 502),
    "cut in the first event": ("fault=cut-mid-chunk&at=0", 502),
    "an end before the first event": ("fault=end-early&at=0", 502),
    "an error for the first event": ("fault=error-mid-stream&at=0", 502),
    "a slow trickle": ("split=1&pace=0.05", 504),
}
"""What the mock is told, and what the caller hears where there is nobody else."""
TOLD_AS = {"an error for the first event": {500, 502, 503, 529, 424, 429}, "401": {401, 403}}


def config(first: dict[str, Any], second: dict[str, Any], model: str, **more: Any) -> dict[str, Any]:
    return {
        "providers": {"one": first, "two": second},
        "models": {"smart": {"targets": [f"one/{model}", f"two/{model}"]}, "alone": {"targets": [f"one/{model}"]}},
        "timeouts": {"connect": "1s", "first_byte": "250ms", "between_chunks": "250ms", "call": "400ms"},
        **more,
    }


def row(mock: MockProvider, like: str, **more: Any) -> dict[str, Any]:
    options = {"options": {"region": "us-east-1"}} if like == "bedrock" else {}
    return provider(mock, like, **options, **more)


def request(dialect: str, model: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    _, path, body, _ = DIALECTS[dialect]
    if "{}" in path:
        return path.format(PATHS[dialect, stream]).replace("smart", model), body
    return path, {**body, "model": model, **({"stream": True} if stream else {})}


def clean(dialect: str, body: bytes, *, stream: bool) -> bool:
    """Return whether a body is one answer, whole and nothing else."""
    if stream:
        return body.count(END[dialect]) >= 1 and b'"error"' not in body.replace(b'"error":null', b"")
    found = json.loads(body)
    return isinstance(found, dict) and not found.get("error")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_another_target_serves_when_one_fails(
    portico: Portico, mock: MockProvider, other: MockProvider, dialect: str, fault: str, stream: bool
) -> None:
    like, _, _, model = DIALECTS[dialect]
    said, _ = FAULTS[fault]
    mock.script.always(said)
    path, body = request(dialect, "smart", stream=stream)
    settings = config(row(mock, like), row(other, like), model)
    settings["timeouts"]["call"] = "5s"
    settings["timeouts"]["total"] = "400ms"
    async with portico(settings) as gateway:
        status, headers, answer = await gateway.call(path, body)
        (record,) = gateway.records()
    served_first = fault == "a slow trickle" and headers["x-portico-target"].startswith("one/")
    assert status == 200, answer
    if served_first:  # its first event came in time: what is slow after it is no longer to be taken back
        return
    assert headers["x-portico-target"] == f"two/{model}"
    assert clean(dialect, answer, stream=stream), answer
    # Each provider was asked as often as the record says.
    asked = [attempt["target"].partition("/")[0] for attempt in record["attempts"]]
    assert (asked.count("one"), asked.count("two")) == (len(mock.ledger), len(other.ledger)) == (1, 1)
    assert record["usage"]["output"] == other.ledger.last.usage.output_total


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_caller_hears_of_a_failure_in_bounded_time_where_nobody_else_serves(
    portico: Portico, mock: MockProvider, other: MockProvider, dialect: str, fault: str, stream: bool
) -> None:
    like, _, _, model = DIALECTS[dialect]
    said, expected = FAULTS[fault]
    mock.script.always(said)
    path, body = request(dialect, "alone", stream=stream)
    async with portico(config(row(mock, like), row(other, like), model)) as gateway:
        async with asyncio.timeout(5):
            status, _, answer = await gateway.call(path, body)
        (record,) = gateway.records()
    assert len(other.ledger) == 0
    if stream and status == 200:
        assert fault == "a slow trickle"  # the first event came in time
        return
    assert status in TOLD_AS.get(fault, {expected}), answer
    assert record["status"] == status
    if status != 429 or expected == 429:
        assert answer.startswith(b"{")
    assert len(record["attempts"]) == len(mock.ledger) == 1


NOWHERE: dict[str, dict[str, Any]] = {
    "refused": {"base_url": "http://127.0.0.1:1/v1"},
    "an unknown host": {"base_url": "http://no-such-host.invalid/v1"},
    "no TLS": {"tls": True},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("place", NOWHERE)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_target_that_cannot_be_reached_is_passed_over(
    portico: Portico, mock: MockProvider, other: MockProvider, dialect: str, place: str, stream: bool
) -> None:
    like, _, _, model = DIALECTS[dialect]
    first = row(mock, like)
    first["base_url"] = (
        first["base_url"].replace("http:", "https:") if place == "no TLS" else NOWHERE[place]["base_url"]
    )
    async with portico(config(first, row(other, like), model)) as gateway:
        path, body = request(dialect, "smart", stream=stream)
        status, headers, answer = await gateway.call(path, body)
        path, body = request(dialect, "alone", stream=stream)
        alone, _, told = await gateway.call(path, body)
        records = gateway.records()
    assert (status, headers["x-portico-target"]) == (200, f"two/{model}")
    assert clean(dialect, answer, stream=stream)
    assert records[0]["attempts"][0]["error"] in ("upstream_unreachable", "upstream_timeout")
    assert alone in (502, 504), told
    assert len(mock.ledger) == 0
