"""Pages of another origin may call from a browser where the configuration says so, and are told nothing elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.config.load import load_plain
from portico.errors import ConfigError
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
PAGE = "https://chat.example.com"
ASKS = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}


@pytest.mark.parametrize("allowed", ["*", PAGE])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions", "/api/v1/keys", "/nowhere"])
async def test_a_browser_that_asks_is_let_call_without_a_key(
    portico: Portico, mock: MockProvider, allowed: str, path: str
) -> None:
    async with portico({"providers": {"openai": provider(mock)}, "server": {"cors": allowed}}) as gateway:
        status, headers, body = await gateway.call(path, method="OPTIONS", headers=ASKS, key=None)
    assert (status, body) == (204, b"")
    assert headers["access-control-allow-origin"] == allowed
    assert headers["access-control-allow-headers"] == "authorization, content-type"
    assert "POST" in headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in headers
    assert len(mock.ledger) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_every_reply_says_who_may_read_it(portico: Portico, mock: MockProvider, stream: bool) -> None:
    body = chat("openai/gpt-4o") | {"stream": stream}
    async with portico({"providers": {"openai": provider(mock)}, "server": {"cors": "*"}}) as gateway:
        for key, wanted in ((..., 200), ("sk-wrong", 401)):
            more = {} if key is ... else {"key": key}
            status, headers, _ = await gateway.call("/v1/chat/completions", body, **more)
            assert status == wanted
            assert headers["access-control-allow-origin"] == "*"
            assert headers["access-control-expose-headers"] == "*"


async def test_nothing_is_said_of_origins_unless_it_is_wanted(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        status, headers, _ = await gateway.call("/v1/chat/completions", method="OPTIONS", headers=ASKS, key=None)
        _, replied, _ = await gateway.call("/v1/chat/completions", chat("openai/gpt-4o"))
    assert status == 405
    assert not any(name.startswith("access-control-") for name in (*headers, *replied))


async def test_options_that_no_browser_asks_are_refused_as_ever(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}, "server": {"cors": "*"}}) as gateway:
        status, *_ = await gateway.call("/v1/chat/completions", method="OPTIONS", headers={"origin": PAGE})
    assert status == 405


@pytest.mark.parametrize(
    "odd", ["chat.example.com", "https://chat.example.com/", "https://a, https://b", "https://a\r\nx: y", ""]
)
def test_what_is_no_origin_is_refused(odd: str) -> None:
    with pytest.raises(ConfigError):
        load_plain({"server": {"cors": odd}}, {})
