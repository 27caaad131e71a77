"""Heads of many keys share what providers are told of them, and nothing that differs."""

from collections.abc import Callable
from typing import Any

from gateway_in_loop import chat, provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
KEYS = {"one": "sk-caller-one-0123456789", "two": "sk-caller-two-0123456789"}


async def test_what_a_caller_says_to_a_provider_goes_on_from_itself_alone(portico: Portico, mock: MockProvider) -> None:
    keys = {name: {"key": key} for name, key in KEYS.items()}
    async with portico({"providers": {"openai": provider(mock)}, "keys": keys}) as gateway:
        for name in ("one", "two", "one", "two"):
            for title in ("red", "blue", None):
                headers = {} if title is None else {"x-title": title}
                status, _, _ = await gateway.call("/v1/chat/completions", chat(), key=KEYS[name], headers=headers)
                assert status == 200
                assert mock.ledger.last.header("x-title") == title
                assert KEYS[name] not in str(mock.ledger.last.headers)
