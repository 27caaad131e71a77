"""What the SDKs of OpenAI and Anthropic make of a provider that fails: an answer of another, or the right exception."""

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from gateway_in_loop import MASTER, Running, provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5"}
PATIENCE = 5

FAULTS: dict[str, tuple[str, str]] = {
    "429": ("status=429&retry_after=30", "RateLimitError"),
    "500": ("status=500", "InternalServerError"),
    "503": ("status=503", "InternalServerError"),
    "529": ("status=529", "InternalServerError"),
    "409": ("status=409", "ConflictError"),
    "401": ("status=401", "AuthenticationError"),
    "403": ("status=403", "PermissionDeniedError"),
    "cut before the head": ("fault=cut-before-head&reset=true", "InternalServerError"),
    "cut after the head": ("fault=cut-after-head", "InternalServerError"),
    "a stall before the head": ("latency=30", "InternalServerError"),
    "a stall after the head": ("fault=stall&at=0", "InternalServerError"),
    "an error in 200": ("fault=error-in-200", "InternalServerError"),
    "broken JSON": ("fault=broken-json&at=0", "InternalServerError"),
    "a page": ("fault=wrong-type", "InternalServerError"),
    "nothing": ("fault=empty", "InternalServerError"),
    "an end before the first event": ("fault=end-early&at=0", "InternalServerError"),
}
"""What the mock is told, and the exception of both SDKs by its name."""


def config(mock: MockProvider, other: MockProvider, like: str) -> dict[str, Any]:
    model = MODELS[like]
    return {
        "providers": {"one": provider(mock, like), "two": provider(other, like)},
        "models": {"smart": {"targets": [f"one/{model}", f"two/{model}"]}, "alone": {"targets": [f"one/{model}"]}},
        "timeouts": {"first_byte": "250ms", "between_chunks": "250ms"},
    }


async def said(running: Running, like: str, model: str, *, stream: bool) -> str:
    """Return the text of an answer, as an SDK of these callers reads it."""
    ask: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    if like == "openai":
        async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=MASTER, max_retries=0) as client:
            if not stream:
                found = await client.chat.completions.create(**ask)
                return str(found.choices[0].message.content)
            text = ""
            async for chunk in await client.chat.completions.create(**ask, stream=True):
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            return text
    async with AsyncAnthropic(base_url=running.url, api_key=MASTER, max_retries=0) as client_:
        if not stream:
            message = await client_.messages.create(**ask, max_tokens=50)
            return "".join(getattr(block, "text", "") for block in message.content)
        async with client_.messages.stream(**ask, max_tokens=50) as events:
            return await events.get_final_text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("like", MODELS)
async def test_an_sdk_sees_one_answer_or_the_right_exception(
    portico: Portico, mock: MockProvider, other: MockProvider, like: str, fault: str, stream: bool
) -> None:
    told, expected = FAULTS[fault]
    async with portico(config(mock, other, like)) as running:
        clean = await said(running, like, f"two/{MODELS[like]}", stream=stream)
        mock.script.always(told)
        async with asyncio.timeout(PATIENCE):
            assert await said(running, like, "smart", stream=stream) == clean
        kind = getattr(openai if like == "openai" else anthropic, expected)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(kind):
                await said(running, like, "alone", stream=stream)
    assert (len(mock.ledger), len(other.ledger)) == (2, 2)
