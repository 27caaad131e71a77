"""A connection that repeats the head of its requests is known again; its key is judged anew once something changed."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway_in_loop import chat, provider
from portico.rules import Holder
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
TOKEN = "sk-caller-of-the-store-0123456789"
LET_IN = Holder("k1", "web")


class Asking:
    """One connection, on which the same is asked again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        body = json.dumps(chat()).encode()
        self._request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {TOKEN}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def status(self) -> int:
        """Ask once, and return the status of the reply."""
        self._writer.write(self._request)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 20)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await asyncio.wait_for(self._reader.readexactly(length), 20)
        return int(head.split()[1])

    def close(self) -> None:
        self._writer.close()


@pytest.mark.parametrize(
    ("then", "status"),
    [
        (None, 401),
        (msgspec.structs.replace(LET_IN, blocked=True), 403),
        (msgspec.structs.replace(LET_IN, expires=1.0), 401),
        (msgspec.structs.replace(LET_IN, routes=("messages",)), 403),
        (msgspec.structs.replace(LET_IN, ips=("10.0.0.0/8",)), 403),
        (msgspec.structs.replace(LET_IN, models=("another",)), 403),
    ],
    ids=["deleted", "blocked", "expired", "for other calls", "for other places", "for other models"],
)
async def test_a_key_that_changes_is_judged_by_the_next_call(
    portico: Portico, mock: MockProvider, then: Holder | None, status: int
) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as running:
        state = running.gateway.state
        digest = running.gateway.snapshot.keys.digest(TOKEN.encode())
        asking = Asking(*await asyncio.open_connection("127.0.0.1", running.port))
        assert [await asking.status() for _ in range(3)] == [401, 401, 401]
        state.put_holders({digest: LET_IN})
        assert [await asking.status() for _ in range(3)] == [200, 200, 200]
        state.put_holders({digest: then})
        assert [await asking.status() for _ in range(3)] == [status] * 3
        state.put_holders({digest: LET_IN})
        assert [await asking.status() for _ in range(3)] == [200, 200, 200]
        asking.close()


async def test_a_key_that_expires_is_good_until_then(
    portico: Portico, mock: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as running:
        digest = running.gateway.snapshot.keys.digest(TOKEN.encode())
        now = time.time_ns()
        running.gateway.state.put_holders({digest: msgspec.structs.replace(LET_IN, expires=now / 1e9 + 60)})
        asking = Asking(*await asyncio.open_connection("127.0.0.1", running.port))
        assert [await asking.status() for _ in range(3)] == [200, 200, 200]
        monkeypatch.setattr(time, "time_ns", lambda: now + 61 * 10**9)
        assert [await asking.status() for _ in range(3)] == [401, 401, 401]
        asking.close()
