"""Three keys of two teams before a provider of two accounts, and the SDKs they call with: who owns what they make."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anthropic import AsyncAnthropic
from google import genai
from google.genai import types
from google.genai.client import AsyncClient
from openai import AsyncOpenAI

from gateway_in_loop import Running, provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

ALICE, BOB, CAROL = "sk-alice-0123456789", "sk-bob-0123456789", "sk-carol-0123456789"
UPSTREAM = ("sk-upstream-1", "sk-upstream-2")
LINES = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini"}}\n'


def two_keys(mock: MockProvider, like: str = "openai") -> dict[str, Any]:
    """Return a provider whose accounts are two, so that every other call would go wrong by balance alone."""
    declared = provider(mock, like)
    del declared["api_key"]
    return {**declared, "api_keys": list(UPSTREAM)}


def config(**providers: Any) -> dict[str, Any]:
    """Return a configuration with two teams of keys: Alice and Carol are of one, Bob is alone."""
    return {
        "providers": providers,
        "teams": {"core": {}},
        "keys": {
            "alice": {"key": ALICE, "team": "core"},
            "carol": {"key": CAROL, "team": "core"},
            "bob": {"key": BOB},
        },
    }


def client(gateway: Running, key: str = ALICE, **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, **more)


def claude(gateway: Running, key: str = ALICE) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=gateway.url, api_key=key, max_retries=0)


@asynccontextmanager
async def gemini(gateway: Running, key: str = ALICE) -> AsyncIterator[AsyncClient]:
    made = genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=gateway.url))
    try:
        yield made.aio
    finally:
        await made.aio.aclose()
        made.close()
